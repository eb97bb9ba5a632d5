"""Initial estimate of the pixels in a hole: biharmonic interpolation of the known pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.conjugate_gradients import conjugate_gradients
from restorekit.core.filters import laplacian

BENDING_STEPS, BENDING_TOLERANCE = 60, 1e-4
# Width of the border of known pixels around the holes from which they are filled.
MARGIN = 16


def smooth_fill(x: Tensor, hole: Tensor) -> Tensor:
    """Fill the holes (N, 1, H, W), bool, of x (N, C, H, W) smoothly; an image without known pixels becomes grey (0).

    Push-pull interpolation of the known pixels, followed by at most 60 steps of conjugate gradients on the bending
    energy, the sum of the squared Laplacian. For narrow holes this solves the biharmonic equation. The values of x in
    the holes are ignored.
    """
    if not hole.any():
        return x
    top, bottom = _extent(hole.any(-1))
    left, right = _extent(hole.any(-2))
    cropped = hole[..., top:bottom, left:right]
    start = _push_pull(x[..., top:bottom, left:right], cropped)
    unknown = cropped.all(-1).all(-1)[..., None, None]
    result = x.clone()
    result[..., top:bottom, left:right] = torch.where(unknown, start, _bend(start, cropped))
    return result


def _extent(profile: Tensor) -> tuple[int, int]:
    """Start and stop of the range that contains all True entries of a profile (N, 1, side), with a margin."""
    index = profile.any(0)[0].nonzero()
    return max(0, int(index[0]) - MARGIN), int(index[-1]) + 1 + MARGIN


def _push_pull(x: Tensor, hole: Tensor) -> Tensor:
    """Push-pull interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4)."""
    weight = (~hole).float()
    levels = [(x.masked_fill(hole, 0), weight)]
    while max(levels[-1][1].shape[-2:]) > 1 and not (levels[-1][1] > 0).all():
        size = [(side + 1) // 2 for side in levels[-1][1].shape[-2:]]
        levels.append(tuple(F.adaptive_avg_pool2d(values, size) for values in levels[-1]))  # type: ignore[arg-type]
    filled = torch.zeros_like(levels[-1][0])
    for total, weight in reversed(levels):
        if filled.shape != total.shape:
            filled = F.interpolate(filled, total.shape[-2:], mode="bilinear")
        filled = torch.where(weight > 0, total / weight.clamp(min=1e-6), filled)
    return torch.where(hole, filled, x)


def _bend(x: Tensor, hole: Tensor) -> Tensor:
    """Minimize |laplacian(x)|^2 over the pixels of the hole, for each channel separately."""
    inside = hole.to(x)
    return conjugate_gradients(
        lambda v: inside * laplacian(laplacian(v)),
        torch.zeros_like(x),
        BENDING_STEPS,
        start=x,
        tolerance=BENDING_TOLERANCE,
        dim=(2, 3),
        stop_together=True,
    )
