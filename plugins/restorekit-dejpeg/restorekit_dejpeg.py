"""Removal of JPEG artefacts: a plugin of restorekit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

BLOCK = 8
# Class of priors that can be told that the only degradation is JPEG.
JPEG = "jpeg"
# Grey levels by which a coefficient may exceed half a quantisation step: the pixels were rounded before the photo was
# saved and after it was decoded. Almost three standard deviations of both errors.
TOLERANCE = 1.0
# R, G, B to Y, Cb, Cr without the offset (ITU-T T.871, section 7).
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@rk.recipe("dejpeg", model="camera-photo", evaluations=lambda options: 1, strips=lambda sample, info, options: {})
def dejpeg(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    quality: Annotated[
        Tensor | None,
        rk.JpegTables(
            "JPEG quality of a photo that was saved again in another format; auto: the quantisation tables of the file."
        ),
    ],
    strength: Annotated[float, rk.Option("Fraction of the correction that is applied.", min=0, max=1)] = 1.0,
) -> Tensor:
    """Remove JPEG artefacts from photos.

    The prior estimates the photo that was saved; a blind prior with the class "jpeg" is told that nothing but JPEG
    degraded it. Where the quantisation tables are known, the estimate is projected onto the photos that JPEG would save
    as this file. The result is deterministic.
    """
    import warnings

    import torch

    if prior.info.blind and prior.info.classes is not None and JPEG in prior.info.classes:
        prior = rk.Labelled(prior, torch.tensor([prior.info.classes.index(JPEG)], device=y.device))
    # A blind prior ignores sigma.
    correction = rk.denoise_at(prior, y, prior.info.sigma_min) - y
    if quality is None:
        text = "no quantisation tables in the file; the correction is not limited (--quality sets the tables)"
        warnings.warn(rk.RestorekitWarning(text), stacklevel=2)
    else:
        correction = limit_correction(correction, quality)
    return y + strength * correction


def limit_correction(correction: Tensor, steps: Tensor) -> Tensor:
    """Project a correction of a decoded photo onto the quantisation constraint set (Zakhor 1992, IEEE TCSVT 2(1)).

    JPEG rounds the DCT coefficients of each 8 x 8 block to multiples of the quantisation step; those of the photo that
    was saved therefore differ from the decoded ones by at most half a step, and TOLERANCE. The set is convex and
    contains that photo, so that the projection increases the squared error of no plane (Y, Cb, Cr). Incomplete blocks
    at the right and bottom border are not limited.

    correction: (N, 1 or 3, H, W) in the unit of images in [-1, 1], added to the decoded photo. steps: (N or 1, 3, 8, 8)
    in grey levels; planes whose steps are zero are not limited.
    """
    import torch

    count, channels, height, width = correction.shape
    rows, columns = height // BLOCK, width // BLOCK
    limit = torch.where(steps > 0, steps / 2 + TOLERANCE, torch.inf) * rk.GREY_LEVEL
    colours = correction.new_tensor(YCBCR) if channels == 3 else correction.new_ones(1, 1)
    dct = _dct_matrix().to(correction)
    result = correction.clone()
    inside = result[..., : rows * BLOCK, : columns * BLOCK]
    blocks = torch.einsum("pc,nchw->nphw", colours, inside).reshape(count, channels, rows, BLOCK, columns, BLOCK)
    spectrum = torch.einsum("ui,vj,npriqj->npruqv", dct, dct, blocks)
    limit = limit[:, :channels, None, :, None, :]
    excess = spectrum - spectrum.clamp(-limit, limit)
    excess = torch.einsum("ui,vj,npruqv->npriqj", dct, dct, excess).reshape(inside.shape)
    inside -= torch.einsum("cp,nphw->nchw", torch.linalg.inv(colours), excess)
    return result


def _dct_matrix() -> Tensor:
    """Return the orthonormal DCT-II of 8 values as a matrix (8, 8), the transform of ITU-T T.81, section A.3.3."""
    import numpy as np
    import torch
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(BLOCK), axis=0, norm="ortho"))


def examples() -> dict[str, dict[str, object]]:
    """Return options for `restorekit plugins doctor`."""
    return {"dejpeg": {"quality": 30}}


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `dejpeg`."""
    register(dejpeg)
