"""Noise that spares some pixels, so that a prior learns E[x0 | clean pixels, noisy pixels] as well.

A denoiser that has only seen noise on every pixel takes the known pixels of an inpainting problem for noisy ones and
smooths them. One that has also seen x = x0 + sigma * m * n with a mask m, and is told m, knows better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["scattered", "curves", "boxes"]
# Kinds of masks, each as often as it stands here.
KINDS: tuple[Kind, ...] = ("scattered", "scattered", "scattered", "curves", "curves", "boxes")


def spared_pixels(count: int, side: int, generator: torch.Generator, kinds: Sequence[Kind] = KINDS) -> Tensor:
    """Masks (count, 1, side, side) float, 1 where there is noise and 0 where the pixel is spared; on the generator's
    device.

    kinds, each as often as it is named: scattered pixels, dense more often than sparse; curves (level sets of smooth
    noise) of any width; boxes, rectangles of a tenth to six tenths of a side.
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
    place, extent = uniform(2, count, 1) * 0.8, uniform(2, count, 1) * 0.5 + 0.1
    rows, columns = (grid >= place) & (grid < place + extent)
    boxes = (rows[:, :, None] & columns[:, None, :])[:, None]
    shapes = {"scattered": scattered, "curves": curves, "boxes": boxes}
    kind = torch.randint(len(kinds), (count,), generator=generator, device=device)
    return torch.stack([shapes[name] for name in kinds])[kind, torch.arange(count)].float()
