"""The training objective of blind priors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.nets.noise_estimator import SMALLEST
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.training.degradations import degrade, rescale, sample_kinds
from restorekit.training.distillation import Teachers
from restorekit.training.plan import Plan

# Smallest root mean squared error of a degraded crop, in the weight of the loss of a blind prior: 2 grey levels.
LEAST_ERROR = 2 * GREY_LEVEL
# Sigma of a blind prior, relative to the root mean squared error of the degraded image.
SIGMA_SCALE = 2.0
# Fraction of the crops for which a blind prior receives the true sigma, and the weight of the error of its estimate.
TRUE_SIGMA_FRACTION, ESTIMATE_WEIGHT = 0.25, 0.1


class BlindDenoising(nn.Module):
    """(D - x0)^2 of a blind prior on degraded photos (see `training/degradations.py`).

    The estimator of sigma is trained to estimate `SIGMA_SCALE` times the root mean squared error of the degraded crop,
    about the level at which a Gaussian denoiser removes correlated noise. The network receives the estimate, and for
    some of the crops the true value, which it can use from the first step on. The error of D is divided by the square
    of the error that belongs to this sigma, plus `LEAST_ERROR`^2, so that weak degradations count as much as strong
    ones; a weight that depends on y and sigma only does not change E[x0 | y].

    Crops with known JPEG compression have the label "jpeg", all others none.

    With teachers (`plan.distillation`), crops with camera or correlated noise have the mean of the teachers' results as
    target; the estimator of sigma keeps its weights.
    """

    def __init__(self, trained: EpsilonPrior, plan: Plan) -> None:
        super().__init__()
        assert plan.degradation is not None
        self.trained, self.plan, self.degradation = trained, plan, plan.degradation
        self.teachers = None if plan.distillation is None else Teachers(plan.distillation)
        if plan.loss.objective == "sigma" or self.teachers is not None:
            # Distributed training requires a gradient of every parameter that has one.
            for name, parameter in trained.net.named_parameters():
                is_estimator = name.startswith("noise_estimator.")
                parameter.requires_grad_(is_estimator == (plan.loss.objective == "sigma"))

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return the loss; see the class."""
        # Raw data has more than the 8 significant bits of bfloat16.
        with torch.no_grad(), torch.autocast(clean.device.type, enabled=False):
            kinds = sample_kinds(self.degradation, len(clean), generator)
            clean = rescale(self.degradation, clean, generator, kinds)
            degraded, clean = degrade(self.degradation, clean, generator, kinds)
            error = (degraded - clean).square().mean((1, 2, 3))
        if self.plan.run.channels_last:
            degraded = degraded.contiguous(memory_format=torch.channels_last)
        true_sigma = (SIGMA_SCALE * error.sqrt()).clamp(min=SMALLEST)
        estimate = self.trained.estimate_sigma(degraded)
        estimate_loss = (estimate.log() - true_sigma.log()).square().mean()
        if self.plan.loss.objective == "sigma":
            return estimate_loss
        if self.teachers is not None:
            target, weight = self.teachers.targets(degraded, clean, estimate, kinds.photographed)
            return (weight * self._errors(degraded, target, estimate, kinds.known_jpeg)).mean()
        is_told = torch.rand(len(clean), generator=generator, device=generator.device) < TRUE_SIGMA_FRACTION
        sigma = torch.where(is_told, true_sigma, estimate.detach())
        return self._errors(degraded, clean, sigma, kinds.known_jpeg).mean() + ESTIMATE_WEIGHT * estimate_loss

    def _errors(self, degraded: Tensor, target: Tensor, sigma: Tensor, known_jpeg: Tensor) -> Tensor:
        """Return the weighted squared error of D for each crop, (N,)."""
        no_label = self.plan.model.no_label
        # The only class is the first one.
        label = None if no_label is None else torch.where(known_jpeg, 0, no_label)
        denoised = self.trained.single_pass(degraded, sigma, label)[0]
        return (denoised - target).square().mean((1, 2, 3)) / ((sigma / SIGMA_SCALE) ** 2 + LEAST_ERROR**2)
