"""From a recipe and a batch of images to results: device, precision, grey images, tiling."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import ImageNoise
from restorekit.core.recipe import ChosenSolver, ClassLabel, OtherModel, Recipe
from restorekit.errors import ModelError, OptionError, RestorekitWarning, unknown
from restorekit.models.registry import bundled_classes, load_model
from restorekit.plugins import solver_named
from restorekit.priors.grey import Grey
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.precise import InBfloat16
from restorekit.priors.tiled import Tiled

Placed = TypeVar("Placed", Denoiser, NoisyClassifier, Denoiser | NoisyClassifier)
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Engine:
    """Where and how recipes run.

    Attributes:
        device: where the prior and the images are.
        precision: of the networks of priors; images, noise, operators and sums are always float32.
        tile: side of the windows; None lets the prior choose.
    """

    device: torch.device
    precision: Literal["float32", "bfloat16"]
    tile: int | None = None

    def place(self, prior: Placed) -> Placed:
        """The prior or classifier on the device, in the memory layout that is fast there, and in the precision."""
        if isinstance(prior, nn.Module):
            prior.to(self.device)
            prior.to(memory_format=torch.channels_last)
        if self.precision == "float32" or isinstance(prior, NoisyClassifier | InBfloat16):
            return prior
        return cast(Placed, InBfloat16(prior, self.device.type))

    def resolved(self, recipe: Recipe, prior: Denoiser, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with labels (1,) of the prior for names of classes, models on the device and solvers for their
        names."""
        values = dict(options)
        for parameter in recipe.options:
            value = values.get(parameter.name)
            if isinstance(parameter.spec, ClassLabel) and isinstance(value, str):
                values[parameter.name] = torch.tensor([label_of(prior, value, f"{recipe.name} {parameter.name}")])
            if isinstance(parameter.spec, OtherModel):
                other: Any = load_model(value) if isinstance(value, str | Path) else value
                found = "classifier" if isinstance(other, NoisyClassifier) else "prior"
                if other is not None and found != parameter.spec.kind:
                    given = value if isinstance(value, str | Path) else type(value).__name__
                    where = f"{recipe.name} {parameter.name}"
                    raise ModelError(f"{where}: {given} is a {found}, allowed: a {parameter.spec.kind}")
                values[parameter.name] = self.place(other)
            if isinstance(parameter.spec, ChosenSolver) and isinstance(value, str):
                values[parameter.name] = solver_named(value, f"{recipe.name} {parameter.name}")
        return values

    def restore(
        self, recipe: Recipe, prior: Denoiser, y: Tensor, seeds: Sequence[int], options: Mapping[str, Any]
    ) -> Tensor:
        """Run a recipe on y (N, C, H, W) in [-1, 1] of any size; returns what `Recipe.result_shape` says, on the CPU.

        seeds: one per image. options: checked by `Recipe.checked`; side images (N or 1, C, H, W) in [0, 1].
        """
        shape = recipe.result_shape(tuple(y.shape), options)
        tiled = self._fitted(prior, shape[1], recipe.name)
        if isinstance(tiled.prior, Grey):
            warnings.warn("grey: the colour prior sees three equal channels", RestorekitWarning, stacklevel=2)
        values = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in options.items()}
        values |= {k: self._fitted(v, shape[1], k) for k, v in options.items() if isinstance(v, Denoiser)}
        with torch.no_grad():
            result: Tensor = recipe(y.to(self.device), tiled, ImageNoise(seeds), **values)
        if tuple(result.shape) != shape:
            raise OptionError(f"recipe {recipe.name}: returned {tuple(result.shape)}, allowed for its photo: {shape}")
        return result.float().cpu()

    def _fitted(self, prior: Denoiser, channels: int, where: str) -> Tiled:
        """A prior for images of any size and of so many channels."""
        if channels == prior.channels:
            return Tiled(prior, window=self.tile)
        if (channels, prior.channels) != (1, 3):
            raise ModelError(f"{where}: the image has {channels} channels, the prior {prior.channels}")
        return Tiled(Grey(prior), window=self.tile)


def label_of(prior: Denoiser, name: str, where: str) -> int:
    """The number of a class of the prior."""
    if prior.classes is None:
        having = ", ".join(bundled_classes()) or "none that ships with restorekit"
        raise ModelError(f"{where}: the prior has no classes; priors that have some: {having}")
    if name not in prior.classes:
        raise OptionError(unknown("class", name, prior.classes, where))
    return prior.classes.index(name)


def make_engine(device: str = "auto", precision: Precision = "auto", tile: int | None = None) -> Engine:
    """An engine on a device ("auto": CUDA, then Apple's MPS, then the CPU).

    precision "auto" is bfloat16 where the processor computes in it (CUDA from Ampere on, CPUs with AVX512-BF16),
    float32 elsewhere.
    """
    if precision not in get_args(Precision):
        raise OptionError(unknown("precision", precision, get_args(Precision), "--precision"))
    if tile is not None and tile < 16:
        raise OptionError(f"--tile: found {tile}, allowed: 16 or more")
    place = _device(device)
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(place) else "float32"
    return Engine(place, precision, tile)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"--device: {name} is not to be had here ({str(error).splitlines()[0]})") from error
    return device


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public name for this; without it the answer is the safe one.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
