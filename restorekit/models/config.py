"""What a weights file says of itself, and the prior that is built from it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator

from restorekit.core.config import Config
from restorekit.core.ladders import cosine_betas, linear_betas, sigmas_from_betas
from restorekit.nets.unet import UNet, UNetConfig
from restorekit.priors.epsilon import EpsilonPrior


class ScheduleConfig(Config):
    """The variance-preserving process of a DDPM or guided diffusion prior."""

    kind: Literal["linear", "cosine"] = "linear"
    steps: int = Field(1000, ge=2)
    start: float = 1e-4
    """First and last beta of the linear schedule; guided-diffusion multiplies both with 1000 / steps."""
    end: float = 0.02
    time_scale: float = Field(1.0, gt=0)
    """The network sees t * time_scale; 1000 / steps where guided-diffusion "rescales timesteps"."""

    def table(self) -> torch.Tensor:
        """Sigma of every trained step, (steps,), increasing, float64."""
        if self.kind == "cosine":
            return sigmas_from_betas(cosine_betas(self.steps))
        return sigmas_from_betas(linear_betas(self.steps, self.start, self.end))


class ModelConfig(Config):
    """Everything that is needed to rebuild a prior around its weights."""

    family: Literal["epsilon"] = "epsilon"
    net: UNetConfig = UNetConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    prediction: Literal["eps", "x0", "v"] = "eps"
    channels: int = Field(3, ge=1)
    size: int | None = Field(64, ge=1)
    """Side of the windows that it was trained on; a network that is local (see `UNetConfig`) takes any."""
    classes: tuple[str, ...] | None = None
    partial_noise: bool = False
    """It was trained on noise that spares some pixels as well: its network has a further input channel that says where
    the noise is."""

    @model_validator(mode="after")
    def _channels_fit(self) -> ModelConfig:
        wanted = self.channels + (1 if self.partial_noise else 0)
        if self.net.in_channels != wanted:
            raise ValueError(f"net.in_channels is {self.net.in_channels}, allowed: {wanted} (channels, partial_noise)")
        return self


def build_prior(config: ModelConfig) -> EpsilonPrior:
    """A prior with fresh weights."""
    return EpsilonPrior(
        UNet(config.net),
        config.schedule.table(),
        prediction=config.prediction,
        channels=config.channels,
        size=None if config.net.is_local else config.size,
        classes=config.classes,
        partial_noise=config.partial_noise,
        time_scale=config.schedule.time_scale,
        multiple=config.net.factor,
    )
