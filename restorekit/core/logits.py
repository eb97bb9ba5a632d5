"""Images as logits, in which score networks may be trained (`logit_transform` of NCSN, Song and Ermon 2019).

With u = (x + 1) / 2 for images x in [-1, 1], z = log(v / (1 - v)) for v = LAMBDA + (1 - 2 LAMBDA) u, which is in about
[-13.8, 13.8]. Gaussian noise on z is not Gaussian on x: a prior of logits (`PriorInfo.logits`) can be sampled, but is
no denoiser of images. Densities of x are those of z times the product of dz/dx = (1 - 2 LAMBDA) / (2 v (1 - v)).
"""

from __future__ import annotations

from torch import Tensor

from restorekit.core.denoiser import PriorInfo
from restorekit.errors import ModelError

LAMBDA = 1e-6


def to_logits(x: Tensor) -> Tensor:
    """Return the logits of images x in [-1, 1], like x."""
    v = LAMBDA + (1 - 2 * LAMBDA) * (x + 1) / 2
    return v.log() - (-v).log1p()


def from_logits(z: Tensor) -> Tensor:
    """Return the images in [-1, 1] of logits z, like z: the inverse of `to_logits`.

    The code of NCSN returns u = sigmoid(z), which differs by at most LAMBDA.
    """
    return (2 * (z.sigmoid() - LAMBDA) / (1 - 2 * LAMBDA) - 1).clamp(-1, 1)


def check_pixels(info: PriorInfo, where: str) -> None:
    """Raise ModelError if a prior is one of logits. where: what requires a prior of images."""
    if info.logits:
        raise ModelError(
            f"{where}: the prior denoises logits of images (logit_transform of NCSN); allowed: a prior of images, or "
            "restorekit sample"
        )
