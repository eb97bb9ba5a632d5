"""What is minimised, as modules: they hold the network, so that several processes share its gradients.

Every objective is called with (clean (N, C, H, W) in [-1, 1], label (N,) int64 or None, generator) and returns a loss;
all that is random in it comes from the generator.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.core.denoiser import per_image
from restorekit.core.variational import bound_term
from restorekit.models.config import EpsilonConfig
from restorekit.priors.epsilon import EpsilonPrior, Prediction
from restorekit.priors.fill import smooth_fill
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.score import ScorePrior
from restorekit.training.data import dequantized
from restorekit.training.losses import denoising_loss, draw_sigmas, partial_noise, seen_level, target_weight
from restorekit.training.plan import Plan
from restorekit.training.score_matching import sliced_score_matching

# Losses of a step that its importance is taken from (Nichol and Dhariwal 2021, section 3.3).
HISTORY = 10
# Share of the draws that stay uniform.
UNIFORM = 0.001


def prepared(
    plan: Plan, clean: Tensor, label: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Images dequantised and labels dropped, as the plan says."""
    if plan.data.dequantize:
        clean = dequantized(clean, torch.rand(clean.shape, generator=generator, device=clean.device))
    none = getattr(plan.model, "no_label", None)
    if label is not None and none is not None:
        dropped = torch.rand(label.shape, generator=generator, device=label.device) < plan.loss.label_dropout
        label = label.masked_fill(dropped, none)
    return clean, label


def corrupted(
    plan: Plan,
    prior: EpsilonPrior | ScorePrior,
    prediction: Prediction,
    clean: Tensor,
    sigma: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Noisy images, their levels (N,) or maps, sigma (N,) float32, and weights (N,) where some noise is partial.

    sigma (N,) float64: the levels of the crops, but for a share of them that the plan gives partial noise.
    """
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    weight, where = None, None
    if plan.noise.partial_share:
        sigma, where, weight = partial_noise(plan.noise, prediction, sigma, clean.shape[-1], generator)
        bounded = sigma.clamp(prior.sigma_min, prior.sigma_max)
        sigma = torch.where(sigma.isinf(), sigma, bounded)
    sigma = sigma.float()
    level = sigma if where is None else torch.where(where > 0, sigma[:, None, None, None], 0.0)
    shown = per_image(level, clean)
    noisy = torch.where(shown.isinf(), clean, clean + shown * noise)
    if where is not None:
        noisy = smooth_fill(noisy, level.isinf())
    if plan.run.channels_last:
        noisy = noisy.contiguous(memory_format=torch.channels_last)
    return noisy, level, sigma, weight


# Share of the images that a self-conditioned network is shown its own first answer of (Chen et al. 2022, section 3.2).
SHOWN = 0.5


def own_estimate(
    trained: EpsilonPrior, noisy: Tensor, sigma: Tensor, label: Tensor | None, generator: torch.Generator
) -> Tensor | None:
    """The first answer of a self-conditioned network without gradients, 0 for half of the images; None for others."""
    if not trained.self_conditioned:
        return None
    with torch.no_grad():
        estimate = trained.look(noisy, sigma, label)[0]
    forget_casts()
    shown = torch.rand(len(noisy), generator=generator, device=generator.device) < SHOWN
    return estimate * per_image(shown, estimate)


def forget_casts() -> None:
    """Some versions of torch would use the casts of evaluations without gradients again, without gradients."""
    torch.clear_autocast_cache()


class Denoising(nn.Module):
    """((D - x0) / sigma)^2 for priors that predict one thing and have no variance; partial noise where planned."""

    def __init__(self, trained: EpsilonPrior | ScorePrior, plan: Plan, prediction: Prediction) -> None:
        super().__init__()
        self.trained, self.plan, self.prediction = trained, plan, prediction

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """See the module."""
        plan, prior = self.plan, self.trained
        clean, label = prepared(plan, clean, label, generator)
        sigma = draw_sigmas(plan.noise, prior.table, len(clean), generator)
        noisy, level, sigma, weight = corrupted(plan, prior, self.prediction, clean, sigma, generator)
        if plan.loss.objective == "sliced":
            directions = torch.randn(clean.shape, generator=generator, device=clean.device)
            return self._sliced(noisy, sigma, directions)
        denoised = self._denoised(noisy, level, label, generator)
        return denoising_loss(plan.loss, self.prediction, denoised, clean, seen_level(sigma), weight)

    def _denoised(self, noisy: Tensor, level: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        prior = self.trained
        if not isinstance(prior, EpsilonPrior):
            answer: Tensor = prior(noisy, level, label)
            return answer
        if prior.fills:
            return self._looks(noisy, level, label, generator)
        return prior.look(noisy, level, label, estimate=own_estimate(prior, noisy, level, label, generator))[0]

    def _looks(self, noisy: Tensor, level: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """D, of unknown pixels at a random look, after the looks before it."""
        prior, unknown = self.trained, level.isinf()
        assert isinstance(prior, EpsilonPrior)
        numbers = torch.randint(prior.looks, (len(noisy),), generator=generator, device=generator.device)
        numbers = numbers.masked_fill(~unknown.flatten(1).any(1), 0)
        for number in range(prior.looks - 1):
            chosen = numbers > number
            if chosen.any():
                with torch.no_grad():
                    own = None if label is None else label[chosen]
                    answer = prior.look(noisy[chosen], level[chosen], own, number)[0]
                noisy[chosen] = torch.where(unknown[chosen], answer, noisy[chosen])
        forget_casts()
        return prior.look(noisy, level, label, numbers)[0]

    def _sliced(self, noisy: Tensor, sigma: Tensor, directions: Tensor) -> Tensor:
        """Sliced score matching weighted by sigma^2, as a mean over the pixels."""
        variance = per_image(sigma**2, noisy)
        loss = sliced_score_matching(
            lambda x: (self.trained(x, sigma) - x) / variance, noisy, directions[None], weight=sigma**2
        )
        return loss / noisy[0].numel()


class LearnedVariance(nn.Module):
    """L_simple + L_vlb * steps / 1000 with a learned variance, the hybrid of Nichol and Dhariwal 2021 (equation 16; the
    authors' rescaling), or L_vlb alone, by importance sampling of the steps (equation 18). Crops with partial noise,
    where planned, count in L_simple alone."""

    history: Tensor
    seen: Tensor

    def __init__(self, trained: EpsilonPrior, plan: Plan) -> None:
        super().__init__()
        self.trained, self.plan = trained, plan
        steps = len(trained.table)
        self.register_buffer("history", torch.zeros(steps, HISTORY), persistent=True)
        self.register_buffer("seen", torch.zeros(steps, dtype=torch.int64), persistent=True)

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """See the module."""
        clean, label = prepared(self.plan, clean, label, generator)
        alone = self.plan.loss.objective == "vlb"
        index, weight = self._draw(len(clean), generator) if alone else self._uniform(len(clean), generator)
        table, prediction = self.trained.table, self.trained.prediction
        noisy, level, sigma, more = corrupted(
            self.plan, self.trained, prediction, clean, table.to(clean.device)[index], generator
        )
        estimate = own_estimate(self.trained, noisy, level, label, generator)
        denoised, fraction = self.trained.look(noisy, level, label, estimate=estimate)
        kept = denoised if alone else denoised.detach()
        bound = bound_term(
            clean, kept, noisy / per_image((1 + sigma**2).sqrt(), clean), table, index, "learned", fraction
        )
        if alone:
            self._remember(index, bound.detach().float())
            return (bound * weight).mean() * len(table)
        simple = ((denoised - clean) ** 2).flatten(1).mean(1) * target_weight(prediction, sigma)
        if more is not None:
            # The variance of a step is that of whole noise.
            simple, bound = simple * more, bound.masked_fill((level == 0).flatten(1).any(1), 0)
        return (simple + bound * len(table) / 1000).mean()

    def _uniform(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.trained.table), (count,), generator=generator, device=generator.device)
        return index, torch.ones(count, device=generator.device)

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Steps and weights 1 / (p S); uniform until every step has its history."""
        if (self.seen < HISTORY).any():
            return self._uniform(count, generator)
        share = self.history.square().mean(1).sqrt()
        share = share / share.sum() * (1 - UNIFORM) + UNIFORM / len(share)
        index = torch.multinomial(share, count, replacement=True, generator=generator)
        return index, 1 / (share[index] * len(share))

    @torch.no_grad()
    def _remember(self, index: Tensor, bound: Tensor) -> None:
        for step, value in zip(index.tolist(), bound, strict=True):
            self.history[step, self.seen[step] % HISTORY] = value
            self.seen[step] += 1


class Classifying(nn.Module):
    """Cross-entropy of the labels of noisy images."""

    def __init__(self, trained: NoisyClassifier, plan: Plan) -> None:
        super().__init__()
        self.trained, self.plan = trained, plan

    def forward(self, clean: Tensor, label: Tensor | None, generator: torch.Generator) -> Tensor:
        """See the module."""
        assert label is not None
        sigma = draw_sigmas(self.plan.noise, self.trained.table, len(clean), generator).float()
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = clean + per_image(sigma, clean) * noise
        if self.plan.run.channels_last:
            noisy = noisy.contiguous(memory_format=torch.channels_last)
        return F.nll_loss(self.trained(noisy, sigma), label)


def objective_for(trained: nn.Module, plan: Plan) -> nn.Module:
    """The objective that a plan's model is trained by."""
    if isinstance(trained, NoisyClassifier):
        return Classifying(trained, plan)
    if isinstance(trained, ScorePrior):
        return Denoising(trained, plan, "eps")
    assert isinstance(trained, EpsilonPrior)
    learned = isinstance(plan.model, EpsilonConfig) and plan.model.learned_variance
    return LearnedVariance(trained, plan) if learned else Denoising(trained, plan, trained.prediction)
