"""Kill a run over a folder again and again, and compare its results with those of an undisturbed run.

    python benchmarks/interruptions.py PHOTOS --kills 50
    python benchmarks/interruptions.py PHOTOS --start 4000

With --kills, a process that restores 64 crops of the photos receives SIGKILL at random moments, and is started again,
until it has been killed N times and then finishes. Results must be byte-identical, and manifests identical except for
the seconds. With --start, the time is measured from the start of the plan to the first result of N photos with a folder
of masks.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import restorekit as rk
from restorekit.core.files import find_images
from restorekit.run.folder import run_jobs
from restorekit.run.manifest import MANIFEST
from restorekit.run.plan import plan_jobs
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior

PHOTOS, SIDE = 64, 192


@rk.recipe("scatter", samples=True)
def scatter(y, prior, noise, *, mask: Annotated[Tensor | None, rk.ImageOption("Any.")] = None):
    """Add noise to the masked pixels."""
    return y + 0.1 * noise.like(y) * (1 if mask is None else mask)


def write_photos(photos: Path, folder: Path, count: int, side: int, masks: Path | None = None) -> None:
    """Write crops of the photos, half of them as TIFF, and masks of the same names."""
    draw, files = random.Random(0), find_images(photos)
    mask = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (side, side // 2)))
    for i in range(count):
        path = folder / f"{i % 20:02}" / f"{i:05}.{'png' if i % 2 else 'tif'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(files[i % len(files)]) as image:
            left, top = draw.randrange(image.width - side), draw.randrange(image.height - side)
            image.convert("RGB").crop((left, top, left + side, top + side)).save(path)
        if masks is not None:
            (masks / path.parent.name).mkdir(parents=True, exist_ok=True)
            mask.save(masks / path.parent.name / f"{path.stem}_mask.png")


def restore(folder: Path, output: Path) -> None:
    """Restore two samples of every photo."""
    torch.set_num_threads(1)
    plan = plan_jobs([folder], output, scatter, {}, samples=2)
    report = run_jobs(plan, Runner(scatter, GaussianPrior()))
    assert not report.failed, report.failed


def contents(folder: Path) -> dict[str, bytes | list[dict[str, object]]]:
    """Return the files of a folder; manifests without seconds."""
    files: dict[str, bytes | list[dict[str, object]]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.name == MANIFEST:
            records = [json.loads(line) for line in path.read_text().splitlines()]
            files[name] = [{key: value for key, value in r.items() if key != "seconds"} for r in records]
        else:
            files[name] = path.read_bytes()
    return files


def results(folder: Path) -> list[Path]:
    """Return the complete results in a folder."""
    return sorted(path for path in folder.rglob("[!.]*.*") if path.suffix in (".png", ".tif"))


def kill(photos: Path, kills: int, seed: int) -> bool:
    """Print what differs after the kills; return whether nothing does."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(photos, folder / "in", PHOTOS, SIDE)
        command = [sys.executable, __file__, "--restore", str(folder / "in"), "-o"]
        subprocess.run([*command, str(folder / "expected")], check=True)
        for number in range(kills):
            process = subprocess.Popen([*command, str(folder / "out")])
            limit = len(results(folder / "out")) + draw.randint(0, 3)
            while process.poll() is None and len(results(folder / "out")) < limit:
                time.sleep(0.002)
            time.sleep(draw.uniform(0, 0.05))
            process.kill()
            process.wait()
            existing = results(folder / "out")
            if len(existing) > PHOTOS:
                # So that the next processes have something to do.
                for path in draw.sample(existing, PHOTOS // 2):
                    path.unlink()
            print(f"kill {number + 1}: {len(existing)} results", flush=True)
        subprocess.run([*command, str(folder / "out")], check=True)
        expected, found = contents(folder / "expected"), contents(folder / "out")
        wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
        count = sum(path.suffix != "" for path in map(Path, expected))
        print(f"{kills} kills, {count} results and manifests, {len(wrong)} different: {sorted(wrong)[:5]}")
        return not wrong


def start(photos: Path, count: int) -> None:
    """Print the time until the first result of many photos with a folder of masks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(photos, folder / "in", count, 16, folder / "masks")
        started, first = time.monotonic(), 0.0

        def on_done(job) -> None:
            nonlocal first
            first = first or time.monotonic() - started

        plan = plan_jobs([folder / "in"], folder / "out", scatter, {"mask": folder / "masks"})
        planned = time.monotonic() - started
        report = run_jobs(plan, Runner(scatter, GaussianPrior(), {"mask": folder / "masks"}), on_done=on_done)
        whole = time.monotonic() - started
        print(f"{count} photos: planned in {planned:.2f} s, first result {first:.2f} s, all {whole:.1f} s")
        assert len(report.restored) == count


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--start", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restore", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.restore is not None:
        restore(arguments.restore, arguments.output)
    if arguments.start is not None:
        start(arguments.photos, arguments.start)
    if arguments.kills is not None:
        sys.exit(not kill(arguments.photos, arguments.kills, arguments.seed))


if __name__ == "__main__":
    main()
