"""The parts of a training plan that describe the degradations of a blind prior, and its teachers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from restorekit.core.config import Config

GreyLevels = Annotated[float, Field(ge=0.01, le=255)]
Share = Annotated[float, Field(ge=0, le=1)]
Quality = Annotated[float, Field(ge=1, le=100)]
# With degradations, a crop of the plan is reduced to half of its side (REDUCTION), less MARGIN pixels: 8, the side of a
# block of JPEG, twice.
REDUCTION, MARGIN = 2, 16


class DistillationPlan(Config):
    """Teachers of a blind prior on the crops with camera or correlated noise (see `training/distillation.py`)."""

    teachers: tuple[str, ...] = Field(min_length=1, max_length=16)
    """Names or weights files of priors; the mean of their results is the target instead of the clean crop."""
    sigma_scale: float = Field(1.0, ge=0.1, le=10)
    """Sigma of teachers that are not blind, relative to the estimate of the trained prior."""
    weight: float = Field(1.0, gt=0, le=1000)
    """Weight of these crops in the loss, relative to the others."""


class DegradationPlan(Config):
    """The degradations that a blind prior removes (see `training/degradations.py`); the other crops stay clean."""

    camera_share: Share = 0.5
    """Fraction of crops with camera noise."""
    correlated_share: Share = 0.0
    """Fraction of crops with correlated noise of random statistics (see `training/correlated_noise.py`)."""
    gaussian_share: Share = 0.15
    """Fraction of crops with white Gaussian noise."""
    jpeg_share: Share = 0.25
    """Fraction of crops with JPEG compression only."""
    known_jpeg_share: Share = 0.0
    """Fraction of crops with JPEG compression only that the network is told of, by the label "jpeg"; requires
    model.classes ["jpeg"]. Most are at the scale of the photo, with a block that starts at the corner."""
    grey_share: Share = 0.05
    """Fraction of crops that are grey."""
    reduced_share: Share = 0.8
    """Fraction of crops that are scaled down by 2, which removes most of the noise of the training photos."""
    enlarged_share: Share = 0.7
    """Fraction of these that are enlarged again by up to 3, since photos at the full size of a camera have no detail at
    the scale of a pixel."""
    gaussian_sigma: tuple[GreyLevels, GreyLevels] = (1.0, 60.0)
    """Smallest and largest level of white noise in 8-bit grey levels, uniform in its logarithm."""
    correlated_sigma: tuple[GreyLevels, GreyLevels] = (1.0, 20.0)
    """Smallest and largest root mean square of correlated noise in 8-bit grey levels, uniform in its logarithm."""
    jpeg_quality: tuple[Quality, Quality] = (8, 60)
    """Range of the quality of crops with JPEG compression only, uniform."""
    known_jpeg_quality: tuple[Quality, Quality] = (5, 90)
    """Range of the quality of the crops of `known_jpeg_share`, uniform in its logarithm."""
    camera_quality: tuple[Quality, Quality] = (60, 100)
    """Range of the quality of crops with camera or correlated noise, uniform. The clean crop is compressed as well."""

    @model_validator(mode="after")
    def _check_ranges(self) -> DegradationPlan:
        names = ("camera_share", "correlated_share", "gaussian_share", "jpeg_share", "known_jpeg_share")
        total = sum(getattr(self, name) for name in names)
        if total > 1 + 1e-9:
            listed = f"{', '.join(names[:-1])} and {names[-1]}"
            raise ValueError(f"degradation.{listed} have the sum {total:g}; allowed: 1 or less")
        for name in ("gaussian_sigma", "correlated_sigma", "jpeg_quality", "known_jpeg_quality", "camera_quality"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"degradation.{name} is [{low:g}, {high:g}]; allowed: [smallest, largest]")
        return self
