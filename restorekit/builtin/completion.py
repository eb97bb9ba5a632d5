"""Filling the components of a hole with a given class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise, NoisyClassifier

# Sigma below which classifier-free guidance ends; with 0.6, a second classifier recognized as many fills.
CFG_MIN_SIGMA = 0.3
# First sigma of the refiner at the same size and after upsampling. The refiner ignores the class: more noise would hide
# it (on the fills that selected the scale of the classifier, at a scale of 10, the class was recognized in 78 % without
# refinement, in 76 % at 0.05 and in 69 % at 0.1; the edges of the holes looked the same).
REFINE_SIGMA, UPSAMPLED_SIGMA = 0.05, 0.2
# Number of reconstructions with texture from the photo at the size of the prior: more would remove the class.
CLASS_RECONSTRUCTIONS = 1


@dataclass(frozen=True)
class Completion:
    """The models and settings that fill a component of a hole.

    Attributes:
        prior: the class-conditional prior.
        cfg_scale: classifier-free guidance; none if it is 0.
        classifier, scale: classifier guidance; none if the scale is 0.
        label: (1,) int64.
        candidates: number of fills of which the classifier chooses one.
        refiner: prior that refines the fill up to full size; only for a prior of small windows.
        window: side of the images that the prior receives.
        steps, resample, eta: as in `complete`.
        copies: detail is copied from the photo.
    """

    prior: Denoiser
    cfg_scale: float
    classifier: NoisyClassifier
    scale: float
    label: Tensor
    candidates: int
    refiner: Denoiser
    window: int
    steps: int
    resample: int
    eta: float
    copies: bool

    def fill(self, y: Tensor, part: Tensor, unknown: Tensor, noise: ImageNoise) -> Tensor:
        """Return a photo y (1, C, H, W) with `part` filled.

        part, unknown: (1, 1, H, W) bool; `unknown` also contains the pixels that are filled later.
        """
        from restorekit.builtin.coarse_to_fine import LARGE_WINDOW
        from restorekit.builtin.hole_filling import window_of

        own_scale = (window_of(self.prior) or 0) >= LARGE_WINDOW
        return (self._fill_at_own_scale if own_scale else self._fill_and_refine)(y, part, unknown, noise)

    def _fill_and_refine(self, y: Tensor, part: Tensor, unknown: Tensor, noise: ImageNoise) -> Tensor:
        """Fill `part` in a square downsampled to the window, and refine the result up to full size."""
        import warnings
        from functools import partial

        from restorekit.builtin.coarse_to_fine import crop_photo, sample_upwards
        from restorekit.builtin.exemplars import copy_texture, has_exemplars
        from restorekit.builtin.hole_filling import sample_hole
        from restorekit.builtin.holes import bounding_square

        square = bounding_square(part, self.window)
        image, hole = crop_photo(square, y, unknown)
        result = self._generate(image, hole, square.crop(part.float(), 0.0), noise)
        # Refine at least once, even at the same size: the refiner is a better prior of photos and removes seams.
        sigma = REFINE_SIGMA if square.side == self.window else UPSAMPLED_SIGMA
        sides = [min(2 * self.window, square.side)]
        while sides[-1] < square.side:
            sides.append(min(2 * sides[-1], square.side))
        sizes = [(side, side) for side in sides]
        all_sizes = [(self.window, self.window), *sizes]
        if self.copies and not has_exemplars(hole, all_sizes):
            text = "texture photo: too little of the photo is known near a hole; the refiner makes the detail"
            warnings.warn(rk.RestorekitWarning(text), stacklevel=2)
        elif self.copies:
            return square.paste(copy_texture(image, hole, result, all_sizes, noise, CLASS_RECONSTRUCTIONS), y)
        refine = partial(sample_hole, prior=self.refiner, noise=noise, steps=self.steps, eta=self.eta, resample=1)
        return square.paste(sample_upwards(image, hole, result, sizes, sigma, refine), y)

    def _generate(self, image: Tensor, hole: Tensor, part: Tensor, noise: ImageNoise) -> Tensor:
        """Fill the hole of a square image, downsampled to the prior's window, under guidance."""
        from restorekit.builtin.coarse_to_fine import scratch_sigma
        from restorekit.builtin.hole_filling import SAMPLE_SIGMA, mean_fill
        from restorekit.builtin.holes import downsample

        size = (self.window, self.window)
        small, small_hole = downsample(image, hole, size)
        # The refiner's mean fill has the lighting of the surroundings, which a prior for small images lacks.
        if self.refiner.info.supports_holes and not small_hole.all():
            initial, sigma = mean_fill(self.refiner, small, small_hole), SAMPLE_SIGMA
        else:
            initial, sigma = small.masked_fill(small_hole, 0), scratch_sigma(self.prior)
        return self._sample(initial, sigma, small_hole, noise, downsample(part, part > 0, size)[1])

    def _fill_at_own_scale(self, y: Tensor, part: Tensor, unknown: Tensor, noise: ImageNoise) -> Tensor:
        """Fill `part` with the prior alone, at increasing sizes from the one at which a window shows it."""
        from functools import partial

        from restorekit.builtin.coarse_to_fine import (
            crop_photo,
            sample_from_coarse,
            scratch_sigma,
            sizes_for,
            surroundings,
        )
        from restorekit.builtin.holes import downsample

        box = surroundings(part, self.window)
        sizes = sizes_for(part, box, self.window)
        part = box.crop(part.float(), 0.0)
        sample = partial(self._sample, noise=noise)
        first = partial(sample, part=downsample(part, part > 0, sizes[0])[1])
        image, hole = crop_photo(box, y, unknown)
        return box.paste(sample_from_coarse(image, hole, sizes, scratch_sigma(self.prior), first, sample), y)

    def _sample(
        self, initial: Tensor, sigma: float, hole: Tensor, noise: ImageNoise, part: Tensor | None = None
    ) -> Tensor:
        """Sample a hole from the prior of the class; see `Sample`.

        part: (1, 1, h, w), where the class is to appear: adds classifier guidance, and the classifier chooses among the
        candidates. A small classifier sees a square around it.
        """
        from restorekit.builtin.hole_filling import sample_hole
        from restorekit.builtin.holes import centered_origin
        from restorekit.priors.tiled import only_where

        prior = only_where(self.prior, hole)
        prior = rk.ClassifierFree(prior, self.cfg_scale, min_sigma=CFG_MIN_SIGMA) if self.cfg_scale else prior
        guided, label, place = part is not None and self.scale > 0, self.label, None
        if part is not None and (guided or self.candidates > 1):
            size = self.classifier.size
            place = None if part.shape[-2:] == (size, size) else centered_origin(part, size, size)
        if guided:
            prior = rk.ClassifierGuided(prior, self.classifier, self.scale, place=place)
        if part is not None and self.candidates > 1:
            noise, label = noise.fork(self.candidates), label.expand(self.candidates)
        result = sample_hole(
            initial.expand(len(label), -1, -1, -1),
            sigma,
            hole,
            rk.Labelled(prior, label),
            noise,
            steps=self.steps,
            eta=self.eta,
            resample=self.resample,
            clip=not guided,
            nearby=False,  # `place` is a position in the whole image.
        )
        return result[self._most_certain(result, place)] if len(result) > 1 else result

    def _most_certain(self, x: Tensor, place: tuple[int, int] | None) -> Tensor:
        """Return the number (1,) of the candidate (N, C, h, w) in which the classifier is most certain of the class."""
        top, left = place or (0, 0)
        seen = x[..., top : top + self.classifier.size, left : left + self.classifier.size]
        sigma = self.classifier.table[:1].to(x).expand(len(x))
        log_prob: Tensor = self.classifier(seen, sigma)[:, self.label]
        return log_prob.argmax(0)
