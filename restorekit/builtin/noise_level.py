"""How noisy is a photo?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 8
# Patches are sampled down to about this many, which is plenty for a covariance matrix of 64 x 64.
ENOUGH = 60_000


def estimate_sigma(y: Tensor) -> Tensor:
    """Standard deviation of white Gaussian noise in each image: (N,) in the unit of y (N, C, H, W).

    Chen, Zhu and Heng 2015 (ICCV, "An efficient statistical method for image noise level estimation", algorithm 1):
    clean patches lie in a subspace, so the small eigenvalues of the patches' covariance are the noise's; as many
    of the largest are dropped as it takes for the mean of the rest to meet their median. Here the median over the
    channels is taken. Images smaller than a patch get 0.
    """
    if min(y.shape[-2:]) < 2 * PATCH:
        return y.new_zeros(len(y))
    return torch.stack([torch.stack([_channel(channel) for channel in image]).median() for image in y.float()])


def _channel(x: Tensor) -> Tensor:
    patches = F.unfold(x[None, None], PATCH)[0].double()
    patches = patches[:, :: max(1, patches.shape[1] // ENOUGH)]
    eigenvalues = torch.linalg.eigvalsh(torch.cov(patches)).clamp(min=0)
    for kept in range(len(eigenvalues), 0, -1):
        rest = eigenvalues[:kept]
        if rest.mean() <= rest.quantile(0.5):
            break
    level: Tensor = rest.mean().sqrt().float()
    return level
