"""Fill a hole with a given class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise, NoisyClassifier


@rk.recipe("complete", model="guided-scenes", samples=True, keeps_pixels=True, region="mask")
def complete(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    mask: Annotated[Tensor, rk.ImageOption("Image that marks the pixels to fill in white.")],
    label: Annotated[Tensor, rk.ClassOption("Class that fills the hole; --labels lists the classes.")],
    classifier_scale: Annotated[
        float | Literal["auto"],
        rk.Option(
            "Scale of classifier guidance towards the class; 0 disables it; auto: 10, or 0 if the classifier has other "
            "classes than the prior.",
            min=0,
        ),
    ] = "auto",
    cfg_scale: Annotated[
        float | Literal["auto"],
        rk.Option(
            "Scale of classifier-free guidance towards the class (diffusers' guidance_scale is 1 more); 0 disables it; "
            "auto: 3, or 0 for a prior that was not also trained without labels.",
            min=0,
        ),
    ] = "auto",
    classifier: Annotated[
        NoisyClassifier, rk.ModelOption("Classifier of noisy images.", "classifier-patches", kind="classifier")
    ],
    refiner: Annotated[Denoiser, rk.ModelOption("Prior that refines the fill up to full size.", model="ddpm-fill")],
    steps: Annotated[int, rk.Option("Number of noise levels at each size.", min=1, max=1000)] = 50,
    resample: Annotated[
        int,
        rk.Option(
            "Number of passes per noise level at the smallest size (at every size with windows of 128 pixels or more).",
            min=1,
            max=100,
        ),
    ] = 2,
    eta: Annotated[float, rk.Option("Fraction of fresh noise in each step.", min=0, max=1)] = 0.85,
    texture: Annotated[
        Literal["prior", "photo"],
        rk.Option(
            "Detail above the size of the prior. prior: sampled by the refiner; photo: copied from similar parts of "
            "the photo, which must show the class."
        ),
    ] = "prior",
) -> Tensor:
    """Fill a hole with a given class; all other pixels stay bit-identical.

    A square around the hole is resized to the training size of the prior and filled by a diffusion process in which
    every estimate is consistent with the known pixels, under classifier guidance (the classifier may see only the hole)
    and classifier-free guidance. If the refiner supports holes, sampling starts from its mean fill with noise of sigma
    4, otherwise from noise. The result is upsampled by factors of two up to the size of the photo, and refined at each
    size, at least once, by the refiner, which ignores the class. With texture from the photo, it is made of patches of
    the photo instead, so that the class shows only as far as the photo contains its texture. Holes that are far from
    each other are filled one after the other.

    A prior with a window of 128 pixels or more needs no refiner: it fills the hole from noise at the size at which one
    window shows it and its surroundings, and then, in tiles and without the classifier, at twice that size and so on.

    References:
        DDNM (Wang et al. 2022) with the resampling of RePaint (Lugmayr et al. 2022), classifier guidance (Dhariwal and
        Nichol 2021, algorithm 2), classifier-free guidance (Ho and Salimans 2022, w of equation 6).
    """
    import warnings
    from functools import partial

    import torch

    from restorekit.builtin.coarse_to_fine import LARGE_WINDOW, fill_components
    from restorekit.builtin.hole_filling import window_of

    holes = (mask > 0.5).expand(len(y), -1, -1, -1)
    scale = _classifier_scale(classifier_scale, prior, classifier)
    if cfg_scale == "auto":
        cfg_scale = 0.0 if prior.info.no_label is None else CFG_SCALE
    window = window_of(prior) or max(MIN_WINDOW, classifier.size if scale else 0)
    if scale and classifier.size > window:
        found, allowed = (f"{side} x {side}" for side in (classifier.size, window))
        raise rk.ModelError(f"complete: the classifier requires {found} pixels, allowed: at most {allowed} (the prior)")
    if texture == "photo" and window >= LARGE_WINDOW:
        raise rk.ModelError(
            f"complete: texture photo requires a prior with a window of less than {LARGE_WINDOW} pixels, found {window}"
        )
    guidance = float(cfg_scale), classifier, scale, label
    completion = _Completion(prior, *guidance, refiner, window, steps, resample, eta, texture == "photo")
    filled = []
    for i, (image, hole, image_noise) in enumerate(zip(y.split(1), holes.split(1), noise.split(), strict=True)):
        if not hole.any():
            warnings.warn(rk.RestorekitWarning("the mask is empty; image unchanged", i), stacklevel=2)
        filled.append(fill_components(image, hole, window, partial(completion.fill, noise=image_noise)))
    return torch.where(holes, torch.cat(filled), y)


def _classifier_scale(scale: float | Literal["auto"], prior: Denoiser, classifier: NoisyClassifier) -> float:
    """Return the scale of classifier guidance; 0, with a warning, for auto and a prior with other classes."""
    import warnings

    if scale != "auto":
        return float(scale)
    if prior.info.classes in (None, classifier.classes):
        return CLASSIFIER_SCALE
    text = "the classifier has other classes than the prior, and is not used; --classifier selects another"
    warnings.warn(rk.RestorekitWarning(text), stacklevel=3)
    return 0.0


@dataclass(frozen=True)
class _Completion:
    """The models and settings that fill a component of a hole.

    Attributes:
        prior: the class-conditional prior.
        cfg_scale: classifier-free guidance; none if it is 0.
        classifier, scale: classifier guidance; none if the scale is 0.
        label: (1,) int64.
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

        part: (1, 1, h, w), where the class is to appear: adds classifier guidance. A small classifier sees a square
        around it.
        """
        from restorekit.builtin.hole_filling import sample_hole
        from restorekit.builtin.holes import centered_origin
        from restorekit.priors.tiled import only_where

        prior = only_where(self.prior, hole)
        prior = rk.ClassifierFree(prior, self.cfg_scale) if self.cfg_scale else prior
        guided = part is not None and self.scale > 0
        if part is not None and guided:
            size = self.classifier.size
            place = None if part.shape[-2:] == (size, size) else centered_origin(part, size, size)
            prior = rk.ClassifierGuided(prior, self.classifier, self.scale, place=place)
        return sample_hole(
            initial,
            sigma,
            hole,
            rk.Labelled(prior, self.label),
            noise,
            steps=self.steps,
            eta=self.eta,
            resample=self.resample,
            clip=not guided,
        )


# The surroundings of a hole already suggest a class; another class requires more guidance than unconditional samples
# do (1 to 3), and both kinds of guidance (selected visually and by a second classifier on four training photos).
CLASSIFIER_SCALE, CFG_SCALE = 10.0, 3.0
# First sigma of the refiner at the same size and after upsampling. The refiner ignores the class: more noise would hide
# it (a second classifier recognized the class in 61 % of 18 fills at 0.5, in 83 % at 0.1 and 0.2, and in 94 % without
# refinement).
REFINE_SIGMA, UPSAMPLED_SIGMA = 0.1, 0.2
# Number of reconstructions with texture from the photo at the size of the prior: more would remove the class.
CLASS_RECONSTRUCTIONS = 1
# Smallest window of a prior that accepts any size.
MIN_WINDOW = 64


def examples() -> dict[str, dict[str, object]]:
    """Return options for `restorekit plugins doctor`, whose Gaussian prior has no matching classifier."""
    return {"complete": {"classifier_scale": 0, "steps": 2}}


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `complete`."""
    register(complete)
