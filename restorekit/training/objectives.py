"""Training objectives: modules that contain the network, so that distributed training synchronizes its gradients.

Every objective is called with (clean (N, C, H, W) in [-1, 1], label (N,) int64 or None, generator) and returns the
loss. The generator is its only source of randomness.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from accelerate.utils import gather
from torch import Tensor, nn

from restorekit.core.denoiser import per_image
from restorekit.core.variational import bound_term
from restorekit.initial.smooth_fill import smooth_fill
from restorekit.priors.epsilon import EpsilonPrior, Prediction
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.score import ScorePrior
from restorekit.training.blind_denoising import BlindDenoising
from restorekit.training.data import dequantize
from restorekit.training.losses import denoising_loss, effective_sigma, partial_noise, sample_sigmas, target_weight
from restorekit.training.plan import Plan
from restorekit.training.score_matching import sliced_score_matching

# Number of losses per step that determine its importance (Nichol and Dhariwal 2021, section 3.3).
HISTORY = 10
# Fraction of the samples that remain uniform.
UNIFORM = 0.001
# Fraction of the images for which a self-conditioned network gets its first estimate (Chen et al. 2022, section 3.2).
SELF_CONDITIONED_FRACTION = 0.5


def prepare(
    plan: Plan, clean: Tensor, label: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Dequantize images and drop labels according to the plan."""
    if plan.data.dequantize:
        clean = dequantize(clean, torch.rand(clean.shape, generator=generator, device=clean.device))
    no_label = plan.model.no_label
    if label is not None and no_label is not None:
        dropped = torch.rand(label.shape, generator=generator, device=label.device) < plan.loss.label_dropout
        label = label.masked_fill(dropped, no_label)
    return clean, label


def add_noise(
    plan: Plan,
    prior: EpsilonPrior | ScorePrior,
    prediction: Prediction,
    clean: Tensor,
    sigma: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return noisy images, their levels (N,) or maps (N, 1, H, W), sigma (N,) float32, and weights (N,) or None.

    The weights are given if the plan has partial noise. sigma: (N,) float64, replaced for crops with partial noise.
    """
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    weight, where = None, None
    if plan.noise.partial_share:
        sigma, where, weight = partial_noise(plan.noise, prediction, sigma, clean.shape[-1], generator)
        bounded = sigma.clamp(prior.info.sigma_min, prior.info.sigma_max)
        sigma = torch.where(sigma.isinf(), sigma, bounded)
    sigma = sigma.float()
    level = sigma if where is None else torch.where(where > 0, sigma[:, None, None, None], 0.0)
    deviation = per_image(level, clean)
    noisy = torch.where(deviation.isinf(), clean, clean + deviation * noise)
    if where is not None:
        noisy = smooth_fill(noisy, level.isinf())
    if plan.run.channels_last:
        noisy = noisy.contiguous(memory_format=torch.channels_last)
    return noisy, level, sigma, weight


def first_estimate(
    trained: EpsilonPrior, noisy: Tensor, sigma: Tensor, label: Tensor | None, generator: torch.Generator
) -> Tensor | None:
    """Return the first estimate of a self-conditioned network, without gradients; None for other networks.

    It is 0 for half of the images.
    """
    if not trained.self_conditioned:
        return None
    with torch.no_grad():
        estimate = trained.single_pass(noisy, sigma, label)[0]
    clear_cast_weights()
    used = torch.rand(len(noisy), generator=generator, device=generator.device) < SELF_CONDITIONED_FRACTION
    return estimate * per_image(used, estimate)


def clear_cast_weights() -> None:
    """Clear the autocast cache: some versions of torch reuse weights cast under `no_grad`, which have no gradients."""
    torch.clear_autocast_cache()


class Denoising(nn.Module):
    """((D - x0) / sigma)^2, for priors without a learned variance; with partial noise if the plan has it."""

    def __init__(self, trained: EpsilonPrior | ScorePrior, plan: Plan, prediction: Prediction) -> None:
        super().__init__()
        self.trained, self.plan, self.prediction = trained, plan, prediction

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return the loss; see the module docstring."""
        plan, prior = self.plan, self.trained
        clean, label = prepare(plan, clean, label, generator)
        sigma = sample_sigmas(plan.noise, prior.table, len(clean), generator)
        noisy, level, sigma, weight = add_noise(plan, prior, self.prediction, clean, sigma, generator)
        if plan.loss.objective == "sliced":
            directions = torch.randn(clean.shape, generator=generator, device=clean.device)
            return self._sliced(noisy, sigma, directions)
        denoised = self._denoised(noisy, level, label, generator)
        return denoising_loss(plan.loss, self.prediction, denoised, clean, effective_sigma(sigma), weight)

    def _denoised(self, noisy: Tensor, level: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        prior = self.trained
        if not isinstance(prior, EpsilonPrior):
            denoised: Tensor = prior(noisy, level, label)
            return denoised
        if prior.info.supports_holes:
            return self._multiple_passes(noisy, level, label, generator)
        return prior.single_pass(noisy, level, label, estimate=first_estimate(prior, noisy, level, label, generator))[0]

    def _multiple_passes(
        self, noisy: Tensor, level: Tensor, label: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return D; for images with unknown pixels, that of a random pass on the result of the previous passes."""
        prior, unknown = self.trained, level.isinf()
        assert isinstance(prior, EpsilonPrior)
        numbers = torch.randint(prior.passes, (len(noisy),), generator=generator, device=generator.device)
        numbers = numbers.masked_fill(~unknown.flatten(1).any(1), 0)
        for number in range(prior.passes - 1):
            selected = numbers > number
            # Processes that gather the weights of the network must call it equally often, for no image if need be.
            if selected.any() or self.plan.run.fsdp:
                with torch.no_grad():
                    selected_label = None if label is None else label[selected]
                    denoised = prior.single_pass(noisy[selected], level[selected], selected_label, number)[0]
                noisy[selected] = torch.where(unknown[selected], denoised, noisy[selected])
        clear_cast_weights()
        return prior.single_pass(noisy, level, label, numbers)[0]

    def _sliced(self, noisy: Tensor, sigma: Tensor, directions: Tensor) -> Tensor:
        """Return the loss of sliced score matching weighted by sigma^2, as a mean over the pixels."""
        variance = per_image(sigma**2, noisy)
        loss = sliced_score_matching(
            lambda x: (self.trained(x, sigma) - x) / variance, noisy, directions[None], weight=sigma**2
        )
        return loss / noisy[0].numel()


class LearnedVariance(nn.Module):
    """Losses for priors with a learned variance (Nichol and Dhariwal 2021).

    The hybrid loss is L_simple + L_vlb * steps / 1000 (equation 16, with the scale of the authors' code); crops with
    partial noise contribute to L_simple only. The objective "vlb" is L_vlb with importance sampling of the steps
    (equation 18).
    """

    history: Tensor
    seen: Tensor

    def __init__(self, trained: EpsilonPrior, plan: Plan) -> None:
        super().__init__()
        self.trained, self.plan = trained, plan
        steps = len(trained.table)
        self.register_buffer("history", torch.zeros(steps, HISTORY), persistent=True)
        self.register_buffer("seen", torch.zeros(steps, dtype=torch.int64), persistent=True)

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return the loss; see the module docstring."""
        clean, label = prepare(self.plan, clean, label, generator)
        bound_only = self.plan.loss.objective == "vlb"
        sample_steps = self._sample_by_importance if bound_only else self._sample_uniformly
        index, weight = sample_steps(len(clean), generator)
        table, prediction = self.trained.table, self.trained.prediction
        noisy, level, sigma, partial_weight = add_noise(
            self.plan, self.trained, prediction, clean, table.to(clean.device)[index], generator
        )
        estimate = first_estimate(self.trained, noisy, level, label, generator)
        denoised, variance_weight = self.trained.single_pass(noisy, level, label, estimate=estimate)
        mean = denoised if bound_only else denoised.detach()
        bound = bound_term(
            clean, mean, noisy / per_image((1 + sigma**2).sqrt(), clean), table, index, "learned", variance_weight
        )
        if bound_only:
            self._remember(index, bound.detach().float())
            return (bound * weight).mean() * len(table)
        simple = ((denoised - clean) ** 2).flatten(1).mean(1) * target_weight(prediction, sigma)
        if partial_weight is not None:
            # The variance of a reverse step is defined for noise on every pixel.
            simple, bound = simple * partial_weight, bound.masked_fill((level == 0).flatten(1).any(1), 0)
        return (simple + bound * len(table) / 1000).mean()

    def _sample_uniformly(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.trained.table), (count,), generator=generator, device=generator.device)
        return index, torch.ones(count, device=generator.device)

    def _sample_by_importance(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return steps and weights 1 / (p S); uniform until every step has a full history."""
        if (self.seen < HISTORY).any():
            return self._sample_uniformly(count, generator)
        importance = self.history.square().mean(1).sqrt()
        probability = importance / importance.sum() * (1 - UNIFORM) + UNIFORM / len(importance)
        index = torch.multinomial(probability, count, replacement=True, generator=generator)
        return index, 1 / (probability[index] * len(probability))

    @torch.no_grad()
    def _remember(self, index: Tensor, bound: Tensor) -> None:
        """Add losses to the history, those of all processes in the same order: every process has the same history."""
        index, bound = gather([index, bound])
        for step, value in zip(index.tolist(), bound, strict=True):
            self.history[step, self.seen[step] % HISTORY] = value
            self.seen[step] += 1


class Classifying(nn.Module):
    """Cross-entropy of a classifier of noisy images."""

    def __init__(self, trained: NoisyClassifier, plan: Plan) -> None:
        super().__init__()
        self.trained, self.plan = trained, plan

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return the loss; see the module docstring."""
        assert label is not None
        sigma = sample_sigmas(self.plan.noise, self.trained.table, len(clean), generator).float()
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = clean + per_image(sigma, clean) * noise
        if self.plan.run.channels_last:
            noisy = noisy.contiguous(memory_format=torch.channels_last)
        return F.nll_loss(self.trained(noisy, sigma), label)


def objective_for(trained: nn.Module, plan: Plan) -> nn.Module:
    """Return the objective for the model of a plan."""
    if isinstance(trained, NoisyClassifier):
        return Classifying(trained, plan)
    if isinstance(trained, ScorePrior):
        return Denoising(trained, plan, "eps")
    assert isinstance(trained, EpsilonPrior)
    if trained.info.blind:
        return BlindDenoising(trained, plan)
    if plan.model.learned_variance:
        return LearnedVariance(trained, plan)
    return Denoising(trained, plan, trained.prediction)
