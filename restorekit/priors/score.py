"""A score network (NCSN) as a denoiser.

Only this file knows that NCSN's data live in [0, 1]: with u = (x + 1) / 2 and levels sigma_u = sigma / 2, a score
s = grad log p(u) gives D(u) = u + sigma_u^2 s (Tweedie; Vincent 2011), and D(x) = 2 D(u) - 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from restorekit.core.denoiser import per_image
from restorekit.errors import ModelError
from restorekit.priors.epsilon import pad_to_multiple

# Largest relative distance at which a sigma still counts as a trained level.
SAME_LEVEL = 1e-3


class ScorePrior(nn.Module):
    """D(x, sigma) of a network that predicts the score at a few noise levels (Song and Ermon 2019, arXiv 1907.05600).

    Arguments:
        net: (u, level index) -> score (N, C, H, W), u in [0, 1], index 0 the largest sigma.
        sigmas: the trained levels in the unit of u, decreasing.
        divide: the score is net(u) / sigma_u (NCSNv2, Song and Ermon 2020, arXiv 2006.09011, section 3.3).
        channels, size: see `Denoiser`.
        multiple: the network takes heights and widths that are multiples of this; others are padded by reflection.
    """

    levels: Tensor | None
    classes: tuple[str, ...] | None = None
    partial_noise = fills = False

    def __init__(
        self,
        net: nn.Module,
        sigmas: Tensor,
        *,
        divide: bool = False,
        channels: int = 3,
        size: int | None = None,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.net, self.divide = net, divide
        self.channels, self.size, self.multiple = channels, size, multiple
        self.table = 2 * sigmas.detach().cpu().double().flip(0)
        self.levels = self.table.flip(0)
        self.sigma_min, self.sigma_max = float(self.table[0]), float(self.table[-1])

    def level_of(self, sigma: Tensor) -> Tensor:
        """Index (N,) of the levels that sigma (N,) are; ModelError names the levels when one is none of them."""
        found, levels = sigma.cpu().double(), self.table.flip(0)
        distance = (found[:, None] / levels).log().abs()
        if (distance.amin(1) > SAME_LEVEL).any():
            stranger = found[distance.amin(1).argmax()].item()
            names = ", ".join(f"{level:.4g}" for level in levels.tolist())
            raise ModelError(f"sigma {stranger:.4g} is none of the levels that this prior was trained at: {names}")
        return distance.argmin(1).to(sigma.device)

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x, sigma); see `Denoiser`."""
        height, width = x.shape[-2:]
        raw = self.net(pad_to_multiple((x + 1) / 2, self.multiple), self.level_of(sigma))[..., :height, :width].float()
        # D(u) - u is sigma_u^2 s, and distances in x are twice those in u.
        half = per_image(sigma / 2, x)
        denoised: Tensor = x + 2 * (half if self.divide else half**2) * raw
        return denoised
