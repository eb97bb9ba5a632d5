"""The noise schedule of a variance-preserving process, as stored in the header of a weights file."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from restorekit.core.config import Config
from restorekit.core.ladders import cosine_betas, linear_betas, sigmas_from_betas

# Range of sigma whose squares float32 can represent.
SIGMA_RANGE = (1e-8, 1e8)


class ScheduleConfig(Config):
    """The variance-preserving process of a DDPM or guided diffusion prior."""

    kind: Literal["linear", "cosine", "scaled-linear", "sigmoid", "betas"] = "linear"
    """linear: Ho et al. 2020; cosine: Nichol and Dhariwal 2021; scaled-linear: linear in sqrt(beta) (Rombach et al.
    2022); sigmoid: Xu et al. 2022 (GeoDiff); betas: the values in `betas`."""
    steps: int = Field(1000, ge=2, le=100_000)
    start: float = Field(1e-4, gt=0, lt=1)
    """First beta, except for cosine and betas; guided-diffusion multiplies the first and the last beta of the linear
    schedule by 1000 / steps."""
    end: float = Field(0.02, gt=0, lt=1)
    """Last beta, except for cosine and betas."""
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = Field(None, min_length=2, max_length=100_000)
    """The betas of all steps, for the kind betas only."""
    time_scale: float = Field(1.0, gt=0, le=1e6)
    """The network receives t * time_scale; 1000 / steps where guided-diffusion "rescales timesteps"."""

    @model_validator(mode="after")
    def _check_sigmas(self) -> ScheduleConfig:
        if (self.kind == "betas") != (self.betas is not None) or len(self.betas or ()) not in (0, self.steps):
            found = "null" if self.betas is None else f"{len(self.betas)} values"
            allowed = f"{self.steps} values (steps)" if self.kind == "betas" else "null"
            raise ValueError(f"schedule.betas is {found}, allowed for the kind {self.kind}: {allowed}")
        sigmas = self.table()
        first, last = sigmas[[0, -1]].tolist()
        if not (sigmas.diff() > 0).all() or first < SIGMA_RANGE[0] or last > SIGMA_RANGE[1]:
            found = f"schedule.steps, start and end give sigma from {first:g} to {last:g}"
            raise ValueError(f"{found}, allowed: increasing from {SIGMA_RANGE[0]:g} to {SIGMA_RANGE[1]:g}")
        return self

    def table(self) -> torch.Tensor:
        """Return sigma of every trained step: (steps,), increasing, float64."""
        if self.betas is not None:
            betas = torch.tensor(self.betas, dtype=torch.float64)
        elif self.kind == "cosine":
            betas = cosine_betas(self.steps)
        elif self.kind == "scaled-linear":
            betas = linear_betas(self.steps, self.start**0.5, self.end**0.5) ** 2
        elif self.kind == "sigmoid":
            betas = torch.linspace(-6, 6, self.steps, dtype=torch.float64).sigmoid()
            betas = betas * (self.end - self.start) + self.start
        else:
            betas = linear_betas(self.steps, self.start, self.end)
        return sigmas_from_betas(betas)
