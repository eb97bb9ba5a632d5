"""What every recipe keeps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.recipe import ClassLabel, Option, Parameter, Recipe, SideImage
from restorekit.errors import OptionError, RestorekitError, RestorekitWarning
from restorekit.run.engine import make_engine
from restorekit.testing.checks import Check, require, require_close, require_finite, run_all
from restorekit.testing.gaussian import GaussianPrior
from restorekit.testing.photos import ODD, another, photo


def check_recipe(recipe: Recipe, prior: Denoiser | None = None, **options: Any) -> None:
    """A recipe has documented options whose defaults are allowed, and gives finite images on a colour photo, a grey one
    and one of odd size, of the size and channels that it states, the same for the same seed, image by image as in a
    batch, on every device that is there; it leaves its input alone.

    prior: by default a `GaussianPrior`.
    options: of the recipe. Side images that it needs and that are not given are a mask with a hole in its middle (one
    channel) or a photo (three); a class that it needs is the prior's first.
    """
    run_all(recipe_checks(recipe, prior, options))


def recipe_checks(
    recipe: Recipe, prior: Denoiser | None = None, options: Mapping[str, Any] | None = None
) -> list[Check]:
    """The checks of `check_recipe`, one by one."""
    trial = _Trial(recipe, prior or _stand_in(recipe), dict(options or {}))
    return [
        Check("options", lambda: _options(recipe)),
        Check("photo", trial.photo),
        Check("seed", trial.seed),
        Check("batch", trial.batch),
        Check("grey", trial.grey),
        Check("odd size", trial.odd),
        *(Check(f"device {name}", lambda name=name: trial.on(name)) for name in devices()),  # type: ignore[misc]
    ]


def devices() -> list[str]:
    """Devices beside the CPU that are there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, found in there.items() if found]


def hole(height: int, width: int) -> Tensor:
    """A mask (1, 1, height, width) in {0, 1} with a hole in its middle, a quarter of each side."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., height * 3 // 8 : height * 5 // 8 + 1, width * 3 // 8 : width * 5 // 8 + 1] = 1
    return mask


def _stand_in(recipe: Recipe) -> GaussianPrior:
    labelled = any(isinstance(parameter.spec, ClassLabel) for parameter in recipe.parameters)
    return GaussianPrior(0.0, 0.5, classes=("one", "two") if labelled else None)


def _options(recipe: Recipe) -> None:
    require(bool(recipe.doc), f"recipe {recipe.name}: has no docstring; its first line is the command's help")
    for parameter in recipe.parameters:
        where = f"recipe {recipe.name}, option {parameter.name}"
        require(bool(parameter.spec.help.strip()), f"{where}: has no help; allowed: one sentence")
        if isinstance(parameter.spec, Option) and not parameter.required and parameter.default is not None:
            text = f"{where}: its default is {parameter.default!r}, allowed: {parameter.allowed}"
            require(_is_allowed(parameter), text)


def _is_allowed(parameter: Parameter) -> bool:
    """Whether a default is within the limits of its number, or among its words."""
    if isinstance(parameter.default, bool) or parameter.kind is bool:
        return parameter.kind is bool and isinstance(parameter.default, bool)
    if isinstance(parameter.default, str):
        return parameter.default in parameter.words
    try:
        # As text, since a default itself is taken unseen.
        parameter.checked(f" {parameter.default} ", "")
    except OptionError:
        return False
    return True


@dataclass
class _Trial:
    """A recipe on images of all sorts, with one prior and one choice of options."""

    recipe: Recipe
    prior: Denoiser
    options: dict[str, Any]

    def run(self, y: Tensor, seeds: list[int], device: str = "cpu") -> Tensor:
        """The recipe as `restorekit NAME` runs it."""
        engine, values = make_engine(device, "float32"), dict(self.options)
        for parameter in self.recipe.parameters:
            if parameter.required and parameter.name not in values:
                values |= self._made(parameter, y)
        placed = engine.place(self.prior)
        checked = engine.resolved(self.recipe, self.prior, self.recipe.checked(values))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RestorekitWarning)
            try:
                return engine.restore(self.recipe, placed, y, seeds, checked)
            except RestorekitError as error:
                raise AssertionError(str(error)) from error

    def _made(self, parameter: Parameter, y: Tensor) -> dict[str, Any]:
        height, width = y.shape[-2:]
        if isinstance(parameter.spec, SideImage):
            one = parameter.spec.channels == 1
            return {parameter.name: hole(height, width) if one else (photo(height, width) + 1) / 2}
        if isinstance(parameter.spec, ClassLabel) and self.prior.classes:
            return {parameter.name: self.prior.classes[0]}
        return {}

    def said(self, y: Tensor, what: str, device: str = "cpu") -> Tensor:
        """Its answer, looked at."""
        where, before = f"recipe {self.recipe.name}, {what}", y.clone()
        answer = self.run(y, [1] * len(y), device)
        require(torch.equal(y, before), f"{where}: the photo itself was changed; allowed: new tensors")
        require_finite(answer, where)
        return answer

    def photo(self) -> None:
        """A colour photo."""
        self.said(photo(), "a colour photo")

    def grey(self) -> None:
        """A photo of one channel."""
        self.said(photo(channels=1), "a grey photo")

    def odd(self) -> None:
        """A size that nothing divides."""
        self.said(photo(*ODD), "a photo of odd size")

    def seed(self) -> None:
        """Nothing random beside `noise`."""
        with torch.random.fork_rng(devices=[]):
            answers = []
            for seed in (0, 1):
                torch.manual_seed(seed)
                answers.append(self.run(photo(), [1]))
        text = "two runs of one seed differ; allowed: randomness from noise.like(x) alone"
        require(torch.equal(*answers), f"recipe {self.recipe.name}: {text}")

    def batch(self) -> None:
        """Photos of a batch know nothing of each other."""
        a, b = photo(), another(photo())
        alone = torch.cat([self.run(a, [1]), self.run(b, [2])])
        together = self.run(torch.cat([a, b]), [1, 2])
        require_close(together, alone, f"recipe {self.recipe.name}: two photos, together and one by one")

    def on(self, device: str) -> None:
        """The recipe on a device."""
        self.said(photo(), f"on {device}", device)
