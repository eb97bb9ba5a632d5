"""A network trained on a variance-preserving process (DDPM, guided diffusion) as a denoiser.

Only this module uses t, beta and alpha_bar. For x = x0 + sigma * n, the network receives x / sqrt(1 + sigma^2) and the
(fractional) step t(sigma), interpolated in log sigma between the trained steps (Karras et al. 2022, appendix C).
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.core.denoiser import GREY_LEVEL, PriorInfo, batch_sigma, per_image
from restorekit.errors import ModelError, shortened

Prediction = Literal["eps", "x0", "v"]

# Noise level at which the network receives the initial estimate of a hole (sigma = inf).
HOLE_SIGMA = 0.2
# Step that the network receives in the first pass over a hole, and its increment per pass, as fractions of the number
# of trained steps.
FIRST_PASS, NEXT_PASS = 1.0, 0.1
# Number of further passes over a hole after the trained ones, each like the last of them.
EXTRA_PASSES = 1
# Largest estimate of sigma of a blind prior that is used as it is, in the unit of images in [-1, 1]; those of real
# photos of ISO 800 to 12800 are below it (center crops of benchmarks/real_noise.md).
CERTAIN_SIGMA = 12 * GREY_LEVEL


def step_of(sigma: Tensor, table: Tensor) -> Tensor:
    """Return the fractional trained step t of every sigma, clamped to the range of the table.

    t is an exact integer for a trained sigma that was rounded to float32, and linear in log sigma in between.

    sigma: (N,). table: (steps,), increasing, float64, on the CPU. Returns (N,) float32, on the device of sigma.
    """
    # On the CPU because some devices have no float64.
    log_sigma, logs = sigma.detach().cpu().double().log(), table.log()
    high = torch.searchsorted(logs, log_sigma).clamp(1, len(logs) - 1)
    below, above = logs[high - 1], logs[high]
    t: Tensor = (high - 1 + (log_sigma - below) / (above - below)).clamp(0, len(logs) - 1)
    # Without this, a trained sigma that was rounded down would be the step below for a network that truncates t.
    nearest = t.round()
    trained = table[nearest.long()].float() == sigma.detach().cpu().float()
    return torch.where(trained, nearest, t).float().to(sigma.device)


class EpsilonPrior(nn.Module):
    """D(x, sigma) of a network that predicts noise, the clean image, or v (Salimans and Ho 2022, arXiv 2202.00512).

    - eps: D = x - sigma * eps
    - x0:  D = net
    - v:   D = (x - sigma * sqrt(1 + sigma^2) * v) / (1 + sigma^2)

    Arguments:
        net: (x, t, label) -> (N, C or 2C, H, W); with 2C, the second half is the interpolation weight of the variance.
        table: sigma of every trained step, increasing (see `restorekit.core.ladders`).
        prediction: the quantity that the network predicts.
        channels, size, classes, no_label, partial_noise, learned_variance: see `PriorInfo`.
        low_res_factor: upsampling factor of an upsampling network, which also receives a low-resolution image; see
            `given_low_res`.
        passes: number of passes of the network over a hole (sigma = inf), the first on the initial estimate, each
            subsequent one on the result of the previous pass. 0: the network was not trained on holes. D takes
            one pass more than that.
        self_conditioned: the network has C additional input channels for an estimate of the clean image. D is then the
            result of a second pass, whose estimate is the result of the first (Chen et al. 2022, arXiv 2208.04202,
            section 3.2; their sampler uses the estimate of the previous step instead, which saves an evaluation but
            makes D depend on the history).
        time_scale: the network receives t * time_scale (1000 / steps where guided-diffusion "rescales timesteps").
        nearest_steps: the network receives the nearest trained step (in log sigma), for networks that only know integer
            steps.
        blind: sigma is estimated by `net.noise_estimator`, whatever the caller passes; see `PriorInfo.blind`.
        multiple: the network requires heights and widths that are multiples of this; other sizes are padded by
            reflection.
    """

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
        low_res_factor: int | None = None,
        partial_noise: bool = False,
        passes: int = 0,
        learned_variance: bool = False,
        self_conditioned: bool = False,
        blind: bool = False,
        time_scale: float = 1.0,
        nearest_steps: bool = False,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.net = net
        self.prediction, self.time_scale, self.nearest_steps = prediction, time_scale, nearest_steps
        self.low_res_factor = low_res_factor
        self.low_res: Tensor | None = None
        self.multiple, self.passes, self.self_conditioned = multiple, passes, self_conditioned
        self.table = table.detach().double().cpu()
        self.info = PriorInfo(
            channels=channels,
            size=size,
            sigma_min=float(table[0]),
            sigma_max=float(table[-1]),
            classes=classes,
            no_label=no_label,
            learned_variance=learned_variance,
            partial_noise=partial_noise,
            supports_holes=passes > 0,
            blind=blind,
        )

    def given_low_res(self, low_res: Tensor) -> EpsilonPrior:
        """Return the prior of images with a given low-resolution version, for an upsampling network (`net.low_res`).

        low_res: (N or 1, C, h, w) in [-1, 1].
        """
        prior = copy.copy(self)
        prior.low_res = low_res
        return prior

    def forward(self, x: Tensor, sigma: Tensor | float, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma, label); see `Denoiser`. sigma may also be one number for all images."""
        return self.with_variance(x, sigma, label)[0]

    def with_variance(
        self, x: Tensor, sigma: Tensor | float, label: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return D(x, sigma, label) and the interpolation weight v of the variance, (N, C, H, W), or None.

        v is in about [-1, 1]; it interpolates the log-variance of a reverse step between its bounds (Nichol and
        Dhariwal 2021, equation 15).
        """
        sigma = damp(self.estimate_sigma(x)) if self.info.blind else batch_sigma(x, sigma)
        unknown = per_image(sigma, x).isinf()
        if not unknown.any():
            estimate = self.single_pass(x, sigma, label)[0] if self.self_conditioned else None
            return self.single_pass(x, sigma, label, estimate=estimate)
        if not self.info.supports_holes:
            raise ValueError("EpsilonPrior: sigma is inf, but the prior was not trained on holes")
        denoised, weight = x, None
        # Every pass sees the image rotated by a further 90 degrees, so that errors of the network that depend on
        # orientation cancel (self-ensemble, Timofte et al. 2016, arXiv 1511.02228).
        for turns in range(self.passes + EXTRA_PASSES):
            turned = torch.where(unknown, denoised, x).rot90(turns, (-2, -1))
            level = sigma if sigma.ndim == 1 else sigma.rot90(turns, (-2, -1))
            denoised, weight = self.single_pass(turned, level, label, min(turns, self.passes - 1))
            denoised = denoised.rot90(-turns, (-2, -1))
        return denoised, None if weight is None else weight.rot90(-turns, (-2, -1))

    def estimate_sigma(self, x: Tensor) -> Tensor:
        """Return the sigma (N,) that a blind prior estimates for degraded images x (N, C, H, W)."""
        return self.net.noise_estimator(x)  # type: ignore[no-any-return, operator]

    def single_pass(
        self,
        x: Tensor,
        sigma: Tensor,
        label: Tensor | None = None,
        number: int | Tensor = 0,
        estimate: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Evaluate the network once; returns like `with_variance`.

        number: index of the pass over a hole, from 0; one number, or one per image (N,).
        estimate: estimate of the clean image, like x, for a self-conditioned network; 0 by default.
        """
        height, width = x.shape[-2:]
        if label is None and self.info.classes is not None:
            if self.info.no_label is None:
                raise ModelError(f"the prior requires a class; allowed: {shortened(', '.join(self.info.classes), 200)}")
            label = torch.full((len(x),), self.info.no_label, device=x.device)
        s = per_image(sigma, x)
        if self.info.partial_noise:
            # The initial estimate of an unknown pixel counts as a noisy pixel.
            unknown = s.isinf()
            s = s.masked_fill(unknown, HOLE_SIGMA)
        inputs, level = x / (1 + s**2).sqrt(), sigma
        if self.info.partial_noise:
            # Two additional channels: where the noise is (1, or 0 for clean pixels), and which pixels are unknown.
            level = s.amax((1, 2, 3))
            where = (s / per_image(level.clamp(min=self.info.sigma_min), x)).expand(-1, 1, height, width)
            inputs = torch.cat([inputs, where, unknown.expand_as(where)], dim=1)
        elif sigma.ndim != 1:
            raise ValueError("EpsilonPrior: sigma is a map, but the prior was not trained on partial noise")
        if self.self_conditioned:
            inputs = torch.cat([inputs, torch.zeros_like(x) if estimate is None else estimate], dim=1)
        step = step_of(level, self.table)
        step = step.round() if self.nearest_steps else step
        if self.info.partial_noise:
            # Separate steps, so that filling and denoising share no embedding.
            passes = (FIRST_PASS + NEXT_PASS * torch.as_tensor(number, device=x.device)) * len(self.table)
            step = torch.where(unknown.expand(len(x), -1, -1, -1).flatten(1).any(1), passes.to(step), step)
        given = {} if self.low_res_factor is None else {"low_res": self._checked_low_res(x)}
        raw = self.net(pad_to_multiple(inputs, self.multiple), step * self.time_scale, label, **given)
        raw = raw[..., :height, :width].float()
        out, weight = raw.chunk(2, dim=1) if raw.shape[1] == 2 * self.info.channels else (raw, None)
        if self.prediction == "eps":
            return x - s * out, weight
        if self.prediction == "x0":
            return out, weight
        return (x - s * (1 + s**2).sqrt() * out) / (1 + s**2), weight

    def _checked_low_res(self, x: Tensor) -> Tensor:
        """Return the low-resolution image (N, C, h, w) of images x; ModelError if there is none, or of another size."""
        height, width = (side // (self.low_res_factor or 1) for side in x.shape[-2:])
        found = (
            "no low-resolution image" if self.low_res is None else "{1} x {0} pixels".format(*self.low_res.shape[-2:])
        )
        if self.low_res is None or tuple(self.low_res.shape[-2:]) != (height, width):
            allowed = f"given_low_res with {width} x {height} pixels for {x.shape[-1]} x {x.shape[-2]}"
            raise ModelError(f"the prior is an upsampler; found {found}, allowed: {allowed}")
        return self.low_res.to(x).expand(len(x), -1, -1, -1)


def damp(sigma: Tensor) -> Tensor:
    """Return estimates of sigma (N,) above CERTAIN_SIGMA, replaced by their geometric mean with it.

    A large estimate may be due to texture, such as gravel, and this keeps more of it: 29 instead of 25 dB between input
    and output of the worst of 32 photos without noise. Photos with two and a half times the noise of ISO 800 to 12800
    lose 0.7 of 4.6 dB (benchmarks/training-log.md).
    """
    return torch.where(sigma > CERTAIN_SIGMA, (CERTAIN_SIGMA * sigma).sqrt(), sigma)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad x (N, C, H, W) on the right and at the bottom to multiples of `multiple`.

    Pads by reflection, or by repeating the border where the image is too small for that.
    """
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return x
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, down), mode=mode)
