"""Compare the statistics of synthetic camera noise with those of real photos.

python benchmarks/camera_noise.py PHOTOS PAIRS [--count 2000] [--seed 0] [--figure FILE.png]

PHOTOS: folder of clean photos. PAIRS: folder of noisy photos `*_real.*` and of the means of many shots `*_mean.*`.
The noise is the difference of the two photos, in crops of 64 pixels, in grey levels. Synthetic noise is the camera
part of the mix of `restorekit.training.degradations`: on PHOTOS as in training, and on the means of PAIRS, saved with
the JPEG settings of the pairs (--quality, 4:2:0 chroma), which excludes the effect of the scenes. Every real crop is
compared with the synthetic crop of the nearest RMS. --figure draws crops of both; the terms of the real photos apply
to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from restorekit.evaluation.pair_files import find_pairs
from restorekit.evaluation.tables import clean_photos
from restorekit.run.images import read_photo
from restorekit.training.camera_noise import sample_camera_noise
from restorekit.training.degradation_plan import MARGIN, REDUCTION, DegradationPlan
from restorekit.training.degradations import degrade, rescale, round_to_8_bits, save_as_jpeg

SIDE, BATCH = 64, 64
LAGS = (1, 2, 4)
BINS, LEVELS = 8, 256
# Fewest pixels of a crop in a bin of brightness whose standard deviation counts.
FEWEST = 200
QUANTILES = torch.tensor([0.1, 0.5, 0.9])
CHANNELS = {"red, green": (0, 1), "green, blue": (1, 2), "red, blue": (0, 2)}
CAMERA_ONLY = DegradationPlan(camera_share=1, gaussian_share=0, jpeg_share=0, grey_share=0)
# Crops per kind in the figure, and the factor of the noise.
SHOWN, AMPLIFIED = 8, 6
Pairs = tuple[Tensor, Tensor]


def real_pairs(folder: Path) -> Pairs:
    """Return noisy and true crops (N, 3, SIDE, SIDE) in [-1, 1] of all pairs of a folder."""
    pairs = [[_tiles(read_photo(path).tensor()) for path in (pair.degraded, pair.true)] for pair in find_pairs(folder)]
    noisy, true = (torch.cat(crops) for crops in zip(*pairs, strict=True))
    return noisy, true


def random_crops(folder: Path, count: int, generator: torch.Generator) -> Tensor:
    """Return random crops (count, 3, H, W) of the photos of a folder, of the size from which training makes SIDE."""
    photos, side = [x for _, x in clean_photos(folder, 1)], REDUCTION * (SIDE + MARGIN)
    crops = []
    for i in range(count):
        photo = photos[i % len(photos)]
        top, left = (int(torch.randint(size - side + 1, (1,), generator=generator).item()) for size in photo.shape[-2:])
        crops.append(photo[:, top : top + side, left : left + side])
    return torch.stack(crops)


def mix(clean: Tensor, generator: torch.Generator) -> Pairs:
    """Return photos with camera noise as in training, and the true photos."""
    return degrade(CAMERA_ONLY, rescale(CAMERA_ONLY, clean, generator), generator)


def saved_once(clean: Tensor, quality: int, generator: torch.Generator) -> Pairs:
    """Return photos with camera noise and the true photos, both saved as JPEG with 4:2:0 chroma."""
    noisy = round_to_8_bits(clean + 2 * sample_camera_noise((clean + 1) / 2, generator))
    every, qualities = torch.ones(len(clean), dtype=torch.bool), torch.full((len(clean),), float(quality))
    return save_as_jpeg(noisy, qualities, every, every), save_as_jpeg(clean, qualities, every, every)


def statistics(noisy: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Return statistics of the noise of every crop, (N,) each, by name; nan where a crop has none."""
    noise = (noisy - true) * 127.5
    found = {"RMS": noise.square().mean((1, 2, 3)).sqrt()}
    noise = noise - noise.mean((2, 3), keepdim=True)
    variance = noise.square().sum((1, 2, 3))
    for lag in LAGS:
        for name, axis in (("horizontal", 3), ("vertical", 2)):
            length = noise.shape[axis] - lag
            product = noise.narrow(axis, 0, length) * noise.narrow(axis, lag, length)
            found[f"correlation at {lag} px, {name}"] = product.sum((1, 2, 3)) / variance * SIDE / length
    for name, (a, b) in CHANNELS.items():
        product = (noise[:, a] * noise[:, b]).mean((1, 2))
        found[f"correlation of {name}"] = product / (noise[:, a].std((1, 2)) * noise[:, b].std((1, 2)))
    return found | _deviation_by_brightness(noise, true)


def _deviation_by_brightness(noise: Tensor, true: Tensor) -> dict[str, Tensor]:
    brightness = ((true.mean(1, keepdim=True) + 1) * 127.5).clamp(0, LEVELS - 1)
    step, found = LEVELS // BINS, {}
    for low in range(0, LEVELS, step):
        where = ((brightness >= low) & (brightness < low + step)).expand_as(noise)
        count = where.sum((1, 2, 3))
        mean = (noise * where).sum((1, 2, 3)) / count
        variance = (noise.square() * where).sum((1, 2, 3)) / count - mean.square()
        enough = count >= FEWEST * noise.shape[1]
        found[f"deviation at {low} to {low + step - 1}"] = variance.clamp(min=0).sqrt().where(enough, torch.nan)
    return found


def match(columns: dict[str, Pairs]) -> dict[str, Pairs]:
    """Replace the crops of every other kind by those whose RMS is nearest to that of the real crops, in their order.

    A crop that is nearest to several real crops is repeated.
    """
    levels = {name: (noisy - true).square().mean((1, 2, 3)).log() for name, (noisy, true) in columns.items()}
    nearest = {name: (levels["real"][:, None] - level).abs().argmin(1) for name, level in levels.items()}
    return {name: (noisy[nearest[name]], true[nearest[name]]) for name, (noisy, true) in columns.items()}


def table(columns: dict[str, dict[str, Tensor]]) -> str:
    """Return a Markdown table of the 10 %, 50 % and 90 % quantiles over crops."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for statistic in columns["real"]:
        cells = [_cell(found[statistic]) for found in columns.values()]
        lines.append(f"| {statistic} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Tensor) -> str:
    values = values[values.isfinite()]
    if len(values) < 10:
        return "fewer than 10 crops"
    return " / ".join(f"{value:.2f}" for value in values.quantile(QUANTILES).tolist())


def draw(columns: dict[str, Pairs], path: Path) -> None:
    """Draw SHOWN matched crops of every kind, from weak to strong noise: a row of crops, a row of amplified noise."""
    noisy, true = columns["real"]
    order = (noisy - true).square().mean((1, 2, 3)).argsort()
    chosen, rows = order[((torch.arange(SHOWN) + 0.5) / SHOWN * len(order)).long()], []
    for noisy, true in columns.values():
        rows += [(noisy[chosen] + 1) / 2, AMPLIFIED * (noisy - true)[chosen] / 2 + 0.5]
    grid = make_grid(torch.cat(rows).clamp(0, 1), nrow=SHOWN, padding=2, pad_value=1.0)
    save_image(grid.repeat_interleave(2, 1).repeat_interleave(2, 2), path)


def _tiles(photo: Tensor) -> Tensor:
    """Cut (1, C, H, W) into (N, C, SIDE, SIDE)."""
    rows = photo[0].unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE)
    return rows.permute(1, 2, 0, 3, 4).flatten(0, 1).contiguous()


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--count", type=int, default=2000, help="number of crops of PHOTOS")
    parser.add_argument("--quality", type=int, default=75, help="quality of the JPEG files of the real photos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(options.seed)
    clean = random_crops(options.photos, options.count, generator).split(BATCH)
    real = real_pairs(options.pairs)
    means = real[1][torch.randperm(len(real[1]), generator=generator)].split(BATCH)
    kinds = {
        "real": [real],
        "synthetic, as in training": [mix(part, generator) for part in clean],
        "synthetic, on the means": [saved_once(part, options.quality, generator) for part in means],
    }
    pairs = {name: tuple(torch.cat(x) for x in zip(*parts, strict=True)) for name, parts in kinds.items()}
    pairs = match(pairs)
    text = table({name: statistics(*pair) for name, pair in pairs.items()})
    print(text)
    if options.figure:
        draw(pairs, options.figure)


if __name__ == "__main__":
    main()
