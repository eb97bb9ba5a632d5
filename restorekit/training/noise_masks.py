"""Masks of partial noise, with which a prior also learns E[x0 | clean pixels, noisy pixels].

A denoiser that was trained on noise on every pixel treats the known pixels of an inpainting problem as noisy and
smooths them. One that was also trained on x = x0 + sigma * m * n, with the mask m as an input, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["scattered", "curves", "boxes"]
# Kinds of masks; the frequency of a kind is the number of times that it is listed.
KINDS: tuple[Kind, ...] = ("scattered", "scattered", "scattered", "curves", "curves", "boxes")


def sample_noise_masks(count: int, side: int, generator: torch.Generator, kinds: Sequence[Kind] = KINDS) -> Tensor:
    """Sample masks (count, 1, side, side) float: 1 for noisy and 0 for clean pixels; on the device of the generator.

    kinds: the kinds of masks, each sampled as often as it is listed. "scattered": single pixels, more often dense than
    sparse; "curves": level sets of smooth noise, of any width; "boxes": rectangles with sides of 0.1 to 0.6 of the
    image.
    """
    device = generator.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    density = uniform(count, 1, 1, 1) ** (1 / 3) * 0.9 + 0.05
    scattered = uniform(count, 1, side, side) < density
    coarse = [torch.randn((count, 1, cells, cells), generator=generator, device=device) for cells in (4, 8, 16)]
    fields = torch.stack([F.interpolate(c, (side, side), mode="bicubic") for c in coarse])
    field = fields[torch.randint(len(coarse), (count,), generator=generator, device=device), torch.arange(count)]
    curves = field.abs() < uniform(count, 1, 1, 1) * 0.6 + 0.05
    grid = torch.arange(side, device=device) / side
    start, extent = uniform(2, count, 1) * 0.8, uniform(2, count, 1) * 0.5 + 0.1
    rows, columns = (grid >= start) & (grid < start + extent)
    boxes = (rows[:, :, None] & columns[:, None, :])[:, None]
    shapes = {"scattered": scattered, "curves": curves, "boxes": boxes}
    kind = torch.randint(len(kinds), (count,), generator=generator, device=device)
    return torch.stack([shapes[name] for name in kinds])[kind, torch.arange(count)].float()
