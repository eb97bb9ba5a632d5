"""Degradations of photos for the training of blind priors: camera noise, other noise and JPEG compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL, per_image
from restorekit.core.operators import grayscale
from restorekit.training.camera_noise import sample_camera_noise
from restorekit.training.correlated_noise import correlated_noise
from restorekit.training.degradation_plan import MARGIN, DegradationPlan

# Crops are cut by this number of pixels after each of two compressions, so that the blocks of JPEG start anywhere.
BLOCK = MARGIN // 2
MAX_ENLARGEMENT = 3.0
# Values of Pillow's `subsampling`: 4:4:4 and 4:2:0.
FULL_CHROMA, HALF_CHROMA = 0, 2
# Fraction of the photos with camera noise that are saved as JPEG, of these saved again by another program, and of all
# saved photos with 4:2:0 chroma.
SAVED_SHARE, RESAVED_SHARE, HALF_CHROMA_SHARE = 0.85, 0.4, 0.75
# Fractions of the crops with known JPEG compression that are scaled down, and in which a block starts at the corner, as
# in a whole photo: the strides of the network then have the same position in every block. A network that must tell
# noise from JPEG artefacts learns from reduced crops only, because it would keep all that looks like their grain.
KNOWN_REDUCED_SHARE, KNOWN_ALIGNED_SHARE = 0.2, 0.8


@dataclass(frozen=True)
class Kinds:
    """Which crops have camera, correlated or white noise, or only JPEG compression, each (N,) bool.

    known_jpeg: JPEG compression that the network is told of.
    """

    camera: Tensor
    correlated: Tensor
    white: Tensor
    jpeg: Tensor
    known_jpeg: Tensor

    @property
    def photographed(self) -> Tensor:
        """Which crops have camera or correlated noise, (N,) bool."""
        return self.camera | self.correlated


def sample_kinds(plan: DegradationPlan, count: int, generator: torch.Generator) -> Kinds:
    """Sample the kinds of degradation of `count` crops; the other crops stay clean."""
    draw = torch.rand(count, generator=generator, device=generator.device)
    kinds, start = [], 0.0
    shares = plan.camera_share, plan.correlated_share, plan.gaussian_share, plan.jpeg_share, plan.known_jpeg_share
    for share in shares:
        kinds.append((draw >= start) & (draw < start + share))
        start += share
    return Kinds(*kinds)


def degrade(
    plan: DegradationPlan, clean: Tensor, generator: torch.Generator, kinds: Kinds | None = None
) -> tuple[Tensor, Tensor]:
    """Return degraded and clean crops, both (N, 3, H - MARGIN, W - MARGIN), in about [-1, 1].

    Photos with camera or correlated noise have 8 bits; most are saved as JPEG, and some of these are saved again by
    another program, after cropping. The clean photo is then saved in the same way: artefacts of JPEG at high quality
    are not noise. In photos with JPEG compression only, they are the degradation. White noise is neither clipped nor
    rounded. Some photos are grey.

    clean: (N, 3, H, W) in [-1, 1]. kinds: sampled by default.
    """
    count, device = len(clean), generator.device
    kinds = sample_kinds(plan, count, generator) if kinds is None else kinds

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator, device=device)

    saved, half = uniform(), uniform() < HALF_CHROMA_SHARE
    camera, correlated, photographed = kinds.camera, kinds.correlated, kinds.photographed
    grey = per_image(uniform() < plan.grey_share, clean).bool()
    clean = torch.where(grey, to_grey(clean), clean)
    sigma = _sigma(plan.gaussian_sigma, uniform()) * kinds.white
    noise = torch.randn(clean.shape, generator=generator, device=device) * per_image(sigma, clean)
    if camera.any():
        noise[camera] = 2 * sample_camera_noise((clean[camera] + 1) / 2, generator)
    if correlated.any():
        sigma = _sigma(plan.correlated_sigma, uniform())[correlated]
        noise[correlated] = 2 * correlated_noise((clean[correlated] + 1) / 2, sigma / 2, generator)
    noisy = clean + noise
    noisy = torch.where(grey, to_grey(noisy), noisy)
    noisy = torch.where(per_image(photographed, clean).bool(), round_to_8_bits(noisy), noisy)
    noisy = save_as_jpeg(noisy, _between(plan.jpeg_quality, uniform()), half, kinds.jpeg)
    noisy = save_as_jpeg(noisy, _log_between(plan.known_jpeg_quality, uniform()), half, kinds.known_jpeg)
    is_saved = photographed & (saved < SAVED_SHARE)
    is_resaved = photographed & (saved < SAVED_SHARE * RESAVED_SHARE)
    aligned = kinds.known_jpeg & (uniform() < KNOWN_ALIGNED_SHARE)
    for where in (is_saved, is_resaved):
        quality = _between(plan.camera_quality, uniform())
        noisy, clean = (save_as_jpeg(x, quality, half, where) for x in (noisy, clean))
        noisy, clean = _cut(noisy, clean, aligned, generator)
    return noisy, clean


def rescale(plan: DegradationPlan, x: Tensor, generator: torch.Generator, kinds: Kinds | None = None) -> Tensor:
    """Return clean crops of half the size, (N, 3, H / 2, W / 2), of photos x (N, 3, H, W) in [-1, 1].

    Most are scaled down by 2, because the training photos contain noise and JPEG artefacts, which a prior would learn
    to keep. Of these, many are enlarged again, because photos at the full size of a camera have no detail at the scale
    of a pixel. The others are cut out of the center.
    """
    height, width = (side // 2 for side in x.shape[-2:])
    small = F.interpolate(x, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)
    draw = torch.rand((3, len(x)), generator=generator, device=generator.device)
    factor = torch.where(draw[0] < plan.enlarged_share, 1 + (MAX_ENLARGEMENT - 1) * draw[1], 1.0)
    inner = x[..., height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    share = torch.full_like(draw[2], plan.reduced_share)
    if kinds is not None:
        share[kinds.known_jpeg] = min(plan.reduced_share, KNOWN_REDUCED_SHARE)
    return torch.where(per_image(draw[2] < share, x).bool(), enlarge(small, factor), inner)


def enlarge(x: Tensor, factor: Tensor) -> Tensor:
    """Return images (N, 3, H, W) whose center part is enlarged to (H, W) by factors (N,), 1 or more."""
    result = x.clone()
    for i in (factor > 1).nonzero()[:, 0].tolist():
        height, width = (round(side / float(factor[i])) for side in x.shape[-2:])
        top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
        part = x[i : i + 1, :, top : top + height, left : left + width]
        result[i] = F.interpolate(part, x.shape[-2:], mode="bicubic")[0].clamp(-1, 1)
    return result


def save_as_jpeg(x: Tensor, quality: Tensor, half_chroma: Tensor, where: Tensor) -> Tensor:
    """Return images (N, 3, H, W) in [-1, 1] after JPEG compression by Pillow; only those of `where` (N,) bool.

    quality: (N,) in 1 to 100. half_chroma: (N,) bool, 4:2:0 instead of 4:4:4.
    """
    result = x.clone()
    for i in where.nonzero()[:, 0].tolist():
        pixels = ((x[i].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        subsampling = HALF_CHROMA if half_chroma[i] else FULL_CHROMA
        decoded = _through_jpeg(pixels, int(quality[i].round()), subsampling)
        result[i] = torch.from_numpy(decoded).permute(2, 0, 1).to(x) / 127.5 - 1
    return result


def round_to_8_bits(x: Tensor) -> Tensor:
    """Return images in [-1, 1], clipped and rounded to 8-bit values."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def to_grey(x: Tensor) -> Tensor:
    """Return images (N, 3, H, W) with three channels equal to luma (ITU-R BT.601)."""
    return grayscale().forward(x).expand_as(x)


def _sigma(bounds: tuple[float, float], draw: Tensor) -> Tensor:
    """Return levels of noise, uniform in log sigma, in the unit of images in [-1, 1]; bounds in grey levels."""
    return _log_between(bounds, draw) * GREY_LEVEL


def _log_between(bounds: tuple[float, float], draw: Tensor) -> Tensor:
    """Return values that are uniform in their logarithm."""
    low, high = bounds
    return low * (high / low) ** draw


def _between(bounds: tuple[float, float], draw: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * draw


def _through_jpeg(pixels: NDArray[np.uint8], quality: int, subsampling: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as image:
        return np.array(image)


def _cut(noisy: Tensor, clean: Tensor, aligned: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cut crops by BLOCK pixels, at the same random position in both, or at the corner where `aligned` (N,) is true."""
    height, width = (side - BLOCK for side in clean.shape[-2:])
    corners = torch.randint(BLOCK, (len(clean), 2), generator=generator, device=generator.device)
    corners = corners.masked_fill(aligned[:, None], 0)
    boxes = [(slice(top, top + height), slice(left, left + width)) for top, left in corners.tolist()]
    return tuple(  # type: ignore[return-value]
        torch.stack([image[:, rows, columns] for image, (rows, columns) in zip(images, boxes, strict=True)])
        for images in (noisy, clean)
    )
