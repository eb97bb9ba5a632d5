"""The quality of a prior during its training: PSNR of D on photos with fixed noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.noise import ImageNoise
from restorekit.models.config import Prior
from restorekit.priors.guided import NoisyClassifier
from restorekit.training.data import decode, find_photos
from restorekit.training.data_plan import DataPlan, ValidationPlan
from restorekit.training.plan import Plan

# Number of crops that are evaluated at once.
BATCH = 16


class Validation:
    """Center crops of validation photos; the same ones with the same noise whenever they are evaluated.

    Arguments:
        plan: the photos and noise levels.
        crop: side of the crops.
        channels: number of channels.

    Raises TrainingError if there is no photo, or one cannot be read.
    """

    def __init__(self, plan: ValidationPlan, crop: int, channels: int) -> None:
        self.plan = plan
        files = find_photos(plan.folder, "validation.folder")
        data = DataPlan(folder=plan.folder, crop=crop)
        chosen = files[:: math.ceil(len(files) / plan.photos)]
        self.clean = torch.stack([_center(decode(file, data, channels), crop) for file in chosen])

    @torch.no_grad()
    def psnr(self, prior: Prior | NoisyClassifier) -> dict[float, float]:
        """Return the mean PSNR of D in dB over the photos, clipped to [-1, 1], by noise level in 8-bit grey levels.

        prior: a denoiser; one with classes is evaluated with its label for none, and one with fixed levels at those
            that are closest to the levels of the plan.
        """
        assert not isinstance(prior, NoisyClassifier)
        info, device = prior.info, next(prior.parameters()).device
        result = {}
        for sigma in self.plan.sigmas:
            level = _known_level(sigma * GREY_LEVEL, info.levels)
            errors = []
            for start in range(0, len(self.clean), BATCH):
                clean = self.clean[start : start + BATCH].to(device)
                noisy = clean + level * ImageNoise(range(start, start + len(clean))).like(clean)
                label = None
                if info.classes is not None:
                    assert info.no_label is not None
                    label = torch.full((len(clean),), info.no_label, device=device)
                denoised = prior(noisy, torch.full((len(clean),), level, device=device), label).clamp(-1, 1)
                errors.append((denoised.double() - clean).square().flatten(1).mean(1))
            evaluated = sigma if info.levels is None else round(level / GREY_LEVEL, 2)
            result[evaluated] = float((10 * torch.log10(4 / torch.cat(errors))).mean())
        return result


def validation_for(plan: Plan) -> Validation | None:
    """Return the validation of a plan; None if it has none."""
    return None if plan.validation is None else Validation(plan.validation, plan.data.crop, plan.model.channels)


def _center(pixels: NDArray[np.uint8], crop: int) -> Tensor:
    """Return the center crop of 8-bit values (H, W, C) as (C, crop, crop) in [-1, 1]."""
    top, left = ((side - crop) // 2 for side in pixels.shape[:2])
    values = np.array(pixels[top : top + crop, left : left + crop], np.float32)
    return torch.from_numpy(values).permute(2, 0, 1) / 127.5 - 1


def _known_level(sigma: float, levels: tuple[float, ...] | None) -> float:
    """Return the noise level of a prior that is closest to sigma."""
    return sigma if levels is None else min(levels, key=lambda level: abs(math.log(level / sigma)))
