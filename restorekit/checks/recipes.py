"""Checks of recipes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restorekit.checks.checks import Check, require, require_close, require_finite, run_all
from restorekit.checks.gaussian import GaussianPrior
from restorekit.checks.photos import ODD, other_photo, photo
from restorekit.core.denoiser import Denoiser
from restorekit.core.options import ClassOption, ImageOption, Parameter
from restorekit.core.recipe import Recipe
from restorekit.errors import RestorekitError, RestorekitWarning
from restorekit.run.engine import make_engine
from restorekit.run.runner import Runner

# Absolute value above which a value is far from those of images, which are in [-1, 1].
FAR = 2.0


def check_recipe(recipe: Recipe, prior: Denoiser | None = None, **options: Any) -> None:
    """Check that a recipe documents its options, and returns finite images, mostly within [-2, 2], of the stated size
    and number of channels for a colour photo, a grey photo and a photo of odd size.

    The results must be equal for equal seeds, equal for a batch and for single images, and available on every device.
    The input must not be modified.

    prior: the prior to use; None for a `GaussianPrior`, or for a recipe without a prior.
    options: options of the recipe. A required side image that is missing is a mask with a hole in the center (one
        channel) or a photo (three channels); a required class is the first one of the prior.
    """
    run_all(recipe_checks(recipe, prior, options))


def recipe_checks(
    recipe: Recipe, prior: Denoiser | None = None, options: Mapping[str, Any] | None = None
) -> list[Check]:
    """Return the individual checks of `check_recipe`."""
    trial = _Trial(recipe, _default_prior(recipe) if prior is None else prior, dict(options or {}))
    return [
        Check("options", lambda: _options(recipe)),
        Check("photo", trial.photo),
        Check("seed", trial.seed),
        Check("batch", trial.batch),
        Check("grey", trial.grey),
        Check("odd size", trial.odd),
        *(Check(f"device {name}", lambda name=name: trial.on_device(name)) for name in devices()),  # type: ignore[misc]
    ]


def _require_range(result: Tensor, where: str) -> None:
    """Require that most values are not far from [-1, 1], as those of an image in [0, 255] are."""
    share = float((result.abs() > FAR).float().mean())
    found = f"{share:.0%} of the values are outside [-{FAR:g}, {FAR:g}] (mean {float(result.mean()):.3g})"
    require(share <= 0.5, f"{where}: {found}, allowed: images in [-1, 1]")


def devices() -> list[str]:
    """Return the available devices other than the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, found in available.items() if found]


def hole(height: int, width: int) -> Tensor:
    """Return a mask (1, 1, height, width) in {0, 1} with a hole in the center, a quarter of each side."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., height * 3 // 8 : height * 5 // 8 + 1, width * 3 // 8 : width * 5 // 8 + 1] = 1
    return mask


def _default_prior(recipe: Recipe) -> GaussianPrior | None:
    if recipe.model is None:
        return None
    has_classes = any(isinstance(parameter.spec, ClassOption) for parameter in recipe.parameters)
    return GaussianPrior(0.0, 0.5, classes=("one", "two") if has_classes else None)


def _options(recipe: Recipe) -> None:
    require(bool(recipe.doc), f"recipe {recipe.name}: no docstring; its first line is the help of the command")
    for parameter in recipe.parameters:
        where = f"recipe {recipe.name}, option {parameter.name}"
        require(bool(parameter.spec.help.strip()), f"{where}: no help; allowed: one sentence")


@dataclass
class _Trial:
    """A recipe with a prior and options, to be run on different images."""

    recipe: Recipe
    prior: Denoiser | None
    options: dict[str, Any]

    def run(self, y: Tensor, seeds: list[int], device: str = "cpu") -> Tensor:
        """Run the recipe like `restorekit NAME`."""
        values = dict(self.options)
        for parameter in self.recipe.parameters:
            if parameter.required and parameter.name not in values:
                values |= self._placeholder(parameter, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RestorekitWarning)
            try:
                runner = Runner(self.recipe, self.prior, values, make_engine(device, "float32"))
                return runner.restore(y, seeds, runner.options.side_images)
            except RestorekitError as error:
                raise AssertionError(str(error)) from error

    def _placeholder(self, parameter: Parameter, y: Tensor) -> dict[str, Any]:
        """Return a value for a required side image or class."""
        height, width = y.shape[-2:]
        if isinstance(parameter.spec, ImageOption):
            is_mask = parameter.spec.channels == 1
            return {parameter.name: hole(height, width) if is_mask else (photo(height, width) + 1) / 2}
        if isinstance(parameter.spec, ClassOption) and self.prior is not None and self.prior.info.classes:
            return {parameter.name: self.prior.info.classes[0]}
        return {}

    def check(self, y: Tensor, description: str, device: str = "cpu") -> None:
        """Run the recipe and check the result."""
        where, before = f"recipe {self.recipe.name}, {description}", y.clone()
        result = self.run(y, [1] * len(y), device)
        require(torch.equal(y, before), f"{where}: the input was modified; allowed: new tensors")
        require_finite(result, where)
        _require_range(result, where)

    def photo(self) -> None:
        """Check a colour photo."""
        self.check(photo(), "a colour photo")

    def grey(self) -> None:
        """Check a photo with one channel."""
        self.check(photo(channels=1), "a grey photo")

    def odd(self) -> None:
        """Check a photo of odd size."""
        self.check(photo(*ODD), "a photo of odd size")

    def seed(self) -> None:
        """Check that `noise` is the only source of randomness."""
        with torch.random.fork_rng(devices=[]):
            results = []
            for seed in (0, 1):
                torch.manual_seed(seed)
                results.append(self.run(photo(), [1]))
        first, second = (result.nan_to_num() for result in results)  # the check of the photo reports NaN
        text = "two runs with the same seed differ; allowed: randomness from noise.like(x) only"
        require(torch.equal(first, second), f"recipe {self.recipe.name}: {text}")

    def batch(self) -> None:
        """Check that the photos of a batch are independent."""
        a, b = photo(), other_photo(photo())
        single = torch.cat([self.run(a, [1]), self.run(b, [2])]).nan_to_num()
        batch = self.run(torch.cat([a, b]), [1, 2]).nan_to_num()
        require_close(batch, single, f"recipe {self.recipe.name}: two photos, as a batch and one by one")

    def on_device(self, device: str) -> None:
        """Check a device."""
        self.check(photo(), f"on {device}", device)
