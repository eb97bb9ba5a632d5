"""The networks that spandrel knows as recipes of restorekit, and its denoisers as priors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import restorekit as rk

# torch and spandrel are imported inside functions, because `restorekit --help` imports this module.
if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNetwork, ImageNoise, TiledNetwork

HELP = "A checkpoint of a denoiser that spandrel knows: the path of the file."
# Smallest side of the square around a hole that an inpainting network receives, if the photo is as large, and the side
# to which larger squares are downsampled unless --tile states another one.
MIN_SQUARE, MAX_SQUARE = 512, 1024
# Side of the cells that decide which parts of a hole are filled together.
CELL = 64


def load_enhancer(path: Path) -> ImageNetwork:
    """Load a network for restoration or super-resolution."""
    from restorekit_spandrel.networks import load_network

    network = load_network(path)
    if network.info.receives_mask:
        raise rk.ModelError(f"{path}: {network.info.name} fills holes, allowed: `restorekit fill`, or another network")
    return network


def load_filler(path: Path) -> ImageNetwork:
    """Load a network for inpainting."""
    from restorekit_spandrel.networks import load_network

    network = load_network(path)
    if not network.info.receives_mask:
        raise rk.ModelError(f"{path}: {network.info.name} fills no holes, allowed: `restorekit enhance`, LaMa or MAT")
    return network


def load(text: str) -> Denoiser:
    """Load a denoiser as a prior, float32 on the CPU."""
    from restorekit_spandrel.networks import load_prior

    return load_prior(Path(text))


def scaled(height: int, width: int, options: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of the result."""
    scale = options["weights"].info.scale
    return scale * height, scale * width


def strips(sample: Tensor, info: object, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Let large photos be restored in strips, unless the network must see whole photos."""
    return {} if options["weights"].window is not None else None


@rk.recipe("enhance", model=None, size=scaled, evaluations=lambda options: 1, strips=strips)
def enhance(
    y: Tensor,
    prior: None,
    noise: ImageNoise,
    *,
    weights: Annotated[
        TiledNetwork,
        rk.NetworkOption("Checkpoint of a network for restoration or super-resolution.", load_enhancer),
    ],
) -> Tensor:
    """Restore or enlarge photos with a published network, such as SwinIR, NAFNet, SCUNet or ESRGAN.

    spandrel recognises the network by the names and shapes of its weights. The result has the size of the photo times
    the scale of the network. It is deterministic.
    """
    return weights(y)


@rk.recipe("fill", model=None, keeps_pixels=True, region="mask")
def fill(
    y: Tensor,
    prior: None,
    noise: ImageNoise,
    *,
    mask: Annotated[Tensor, rk.ImageOption("Image that marks the pixels to fill in white.")],
    weights: Annotated[TiledNetwork, rk.NetworkOption("Checkpoint of an inpainting network.", load_filler)],
) -> Tensor:
    """Fill the masked pixels with a published inpainting network, LaMa or MAT; all other pixels stay bit-identical.

    Every part of a hole is filled in a square around it, twice as wide as that part. A square that is too large is
    downsampled for the network. The result is deterministic.
    """
    import warnings

    import torch

    holes = (mask > 0.5).expand(len(y), -1, -1, -1)
    filled = []
    for i, (image, hole) in enumerate(zip(y.split(1), holes.split(1), strict=True)):
        if not hole.any():
            warnings.warn(rk.RestorekitWarning("the mask is empty; image unchanged", i), stacklevel=2)
        filled.append(_fill(image, hole, weights))
    return torch.cat(filled)


def _fill(y: Tensor, hole: Tensor, network: TiledNetwork) -> Tensor:
    """Return an image (1, C, H, W) with the pixels of a hole (1, 1, H, W), bool, filled part by part."""
    from restorekit.builtin.holes import bounding_square, components

    result, remaining = y.clone(), hole.clone()
    for part in components(hole, CELL):
        square = bounding_square(part, MIN_SQUARE)
        area = (
            ...,
            slice(max(0, square.top), square.top + square.side),
            slice(max(0, square.left), square.left + square.side),
        )
        filled = _fill_square(result[area], remaining[area], network)
        result[area] = filled.where(part[area], result[area])
        remaining &= ~part
    return result


def _fill_square(y: Tensor, hole: Tensor, network: TiledNetwork) -> Tensor:
    """Return an image (1, C, H, W) with a hole filled; it is downsampled for the network if it is too large."""
    import torch.nn.functional as F

    from restorekit.builtin.holes import downsample

    size, limit = y.shape[-2:], network.tile or MAX_SQUARE
    if max(size) <= limit:
        return network(y, hole)
    factor = max(size) / limit
    small, small_hole = downsample(y, hole, (math.ceil(size[0] / factor), math.ceil(size[1] / factor)))
    return F.interpolate(network(small, small_hole), size, mode="bicubic", align_corners=False).clamp(-1, 1)


def examples() -> dict[str, object]:
    """Return options for `restorekit plugins doctor`: small networks that need no training."""
    from restorekit_spandrel.small_networks import MeanFill, write_blur

    weights = str(write_blur())
    return {"enhance": {"weights": weights}, "fill": {"weights": MeanFill()}, "spandrel": weights}


@rk.hookimpl
def register_recipes(register):
    """Register `enhance` and `fill`."""
    register(enhance)
    register(fill)


@rk.hookimpl
def register_priors(register):
    """Register the models `spandrel:FILE`."""
    register(rk.PriorFamily("spandrel", load, HELP, file=Path))
