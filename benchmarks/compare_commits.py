"""Compare the outputs of restorekit commands between two checkouts of the repository, byte for byte.

python benchmarks/compare_commits.py OLD_CHECKOUT NEW_CHECKOUT [PHOTO] [-o FOLDER] [--only old|new] [--overwrite]

Each command runs in a separate process, on one core, with the same inputs and seeds in both checkouts. Modules and
entry points come from the checkout; the environment provides the dependencies only (this script also requires
opencv). The inputs are small crops of PHOTO (by default scikit-image's astronaut), written to FOLDER/inputs. Outputs
and logs are kept in FOLDER/old and FOLDER/new. A command runs again only if the files of the checkout, the inputs,
the command, Python or torch have changed, or with --overwrite. --only runs one checkout and compares it with the kept
outputs of the other.

Prints a table in Markdown. The exit code is 1 if an output or an exit code differs, or if a command fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms
from skimage import data

# Options that are appended unless the command has them; `-o SIDE/NAME` (for sample `-o SIDE/NAME/grid.png`) always is.
DEFAULTS = {"--precision": "float32", "--device": "cpu"}
COMMANDS = {
    "denoise-mean": "denoise inputs/noisy.png --sigma 25",
    "denoise-auto": "denoise inputs/turned.jpg inputs/deep.png inputs/alpha.png",
    "denoise-sample-grey": "denoise inputs/grey.png --sigma 25 --mode sample --steps 8 --seed 1",
    "denoise-between-levels": "denoise inputs/noisy.png --sigma 15 --model ncsn-photo",
    "denoise-folder": "denoise inputs/photos --sigma 10 --batch 2 --tile 64 --strength 0.9",
    "denoise-bfloat16": "denoise inputs/noisy.png --sigma 25 --precision bfloat16",
    "denoise-broken-file": "denoise inputs/broken --sigma 10",
    "inpaint-mean": "inpaint inputs/deep.png --mask inputs/text.png --mode mean --steps 6",
    "inpaint-samples": "inpaint inputs/colour.png --mask inputs/box.png --mode sample --samples 2 --steps 6",
    "inpaint-dpir": "inpaint inputs/colour.png --mask inputs/text.png --mode mean --steps 6 --model ddpm-photo",
    "inpaint-langevin": "inpaint inputs/colour.png --mask inputs/text.png --mode sample --method langevin "
    "--model ncsn-photo --steps 10 --inner-steps 3 --seed 2",
    "inpaint-bfloat16": "inpaint inputs/alpha.png --mask inputs/box.png --mode sample --steps 4 --resample 2 "
    "--precision bfloat16",
    "inpaint-nothing": "inpaint inputs/alpha.png --mask inputs/empty.png",
    "inpaint-no-mask": "inpaint inputs/colour.png",
    "complete": "complete inputs/colour.png --mask inputs/box.png --label sea --guidance 5 --free 2 --steps 6",
    "complete-auto": "complete inputs/colour.png --mask inputs/box.png --label forest --steps 3 --resample 1",
    "sample-ancestral": "sample --model guided-scenes --label glacier --sampler ancestral -n 2 --steps 8",
    "sample-photo": "sample --model ddpm-photo -n 2 --steps 8 --seed 3",
    "sample-langevin": "sample --model ncsn-photo -n 1 --steps 6 --inner-steps 3",
    "superres": "superres inputs/small.png --scale 2 --steps 4",
    "superres-ddnm": "superres inputs/small.png --scale 2 --steps 4 --solver ddnm --seed 4",
    "deblur-kernel": "deblur inputs/blurred.png --kernel inputs/kernel.png --sigma 2 --steps 4",
    "deblur-gaussian": "deblur inputs/grey.png --gaussian 0.8 --steps 4",
    "colorize": "colorize inputs/grey.png --draws 2 --steps 4",
}
# Expected exit codes other than 0.
CODES = {"denoise-broken-file": 1, "inpaint-no-mask": 2}
# Renamed options by command: old name and new name. The new name is used if the help of the checkout lists it.
RENAMED = {"complete": {"--free": "--cfg-scale", "--guidance": "--classifier-scale"}}


def write_inputs(photo: Path | None, folder: Path) -> None:
    """Write noisy crops of a photo, masks and a kernel. The files are the same in every run."""
    image = data.astronaut() if photo is None else np.asarray(Image.open(photo).convert("RGB"))
    if min(image.shape[:2]) < 160:
        raise SystemExit(f"PHOTO is {image.shape[1]} x {image.shape[0]}, allowed: 160 x 160 or more")
    for name in ("photos/below", "broken"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)

    def part(height: int, width: int, noise: float, down: float = 0.2, right: float = 0.45) -> np.ndarray:
        top, left = int(down * (image.shape[0] - height)), int(right * (image.shape[1] - width))
        clean = image[top : top + height, left : left + width]
        return (clean + random.normal(0, noise, clean.shape)).clip(0, 255)

    def save(name: str, pixels: np.ndarray, **options: Any) -> None:
        Image.fromarray(pixels.round().astype(np.uint8)).save(folder / name, **options)

    # The profile without its date; EXIF with an orientation and a description.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    save("colour.png", part(112, 128, 1), icc_profile=profile[:24] + bytes(12) + profile[36:])
    save("noisy.png", part(120, 150, 25))
    save("small.png", part(64, 72, 0))
    save("grey.png", part(97, 111, 5, 0.1) @ (0.299, 0.587, 0.114))
    save("alpha.png", np.dstack([part(112, 128, 5, 0.3), np.tile(np.linspace(0, 255, 128), (112, 1))]))
    save("turned.jpg", part(96, 120, 12, 0.5, 0.3), quality=90, exif=exif.tobytes())
    cv2.imwrite(str(folder / "deep.png"), (part(112, 128, 5)[..., ::-1] * 257).round().astype(np.uint16))
    for i, name in enumerate(("photos/a.png", "photos/b.png", "photos/c.jpg", "photos/below/d.png", "broken/a.png")):
        save(name, part(96, 128 if i < 2 else 100, 10, 0.25 * i, 0.2 + 0.2 * i))
    (folder / "broken" / "b.png").write_bytes((folder / "broken" / "a.png").read_bytes()[:1000])

    text, box, kernel = np.zeros((112, 128)), np.zeros((112, 128)), np.zeros((7, 9))
    for row in range(8, 100, 26):
        for column in range(6, 120, 14):
            text[row : row + 14, column : column + 3] = text[row + 6 : row + 9, column : column + 9] = 255
    box[30:78, 40:96] = 255
    kernel[3, 2:7], kernel[1:3, 6] = 255, 100
    for name, pixels in {"text": text, "box": box, "empty": 0 * box, "kernel": kernel}.items():
        save(f"{name}.png", pixels)
    # OpenCV correlates; a convolution flips the kernel.
    save("blurred.png", cv2.filter2D(part(112, 128, 0), -1, kernel[::-1, ::-1] / kernel.sum()))


def digest(root: Path, *patterns: str) -> str:
    """Digest of the names and contents of the files of a folder that match a pattern."""
    files = sorted({p for pattern in patterns for p in root.glob(pattern) if p.is_file() and p.suffix != ".pyc"})
    lines = [f"{p.relative_to(root)} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def environment(root: Path, metadata: Path) -> dict[str, str]:
    """Variables of processes that import the modules and entry points of a checkout and compute with one thread."""
    paths, names = [metadata, root], []
    for file in (root / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))):
        project = tomllib.loads(file.read_text())["project"]
        names.append(project["name"])
        paths.append(file.parent)
        # The first metadata of a distribution on the path take precedence.
        info = metadata / f"{names[-1].replace('-', '_')}-{project.get('version', '0')}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: {}\nVersion: {}\n".format(*info.stem.split("-")))
        groups = project.get("entry-points", {}).items()
        lines = ["\n".join([f"[{group}]", *(f"{k} = {v}" for k, v in named.items())]) for group, named in groups]
        (info / "entry_points.txt").write_text("\n".join(lines))
    variables = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "RESTOREKIT_PLUGINS": ",".join(names[1:])}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **variables, **threads, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}


class Checkout:
    """One checkout and the outputs of its commands, in the folder `side` beside the inputs."""

    def __init__(self, side: str, root: Path, folder: Path) -> None:
        self.side, self.folder, self.seconds = side, folder, 0.0
        code = digest(root, "restorekit/**/*", "plugins/*/*.py", "pyproject.toml", "plugins/*/pyproject.toml")
        self.key = [code, digest(folder, "inputs/**/*"), DEFAULTS, platform.python_version(), version("torch")]
        self.environment = environment(root, folder / side / "metadata")

    def call(self, words: list[str]) -> tuple[int, str]:
        """Run a command and return its exit code and output."""
        # -P: modules are not imported from the working folder.
        command = [sys.executable, "-P", "-c", "from restorekit.cli import main; main()", *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=self.folder, env=self.environment, check=False, **pipes)
        return done.returncode, done.stdout

    def words(self, name: str) -> list[str]:
        """Return the full command, with the option names of this checkout."""
        words = shlex.split(COMMANDS[name])
        pairs = RENAMED.get(words[0], {})
        text = self.call([words[0], "--help"])[1] if pairs else ""
        words = [pairs[word] if word in pairs and pairs[word] in text else word for word in words]
        words += [word for pair in DEFAULTS.items() if pair[0] not in words for word in pair]
        return [*words, "-o", f"{self.side}/{name}" + "/grid.png" * (words[0] == "sample")]

    def exit_code(self, name: str, may_run: bool, overwrite: bool) -> int | None:
        """Run a command unless its outputs are kept, and return the exit code; None if it has not run and must not."""
        target = self.folder / self.side / name
        record, key = target.with_suffix(".json"), [*self.key, COMMANDS[name]]
        kept = json.loads(record.read_text()) if record.is_file() else {}
        kept = kept if kept.get("key") == key else {}
        if not may_run or (kept and not overwrite):
            return kept.get("exit_code")
        record.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        words, start = self.words(name), time.perf_counter()
        code, text = self.call(words)
        self.seconds += time.perf_counter() - start
        target.with_suffix(".log").write_text(f"restorekit {shlex.join(words)}\n{text}exit code {code}\n")
        record.write_text(json.dumps({"key": key, "exit_code": code}))
        if code != CODES.get(name, 0):
            print(f"{self.side}: {name}: exit code {code}\n{text}", file=sys.stderr)
        return code


def difference(old: Path, new: Path) -> str:
    """Describe the difference of two images; return an empty string if the files are identical."""
    if not (old.is_file() and new.is_file()):
        return f"{old.name} exists only in {'old' if old.is_file() else 'new'}"
    if old.read_bytes() == new.read_bytes():
        return ""
    a, b = (cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (old, new))
    if a is None or b is None or (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{old.name}: different size or type of image"
    distance = np.abs(a.astype(np.int64) - b)
    text = f"largest difference {distance.max()} of {256**a.itemsize - 1}, {np.mean(distance > 0):.2%} of the values"
    return f"{old.name}: {text if distance.any() else 'different bytes, equal pixels'}"


def compare(name: str, folder: Path, codes: list[int | None]) -> tuple[int, str]:
    """Return the number of output files of a command and a description of the result, "identical" if all are equal."""
    roots = [folder / side / name for side, code in zip(("old", "new"), codes, strict=True) if code is not None]
    files = sorted({p.relative_to(root) for root in roots for p in root.rglob("*") if p.is_file()})
    expected = CODES.get(name, 0)
    problems = [
        f"{side}: exit code {code}, expected {expected}"
        for side, code in zip(("old", "new"), codes, strict=True)
        if code not in (None, expected)
    ]
    if None not in codes:
        problems += filter(None, (difference(roots[0] / file, roots[1] / file) for file in files))
    return len(files), "; ".join(problems) or ("not compared" if None in codes else "identical")


def main() -> None:
    """Run the commands and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs=2, metavar="CHECKOUT")
    parser.add_argument("photo", type=Path, nargs="?", metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, default=Path("compare"), metavar="FOLDER")
    parser.add_argument("--only", choices=("old", "new"))
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.output.resolve()
    write_inputs(arguments.photo, folder / "inputs")
    sides = [
        Checkout(side, root.resolve(), folder) for side, root in zip(("old", "new"), arguments.checkouts, strict=True)
    ]
    print("| command | files | result |\n|---|--:|---|")
    failures = 0
    for name, command in COMMANDS.items():
        codes = [side.exit_code(name, arguments.only in (None, side.side), arguments.overwrite) for side in sides]
        files, result = compare(name, folder, codes)
        expected = "not compared" if arguments.only == "old" else "identical"
        failures += result not in (expected, "identical")
        print(f"| {name}: `{command}` | {files} | {result} |", flush=True)
    print(
        f"\n{failures} of {len(COMMANDS)} differ or failed; " + ", ".join(f"{s.side}: {s.seconds:.0f} s" for s in sides)
    )
    raise SystemExit(failures > 0)


if __name__ == "__main__":
    main()
