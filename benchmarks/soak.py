"""Restore thousands of small images, some of them damaged, with one command, and measure time and memory.

    python benchmarks/soak.py PHOTOS --count 5000 --bad 0.02
    python benchmarks/soak.py PHOTOS --growth 10 100 1000 10000

The images are crops of the photos in several formats. Bad files are truncated or empty, contain text or an animation,
or have pixels that restorekit does not read. The command is `restorekit denoise FOLDER -o OUTPUT --json --sigma 10` in
a new process, whose resident memory is sampled. With --growth, folders of several sizes are restored, and then skipped
by a second run. The exit code is 1 if the report, the exit code of the command, the results or the records are wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from bisect import bisect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tifffile
from PIL import Image

from restorekit.core.files import find_images
from restorekit.run.manifest import MANIFEST

SUFFIXES = "png", "jpg", "tif", "webp"
COMMAND = [sys.executable, "-m", "restorekit", "denoise", "--json"]
SECONDS_BETWEEN_SAMPLES = 0.2
# Memory is stable after this share of the photos.
WARM_UP = 0.2


@dataclass(frozen=True)
class Measurement:
    """One run of the command.

    Attributes:
        code: exit code.
        report: the report that it printed.
        seconds: duration of the process.
        finished: times at which results were written, in seconds since the start of the process, increasing.
        memory: times and resident bytes.
    """

    code: int
    report: dict[str, list[dict[str, object]]]
    seconds: float
    finished: list[float]
    memory: list[tuple[float, int]]

    @property
    def peak(self) -> int:
        """The largest resident memory in bytes."""
        return max(size for _, size in self.memory)

    def seconds_per_photo(self, first: float, last: float) -> float:
        """Return the mean time between two results among a range of them, whose ends are shares of all results."""
        start, end = (round(share * (len(self.finished) - 1)) for share in (first, last))
        return (self.finished[end] - self.finished[start]) / max(1, end - start)

    def bytes_per_photo(self) -> float:
        """Return the slope of the memory after the warm-up, fitted by least squares."""
        counts = [(bisect(self.finished, moment), size) for moment, size in self.memory]
        used = [(count, size) for count, size in counts if WARM_UP * len(self.finished) <= count < len(self.finished)]
        return float(np.polyfit(*zip(*used, strict=True), 1)[0]) if len(used) > 2 else float("nan")


def write_images(photos: Path, folder: Path, count: int, bad: float, smallest: int, side: int) -> set[str]:
    """Write crops of the photos; return the paths of the bad files, at even distances between the others.

    smallest, side: range of the sides of the crops.
    """
    draw, files, bad_files = random.Random(0), find_images(photos), set()
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:06}.{SUFFIXES[i % len(SUFFIXES)]}"
        with Image.open(draw.choice(files)) as image:
            width, height = draw.randint(smallest, side), draw.randint(smallest, side)
            left, top = draw.randrange(image.width - width), draw.randrange(image.height - height)
            image.convert("RGB").crop((left, top, left + width, top + height)).save(path)
        if int((i + 1) * bad) > int(i * bad):
            damage(path, len(bad_files))
            bad_files.add(str(path))
    return bad_files


def damage(path: Path, number: int) -> None:
    """Replace an image by one of several kinds of bad files."""
    data = path.read_bytes()
    if number % 5 == 0:
        path.write_bytes(data[: len(data) // 2])
    elif number % 5 == 1:
        path.write_bytes(b"")
    elif number % 5 == 2:
        path.write_text("This is not an image.\n" * 100)
    elif number % 5 == 3:
        Image.new("L", (16, 16)).save(path, "GIF", save_all=True, append_images=[Image.new("L", (16, 16), 255)])
    else:
        tifffile.imwrite(path, np.zeros((16, 16), np.float32))


def run(folder: Path, output: Path, options: list[str]) -> Measurement:
    """Run the command and sample its memory."""
    memory, known = [], {path.name for path in output.glob("[!.]*")}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.time()
        process = psutil.Popen([*COMMAND, *options, str(folder), "-o", str(output)], stdout=out, stderr=err)
        while process.poll() is None:
            memory.append((time.time() - started, process.memory_info().rss))
            time.sleep(SECONDS_BETWEEN_SAMPLES)
        seconds = time.time() - started
        out.seek(0)
        err.seek(0)
        text = out.read()
        if not text:
            sys.exit(err.read().decode())
    finished = sorted(path.stat().st_mtime - started for path in output.glob("[!.]*") if path.name not in known)
    return Measurement(process.returncode, json.loads(text), seconds, finished, memory)


def problems(measurement: Measurement, output: Path, count: int, bad: set[str]) -> list[str]:
    """Return what is not as expected after a run that restored photos."""
    failed = {str(entry["source"]) for entry in measurement.report["failed"]}
    results = [path for path in output.rglob("[!.]*") if path.is_file()]
    partial = [path for path in output.rglob(".*") if path.name != MANIFEST]
    records = [json.loads(line) for line in (output / MANIFEST).read_text().splitlines()]
    found = {
        "exit code": (measurement.code, 1 if bad else 0),
        "bad files that were restored": (sorted(bad - failed), []),
        "good files that failed": (sorted(failed - bad), []),
        "restored": (len(measurement.report["restored"]), count - len(bad)),
        "results": (len(results), count - len(bad)),
        "temporary files": (partial, []),
        "records of results": (sum("sha256" in record for record in records), count - len(bad)),
    }
    return [
        f"{name}: found {value}, expected {expected}" for name, (value, expected) in found.items() if value != expected
    ]


def soak(photos: Path, count: int, bad: float, smallest: int, side: int, options: list[str]) -> list[str]:
    """Print the figures of one large folder; return what is not as expected."""
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name) / "in", Path(name) / "out"
        bad_files = write_images(photos, folder, count, bad, smallest, side)
        measured = run(folder, output, options)
        found = problems(measured, output, count, bad_files)
        records = (output / MANIFEST).read_text().count("\n")
    failed = len(measured.report["failed"])
    print(f"{count} files with sides of {smallest} to {side} pixels, {len(bad_files)} bad: {measured.seconds:.0f} s")
    print(f"exit code {measured.code}, {len(measured.finished)} results, {failed} failures, {records} records")
    first, last = measured.seconds_per_photo(0, 0.1), measured.seconds_per_photo(0.9, 1)
    print(f"milliseconds per result: {1e3 * first:.1f} in the first tenth, {1e3 * last:.1f} in the last tenth")
    print(
        f"peak memory {measured.peak / 2**20:.0f} MiB; slope after the warm-up {measured.bytes_per_photo():.0f} bytes"
    )
    return found


def growth(photos: Path, counts: list[int], side: int, options: list[str]) -> list[str]:
    """Print a table with the figures of folders of several sizes; return what is not as expected."""
    found = []
    print(
        "| photos | first result (s) | per photo (ms) | after the last (s) | peak (MiB) | skipped in (s) | peak (MiB) |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder, output = Path(name) / "in", Path(name) / "out"
            write_images(photos, folder, count, 0.0, side, side)
            first = run(folder, output, options)
            found += problems(first, output, count, set())
            again = run(folder, output, options)
        if len(again.report["skipped"]) != count:
            found.append(f"skipped: found {len(again.report['skipped'])}, expected {count}")
        cells = [first.finished[0], 1e3 * first.seconds_per_photo(0, 1), first.seconds - first.finished[-1]]
        row = [*(f"{cell:.1f}" for cell in cells), f"{first.peak / 2**20:.0f}"]
        print("|", " | ".join([str(count), *row, f"{again.seconds:.1f}", f"{again.peak / 2**20:.0f}"]), "|", flush=True)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--bad", type=float, default=0.02, help="share of bad files")
    parser.add_argument("--side", type=int, default=64, help="side of the crops in pixels")
    parser.add_argument("--growth", type=int, nargs="+", help="sizes of folders without bad files")
    parser.add_argument("--smallest", type=int, help="smallest side of the crops; default: all are squares")
    text = "options of the command, after all others; default: --sigma 10"
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=["--sigma", "10"], help=text)
    arguments = parser.parse_args()
    photos, side, options = arguments.photos, arguments.side, arguments.options
    if arguments.growth is None:
        found = soak(photos, arguments.count, arguments.bad, arguments.smallest or side, side, options)
    else:
        found = growth(photos, arguments.growth, side, options)
    for problem in found:
        print(problem, file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
