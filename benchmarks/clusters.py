"""Kill a worker of a Ray run, and compare the results with those of one process.

    python benchmarks/clusters.py PHOTOS --workers 2 --sigma 25

Runs `restorekit denoise` on the photos with the other options: in one process with as many threads as a worker,
and with `--engine ray`, of which one worker receives SIGKILL when the first result is written. The results must be
byte-identical and verified by their records.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from restorekit.core.files import find_images

COMMAND = (sys.executable, "-m", "restorekit")


def worker_ids() -> list[int]:
    """Return the process IDs of the workers of Ray that restore photos, oldest first (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::MapWorker"):
                found.append((path.parent.stat().st_mtime, int(path.parent.name)))
        except OSError:
            continue
    return [number for _, number in sorted(found)]


def run_on_ray(words: list[str], output: Path, *, kill: bool) -> float:
    """Run the command on Ray; return the seconds. Kill a worker after the first result."""
    started, before = time.monotonic(), set(worker_ids())
    process = subprocess.Popen([*COMMAND, "denoise", *words, "-o", str(output)])
    while kill and process.poll() is None:
        workers = [number for number in worker_ids() if number not in before]
        if workers and output.is_dir() and any(not path.name.startswith(".") for path in output.iterdir()):
            os.kill(workers[0], signal.SIGKILL)
            print(f"killed a worker after {time.monotonic() - started:.1f} s", flush=True)
            break
        time.sleep(0.02)
    if process.wait() != 0:
        sys.exit(f"the run on Ray failed with code {process.returncode}")
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    arguments, options = parser.parse_known_args()
    threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    words = [str(arguments.photos), *options]
    on_ray = [*words, "--engine", "ray", "--workers", str(arguments.workers)]
    with tempfile.TemporaryDirectory() as folder:
        local, killed, undisturbed = (Path(folder) / name for name in ("local", "killed", "undisturbed"))
        started = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run([*COMMAND, "denoise", *words, "-o", str(local)], env=environment, check=True)
        seconds = time.monotonic() - started
        print(f"one process, {threads} threads: {seconds:.1f} s", flush=True)
        print(f"Ray, a worker killed: {run_on_ray(on_ray, killed, kill=True):.1f} s", flush=True)
        print(f"Ray: {run_on_ray(on_ray, undisturbed, kill=False):.1f} s", flush=True)
        for output in (killed, undisturbed):
            subprocess.run([*COMMAND, "verify", str(output)], check=True)
            names = [path.relative_to(local) for path in find_images(local)]
            same = sum((local / name).read_bytes() == (output / name).read_bytes() for name in names)
            print(f"{output.name}: {same} of {len(names)} results are byte-identical", flush=True)


if __name__ == "__main__":
    main()
