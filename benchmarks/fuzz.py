"""Damage image files of every format and bit depth, and run them through a recipe, as photos and as masks.

    python benchmarks/fuzz.py PHOTO --count 5000 -o benchmarks/fuzz.md

Every batch of files is a folder that a separate process restores with a recipe that returns its input. The table
counts, for each format, the files that were restored and those that were refused with one line. The exit code is 1 if a
process crashed, a traceback was printed, a file took more than 10 seconds, a result has another size than the photo, or
a file was written elsewhere than in the output folder.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import tifffile
from PIL import Image
from torch import Tensor

import restorekit as rk
from restorekit.core.files import readable_formats
from restorekit.errors import ImageError
from restorekit.run.folder import run_jobs
from restorekit.run.images import Encoding, Photo, encode_photo, read_photo
from restorekit.run.manifest import MANIFEST
from restorekit.run.plan import plan_jobs
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior

LIMIT_SECONDS, BATCH = 10.0, 250
# Bytes at the start of a file that half of the edits hit.
HEADER = 200


@rk.recipe("copy")
def copy(y, prior, noise, *, mask: Annotated[Tensor | None, rk.ImageOption("Any.")] = None):
    """Return the photo."""
    return y


def sample_files(photo: Image.Image) -> dict[str, tuple[str, bytes]]:
    """Return files of every format, depth and number of channels by name: suffix and contents."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x8769] = "a photo", 6, {0xA002: photo.width, 0xA003: photo.height}
    files: dict[str, tuple[str, bytes]] = {}
    for mode in ("L", "RGB", "RGBA"):
        pixels = np.asarray(photo.convert(mode)).reshape(photo.height, photo.width, -1)
        alpha = pixels[..., 3] if mode == "RGBA" else None
        colours = pixels[..., :3] if mode == "RGBA" else pixels
        for deep in (False, True):
            scale, kind = (257, np.uint16) if deep else (1, np.uint8)
            values = Photo(
                colours.astype(kind) * kind(scale),
                None if alpha is None else alpha.astype(kind) * kind(scale),
                exif=exif.tobytes(),
                xmp=b"<x:xmpmeta/>",
                text=(("Title", "a photo"),),
            )
            for suffix in (".png", ".tif", ".jpg", ".webp", ".bmp", ".avif", ".jp2", ".heic"):
                try:
                    data, _ = encode_photo(values, Path(f"a{suffix}"), Encoding())
                except ImageError:
                    continue  # the format has no alpha or no 16 bits
                files[f"{suffix[1:]} {mode} {16 if deep else 8}"] = suffix, data
    for name, options in {"lzw": {"compression": "tiff_lzw"}, "jpeg": {"compression": "jpeg"}, "raw": {}}.items():
        file = io.BytesIO()
        photo.convert("RGB").save(file, "TIFF", **options)
        files[f"tif {name}"] = ".tif", file.getvalue()
    file = io.BytesIO()
    tiles = np.asarray(photo.convert("RGB")).astype(np.uint16) * 257
    tifffile.imwrite(file, tiles, photometric="rgb", tile=(16, 16), compression="lzw", predictor=True)
    files["tif tiles 16"] = ".tif", file.getvalue()
    for name, options in {"progressive": {"progressive": True}, "CMYK": {}}.items():
        file = io.BytesIO()
        photo.convert("CMYK" if name == "CMYK" else "RGB").save(file, "JPEG", **options)
        files[f"jpg {name}"] = ".jpg", file.getvalue()
    return files


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Return the data with up to 12 changed bytes, or truncated, or with a part repeated."""
    kind = draw.randrange(6)
    if kind == 0:
        return data[: draw.randrange(len(data))]
    if kind == 1:
        first, last = sorted(draw.randrange(len(data)) for _ in range(2))
        return data[:last] + data[first:]
    changed = bytearray(data)
    for _ in range(draw.randint(1, 12)):
        where = draw.randrange(len(data) if kind < 4 else min(len(data), HEADER))
        changed[where] = draw.choice([0, 1, 127, 255, draw.randrange(256)])
    return bytes(changed)


def restore(folder: Path) -> None:
    """Restore a folder in this process, and print for every photo its state, seconds and error as JSON."""
    started, seconds = time.monotonic(), {}

    def on_done(job) -> None:
        nonlocal started
        seconds[job.source.name] = time.monotonic() - started
        started = time.monotonic()

    plan = plan_jobs([folder / "in"], folder / "out", copy, {"mask": folder / "masks"})
    report = run_jobs(plan, Runner(copy, GaussianPrior(), {"mask": folder / "masks"}), on_done=on_done)
    errors = {source.name: message for source, message in report.failed}
    print(json.dumps({"restored": [p.name for p in report.restored], "errors": errors, "seconds": seconds}))


def check(folder: Path, names: dict[str, str], counts: Counter[tuple[str, str]]) -> tuple[list[str], float]:
    """Restore a folder of damaged files in another process; return what is wrong, and the longest time in seconds."""
    command = [sys.executable, __file__, "--restore", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS * BATCH, check=False)
    except subprocess.TimeoutExpired:
        return ["a process hangs"], LIMIT_SECONDS * BATCH
    if done.returncode or "Traceback" in done.stderr:
        return [f"exit code {done.returncode}: {done.stderr[-500:]}"], 0.0
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = [f"{name}: {seconds:.1f} s" for name, seconds in found["seconds"].items() if seconds > LIMIT_SECONDS]
    wrong += [f"{name}: {error!r}" for name, error in found["errors"].items() if "\n" in error or "--debug" in error]
    for name in found["restored"]:
        sizes = {read_photo(folder / part / name).pixels.shape for part in ("in", "out")}
        wrong += [f"{name}: sizes {sizes}"] if len(sizes) > 1 else []
        counts[names[name], "restored"] += 1
    for name in found["errors"]:
        counts[names[name], "refused"] += 1
    written = {path.name for path in folder.rglob("*") if path.is_file() and path.parent.name == "out"}
    expected = {*found["restored"], MANIFEST}
    others = {path.name for path in folder.iterdir()} - {"in", "out", "masks"}
    return wrong + [f"written: {name}" for name in (written - expected) | others], max(found["seconds"].values())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restore", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.restore is not None:
        restore(arguments.restore)
        return
    readable_formats()
    with Image.open(arguments.photo) as image:
        samples = sample_files(image.convert("RGB").crop((40, 40, 104, 88)))
    draw, counts, wrong, slowest = random.Random(arguments.seed), Counter(), [], 0.0
    for start in range(0, arguments.count, BATCH):
        with tempfile.TemporaryDirectory() as name:
            folder, names = Path(name), {}
            for part in ("in", "masks"):
                (folder / part).mkdir()
            for i in range(start, min(start + BATCH, arguments.count)):
                kind, (suffix, data) = draw.choice(list(samples.items()))
                file, mask = f"{i:05}{suffix}", draw.random() < 0.25
                names[file] = kind
                (folder / "in" / file).write_bytes(data if mask else mutate(data, draw))
                (folder / "masks" / file).write_bytes(mutate(data, draw) if mask else data)
            found, seconds = check(folder, names, counts)
            wrong, slowest = wrong + found, max(slowest, seconds)
            print(f"{start + len(names)} files, {len(wrong)} wrong, slowest {slowest:.2f} s", flush=True)
    report = table(counts, arguments, wrong, slowest)
    print("\n".join(wrong))
    if arguments.output is not None:
        arguments.output.write_text(report)
    print(report)
    sys.exit(bool(wrong))


def table(counts: Counter[tuple[str, str]], arguments: argparse.Namespace, wrong: list[str], slowest: float) -> str:
    """Return the counts as a Markdown page."""
    kinds = sorted({kind for kind, _ in counts})
    rows = [f"| {kind} | {counts[kind, 'restored']} | {counts[kind, 'refused']} |" for kind in kinds]
    command = f"python benchmarks/fuzz.py PHOTO --count {arguments.count} --seed {arguments.seed}"
    text = (
        f"`{command}`: {arguments.count} damaged files, three quarters of them photos and one quarter masks. "
        f"{len(wrong)} of them crashed the process, printed a traceback, took more than 10 seconds, had a result of "
        f"another size, or wrote another file. The slowest one took {slowest:.1f} s."
    )
    lines = "\n".join(textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False))
    head = f"# Damaged files\n\n{lines}\n\n| file | restored | refused with one line |\n|---|--:|--:|\n"
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
