"""PSNR and PSNR-B of photos that were saved as JPEG, decoded, and restored by `restorekit dejpeg`.

python benchmarks/dejpeg.py PHOTOS [--every N] [--model MODEL] [--subsampling 4:2:0|4:4:4] [--qualities Q ...] [-o FILE]

The photos are saved by Pillow. PSNR is over R, G and B together, the mean over the photos. PSNR-B (Yim and Bovik 2011,
IEEE TIP 20(1)) adds the blocking effect factor to the mean squared error: that of luma (ITU-R BT.601, 16 to 235), like
the published code of FBCNN. Results are rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import restorekit as rk
from restorekit.evaluation.metrics import psnr
from restorekit.evaluation.tables import clean_photos
from restorekit.run.images import from_pillow

BLOCK = 8
# Weights of R, G and B in luma from 16 to 235, for images from 0 to 255.
LUMA = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64) / 255
HEADER = "| quality | photo | PSNR (dB) | gain (dB) | PSNR-B (dB) | gain (dB) |\n|--:|---|--:|--:|--:|--:|"
# Published results in colour. They are of LIVE1, not of CBSD68, and can only be compared roughly.
PUBLISHED = """
Published, on the colour photos of LIVE1 (other photos than those above, so that only the order of magnitude compares):

| quality | method | photos | PSNR (dB) | PSNR-B (dB) | source |
|--:|---|---|--:|--:|---|
| 10 | FBCNN | 5 of LIVE1 (bikes to carnivaldolls) | 27.05 | 26.80 | log in test_results of jiaxi-jiang/FBCNN |
"""


def psnr_b(image: Tensor, target: Tensor) -> float:
    """Return the PSNR-B in dB of an image (3, H, W) in [-1, 1]: mean squared error of RGB, blocking effect of luma."""
    pixels = (image.double() + 1) * 127.5
    error = ((target.double() - image.double()) * 127.5).square().mean().item()
    return 10 * math.log10(255**2 / (error + blocking_effect(torch.einsum("c,chw->hw", LUMA, pixels))))


def blocking_effect(luma: Tensor) -> float:
    """Return the blocking effect factor of an image (H, W) (Yim and Bovik 2011, equations 10 to 15, one block size).

    The mean squared difference of neighbours across block boundaries minus that of all other neighbours, times
    log2(8) / log2(min(H, W)); 0 if it is negative.
    """
    across, within = [], []
    for plane in (luma, luma.T):
        differences = plane.diff(dim=1).square()
        is_boundary = torch.arange(1, plane.shape[1]) % BLOCK == 0
        across.append(differences[:, is_boundary].flatten())
        within.append(differences[:, ~is_boundary].flatten())
    excess = torch.cat(across).mean().item() - torch.cat(within).mean().item()
    return max(0.0, excess) * math.log2(BLOCK) / math.log2(min(luma.shape))


def results(clean: Tensor, quality: int, subsampling: str, prior: rk.Denoiser) -> Iterator[tuple[str, Tensor]]:
    """Yield the decoded photo, D(y) alone, and D(y) projected onto the quantisation constraint set.

    Images are (3, H, W) in [-1, 1], rounded to 8 bits.
    """
    file = io.BytesIO()
    pixels = ((clean + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as saved:
        decoded = from_pillow(saved)
        yield "decoded", decoded.tensor()[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rk.RestorekitWarning)
            alone = rk.dejpeg(decoded.tensor(), prior)[0]
        yield "D(y)", decoded.with_tensor(alone).tensor()[0]
        yield "dejpeg", from_pillow(rk.dejpeg(saved, prior)).tensor()[0]


def table(photos: list[Tensor], qualities: list[int], subsampling: str, prior: rk.Denoiser) -> Iterator[str]:
    """Yield the lines of a Markdown table, means over the photos."""
    yield HEADER
    for quality in qualities:
        rows: dict[str, list[tuple[float, float]]] = {}
        for clean in photos:
            for name, image in results(clean, quality, subsampling, prior):
                rows.setdefault(name, []).append((psnr(image, clean), psnr_b(image, clean)))
        means = {name: torch.tensor(values, dtype=torch.float64).mean(0) for name, values in rows.items()}
        for name, mean in means.items():
            gain = mean - means["decoded"]
            yield f"| {quality} | {name} | {mean[0]:.2f} | {gain[0]:+.2f} | {mean[1]:.2f} | {gain[1]:+.2f} |"


def main() -> None:
    """Print the table, and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photos without JPEG artefacts")
    parser.add_argument("--every", type=int, default=1, help="measure every Nth photo")
    parser.add_argument("--model", default="camera-photo", help="prior, as on the command line of restorekit")
    parser.add_argument("--subsampling", choices=("4:2:0", "4:4:4"), default="4:2:0")
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 20, 30, 40])
    parser.add_argument("-o", "--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    photos = [photo for _, photo in clean_photos(arguments.photos, arguments.every) if photo.shape[0] == 3]
    title = f"Photos: {len(photos)}, chroma {arguments.subsampling}, prior {Path(arguments.model).name}."
    lines = [title, ""]
    print(title, end="\n\n")
    for line in table(photos, arguments.qualities, arguments.subsampling, rk.load_prior(arguments.model)):
        print(line, flush=True)
        lines.append(line)
    print(PUBLISHED)
    if arguments.output is not None:
        arguments.output.write_text("\n".join([*lines, PUBLISHED]), encoding="utf-8")


if __name__ == "__main__":
    main()
