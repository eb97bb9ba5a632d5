"""Knowledge distillation: the targets of a blind prior are the results of other priors (Hinton et al. 2015,
arXiv 1503.02531).

A network that was trained on simulated camera noise and one for white noise make different errors on real noise, and
the mean of their results is better than either. One network can learn this mean, so that one evaluation suffices. The
targets depend on the degraded crop only, without the variance of the clean crop, so that few crops are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser
from restorekit.errors import ModelError, TrainingError
from restorekit.models.registry import load_prior
from restorekit.training.degradation_plan import DistillationPlan

# Channels of degraded crops.
CHANNELS = 3


class Teachers:
    """The teachers of a plan. They are not part of the trained model and are not saved with it.

    TrainingError if one cannot be loaded or is not a prior of colour images.
    """

    def __init__(self, plan: DistillationPlan) -> None:
        self.plan = plan
        self.priors: list[Denoiser] = [_load(name) for name in plan.teachers]
        for prior in self.priors:
            if isinstance(prior, nn.Module):
                prior.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def targets(self, degraded: Tensor, clean: Tensor, estimate: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets of crops (N, 3, H, W) and their weights in the loss (N,).

        degraded, clean: crops in about [-1, 1]; the target of crops without teachers is the clean crop.
        estimate: sigma of the trained prior, (N,). taught: which crops have teachers, (N,) bool.
        """
        target, weight = clean.clone(), torch.where(taught, self.plan.weight, 1.0)
        if taught.any():
            for prior in self.priors:
                if isinstance(prior, nn.Module):
                    prior.to(degraded.device)
            crops, sigma = degraded[taught], self.plan.sigma_scale * estimate[taught]
            results = [
                prior(crops, sigma.clamp(prior.info.sigma_min, prior.info.sigma_max)).float() for prior in self.priors
            ]
            target[taught] = torch.stack(results).mean(0)
            # Some versions of torch reuse weights cast under `no_grad`, which have no gradients.
            torch.clear_autocast_cache()
        return target, weight


def _load(name: str) -> Denoiser:
    try:
        prior = load_prior(name)
    except ModelError as error:
        raise TrainingError(f"distillation.teachers: {str(error).removeprefix('--model: ')}") from error
    if prior.info.channels != CHANNELS:
        found = f"{name} has {prior.info.channels} channels"
        raise TrainingError(f"distillation.teachers: {found}, allowed: priors with {CHANNELS}")
    return prior
