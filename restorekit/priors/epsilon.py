"""A network trained on a variance-preserving process (DDPM, guided diffusion) as a denoiser.

Only this file knows t, beta and alpha_bar. With x = x0 + sigma * n, the network sees x / sqrt(1 + sigma^2) and the
(fractional) step t(sigma), interpolated in log sigma between the trained steps (Karras et al. 2022, appendix C).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.core.denoiser import per_image
from restorekit.errors import ModelError

Prediction = Literal["eps", "x0", "v"]

# Deviation that a guess is taken to have from the truth: the network sees it as noise of this level.
GUESS_SIGMA = 0.2
# Step of the first look at a hole, in multiples of the trained steps, and what every further look adds.
FIRST_LOOK, NEXT_LOOK = 1.0, 0.1


def step_of(sigma: Tensor, table: Tensor) -> Tensor:
    """Fractional trained step t (N,) of sigma (N,) in a table of increasing sigmas, clamped to its range."""
    # On the CPU: not every device has float64.
    log_sigma, logs = sigma.detach().cpu().double().log(), table.log()
    high = torch.searchsorted(logs, log_sigma).clamp(1, len(logs) - 1)
    below, above = logs[high - 1], logs[high]
    t: Tensor = high - 1 + (log_sigma - below) / (above - below)
    return t.clamp(0, len(logs) - 1).float().to(sigma.device)


class EpsilonPrior(nn.Module):
    """D(x, sigma) of a network that predicts noise, the clean image, or v (Salimans and Ho 2022, arXiv 2202.00512).

    - eps: D = x - sigma * eps
    - x0:  D = net
    - v:   D = (x - sigma * sqrt(1 + sigma^2) * v) / (1 + sigma^2)

    Arguments:
        net: (x, t, label) -> (N, C or 2C, H, W); with 2C the second half is guided diffusion's variance fraction.
        table: sigma of every trained step, increasing (see `restorekit.core.ladders`).
        channels, size, classes, partial_noise: see `Denoiser`.
        no_label: the label that stands for none, of a prior trained without labels as well.
        looks: how often the network looks at a hole of which nothing is known (sigma = inf): at the guess that it is
            given, then at its own answers. 0: it was not trained for that.
        learned_variance: the network's second half of channels interpolates the variance of a step.
        self_conditioned: the network has C further input channels, for an estimate of the clean image. D is then its
            second answer, with its first one there (Chen et al. 2022, arXiv 2208.04202, section 3.2; their sampler
            takes the estimate of the step before instead, which spares an evaluation but makes D depend on its past).
        time_scale: the network sees t * time_scale (1000 / steps where guided-diffusion "rescales timesteps").
        multiple: the network takes heights and widths that are multiples of this; others are padded by reflection.
    """

    levels: Tensor | None = None

    def __init__(
        self,
        net: nn.Module,
        table: Tensor,
        *,
        prediction: Prediction = "eps",
        channels: int = 3,
        size: int | None = None,
        classes: tuple[str, ...] | None = None,
        no_label: int | None = None,
        partial_noise: bool = False,
        looks: int = 0,
        learned_variance: bool = False,
        self_conditioned: bool = False,
        time_scale: float = 1.0,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.net = net
        self.prediction, self.time_scale = prediction, time_scale
        self.channels, self.size, self.classes, self.multiple = channels, size, classes, multiple
        self.partial_noise, self.fills = partial_noise, looks > 0
        self.no_label, self.looks = no_label, looks
        self.learned_variance, self.self_conditioned = learned_variance, self_conditioned
        self.sigma_min, self.sigma_max = float(table[0]), float(table[-1])
        self.table = table.detach().double().cpu()

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x, sigma, label); see `Denoiser`."""
        return self.with_variance(x, sigma, label)[0]

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """D(x, sigma, label) and the learned variance fraction v in about [-1, 1], (N, C, H, W), or None.

        v interpolates the log-variance of a reverse step between its bounds (Nichol and Dhariwal 2021, equation 15).
        """
        unknown = per_image(sigma, x).isinf()
        if not unknown.any():
            estimate = self.look(x, sigma, label)[0] if self.self_conditioned else None
            return self.look(x, sigma, label, estimate=estimate)
        if not self.fills:
            raise ValueError("EpsilonPrior: sigma is inf, but the prior was not trained on holes")
        for number in range(self.looks - 1):
            x = torch.where(unknown, self.look(x, sigma, label, number)[0], x)
        return self.look(x, sigma, label, self.looks - 1)

    def look(
        self,
        x: Tensor,
        sigma: Tensor,
        label: Tensor | None = None,
        number: int | Tensor = 0,
        estimate: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """One evaluation of the network, as `with_variance`.

        number: of the look at unknown pixels, from 0; one, or one for each image (N,).
        estimate: of the clean image, like x, for a network that is self-conditioned; 0 by default.
        """
        height, width = x.shape[-2:]
        if label is None and self.classes is not None:
            if self.no_label is None:
                raise ModelError(f"the prior needs a class: {', '.join(self.classes)}")
            label = torch.full((len(x),), self.no_label, device=x.device)
        s = per_image(sigma, x)
        if self.partial_noise:
            # A guess is taken for a noisy pixel.
            unknown = s.isinf()
            s = s.masked_fill(unknown, GUESS_SIGMA)
        seen, level = x / (1 + s**2).sqrt(), sigma
        if self.partial_noise:
            # Two further channels say where the noise is (1, or 0 where the pixel is clean), and where it is a guess.
            level = s.amax((1, 2, 3))
            where = (s / per_image(level.clamp(min=self.sigma_min), x)).expand(-1, 1, height, width)
            seen = torch.cat([seen, where, unknown.expand_as(where)], dim=1)
        elif sigma.ndim != 1:
            raise ValueError("EpsilonPrior: sigma is a map, but the prior was not trained on partial noise")
        if self.self_conditioned:
            seen = torch.cat([seen, torch.zeros_like(x) if estimate is None else estimate], dim=1)
        step = step_of(level, self.table)
        if self.partial_noise:
            # Steps of their own, so that filling shares no embedding with denoising.
            looks = (FIRST_LOOK + NEXT_LOOK * torch.as_tensor(number, device=x.device)) * len(self.table)
            step = torch.where(unknown.expand(len(x), -1, -1, -1).flatten(1).any(1), looks.to(step), step)
        raw = self.net(pad_to_multiple(seen, self.multiple), step * self.time_scale, label)
        raw = raw[..., :height, :width].float()
        out, fraction = raw.chunk(2, dim=1) if raw.shape[1] == 2 * self.channels else (raw, None)
        if self.prediction == "eps":
            return x - s * out, fraction
        if self.prediction == "x0":
            return out, fraction
        return (x - s * (1 + s**2).sqrt() * out) / (1 + s**2), fraction


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Grow x (N, C, H, W) at the right and the bottom to multiples of `multiple`, by reflection where it can."""
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return x
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, down), mode=mode)
