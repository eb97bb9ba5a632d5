"""A score network (NCSN) as a denoiser.

Only this module uses the data range [0, 1] of NCSN: with u = (x + 1) / 2 and levels sigma_u = sigma / 2, a score
s = grad log p(u) gives D(u) = u + sigma_u^2 s (Tweedie; Vincent 2011), and D(x) = 2 D(u) - 1. NCSN's other
transformations of the data, to [-1, 1] and to logits, need no conversion: u = x.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor, nn

from restorekit.core.denoiser import PriorInfo, batch_sigma, per_image
from restorekit.errors import ModelError
from restorekit.priors.epsilon import pad_to_multiple

# What the network was trained on: images in [0, 1], images in [-1, 1] ("rescaled" in NCSNv2), or logits of images.
Data: TypeAlias = Literal["unit", "signed", "logits"]
# Largest relative distance at which a sigma still counts as a trained level.
SAME_LEVEL = 1e-3


class ScorePrior(nn.Module):
    """D(x, sigma) of a network that predicts the score at fixed noise levels (Song and Ermon 2019, arXiv 1907.05600).

    Arguments:
        net: (u, index of the level) -> score (N, C, H, W), with index 0 for the largest sigma.
        sigmas: the trained levels in the unit of u, decreasing.
        data: what u is; with "logits", x and sigma are logits too, see `PriorInfo.logits`.
        divide: the score is net(u) / sigma_u (NCSNv2, Song and Ermon 2020, arXiv 2006.09011, section 3.3).
        channels, size: see `PriorInfo`.
        multiple: the network requires heights and widths that are multiples of this; other sizes are padded by
            reflection.
    """

    def __init__(
        self,
        net: nn.Module,
        sigmas: Tensor,
        *,
        data: Data = "unit",
        divide: bool = False,
        channels: int = 3,
        size: int | None = None,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.net, self.data, self.divide = net, data, divide
        self.multiple = multiple
        # One unit of u is this many units of x.
        self.scale = 2 if data == "unit" else 1
        self.table = self.scale * sigmas.detach().cpu().double().flip(0)
        levels = tuple(self.table.flip(0).tolist())
        sigmas_of_x = {"sigma_min": levels[-1], "sigma_max": levels[0]}
        self.info = PriorInfo(channels, size, **sigmas_of_x, levels=levels, logits=data == "logits")

    def level_of(self, sigma: Tensor) -> Tensor:
        """Return the index (N,) of the trained level of every sigma (N,); ModelError if there is none."""
        found, levels = sigma.cpu().double(), self.table.flip(0)
        distance = (found[:, None] / levels).log().abs()
        if (distance.amin(1) > SAME_LEVEL).any():
            farthest = found[distance.amin(1).argmax()].item()
            names = ", ".join(f"{level:.4g}" for level in levels.tolist())
            raise ModelError(f"sigma {farthest:.4g} is not a noise level of this prior; allowed: {names}")
        return distance.argmin(1).to(sigma.device)

    def forward(self, x: Tensor, sigma: Tensor | float, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma); see `Denoiser`. sigma may also be one number for all images; the label is ignored."""
        sigma = batch_sigma(x, sigma)
        height, width = x.shape[-2:]
        u = (x + 1) / 2 if self.data == "unit" else x
        raw = self.net(pad_to_multiple(u, self.multiple), self.level_of(sigma))[..., :height, :width].float()
        # D(u) - u = sigma_u^2 s, and differences in x are `scale` times those in u.
        sigma_u = per_image(sigma / self.scale, x)
        denoised: Tensor = x + self.scale * (sigma_u if self.divide else sigma_u**2) * raw
        return denoised
