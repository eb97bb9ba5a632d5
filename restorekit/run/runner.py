"""The runner, which applies a recipe with a prior and options to images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, PriorInfo
from restorekit.core.network import ImageNetwork, NetworkInfo
from restorekit.core.noise import ImageNoise
from restorekit.core.options import ClassOption, JpegTables, ModelOption, NetworkOption, Parameter, SolverOption
from restorekit.core.recipe import Recipe
from restorekit.errors import ModelError, OptionError, RestorekitError, RestorekitWarning, unknown
from restorekit.models import registry
from restorekit.plugins.discovery import plugin_files, solver_named
from restorekit.plugins.plugin_errors import PluginError, call_plugin
from restorekit.priors.batched import Batched, BatchQueue
from restorekit.priors.grey import Grey
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.network import NetworkDenoiser, TiledNetwork
from restorekit.priors.tiled import ANY_SIZE_WINDOW, Tiled
from restorekit.run.engine import Engine, make_engine
from restorekit.run.observer import UNOBSERVED, Observer
from restorekit.run.side_images import given_tables


class Runner:
    """A recipe with its prior and options, ready to run; the only place that assembles wrappers around a prior.

    Arguments:
        recipe: the recipe to run.
        prior: a denoiser, or what `load_prior` accepts; None for the default of the recipe, if it has one.
        options: options and side images of the recipe by name, as `Recipe.validate` takes them. The side
            images are only validated here; `restore` takes them as tensors.
        engine: device, precision and tile size; None for `make_engine()`.

    Attributes:
        options: the validated options, and the side images as passed by the caller.
        models: the prior ("model") and the models and networks among the options by name, as passed by the caller.
        prior: the placed prior; None for a recipe without one.
    """

    def __init__(
        self,
        recipe: Recipe,
        prior: Denoiser | str | Path | None = None,
        options: Mapping[str, Any] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.recipe = recipe
        self.options = recipe.validate(options or {})
        self._queue = BatchQueue()
        self.engine = make_engine() if engine is None else engine
        if recipe.model is None and prior is not None:
            raise OptionError(f"{recipe.name}: has no prior; allowed: no --model")
        prior = recipe.model if prior is None else prior
        self.models: dict[str, Denoiser | NoisyClassifier | ImageNetwork | str | Path | None] = {}
        if prior is not None:
            self.models["model"] = prior
        models = [p.name for p in recipe.options if isinstance(p.spec, ModelOption | NetworkOption)]
        self.models |= {name: self.options.options[name] for name in models}
        if isinstance(prior, str | Path):
            prior = registry.load_prior(prior)
        if prior is not None and not isinstance(prior, Denoiser):
            found = type(prior).__name__
            raise ModelError(f"{recipe.name}: the prior is a {found}, allowed: {registry.PRIORS}")
        self.prior = None if prior is None else self._batched(prior)
        self._values = {p.name: self._resolve(p, self.options.options[p.name]) for p in recipe.options}

    def restore(
        self,
        y: Tensor,
        seeds: Sequence[int],
        side_images: Mapping[str, Tensor] | None = None,
        options: Mapping[str, Any] | None = None,
        observer: Observer = UNOBSERVED,
    ) -> Tensor:
        """Run the recipe on a batch. Several threads may call this at once; their windows are evaluated together.

        y: (N, C, H, W) in [-1, 1], any size. seeds: one per image. side_images: (N or 1, C, H, W) in [0, 1], by name;
        also the JPEG tables of the photos, (N or 1, 3, 8, 8), for parameters that are `auto`.
        options: values that replace validated options of the runner.
        observer: receives the progress and the estimates of all images of the batch.
        Returns images of the shape that `Recipe.result_shape` states, float32, on the CPU.
        """
        images = dict(side_images or {})
        given = self._values | dict(options or {})
        shape = self.result_shape(tuple(y.shape), {**given, **images})
        tiled = None if self.prior is None else self._fit(self.prior, shape[1], self.recipe.name, observer)
        if tiled is not None and isinstance(tiled.inner, Grey):
            warnings.warn("grey image: the colour prior gets three equal channels", RestorekitWarning, stacklevel=2)
        values = {name: self._fitted(value, shape[1], name, observer) for name, value in given.items()}
        values |= {name: side.to(self.engine.device) for name, side in images.items()}
        with torch.no_grad(), self._queue.participate():
            result = self.recipe(y.to(self.engine.device), tiled, ImageNoise(seeds), **values)
        return _checked(result, shape, self.recipe).float().cpu()

    def result_shape(self, shape: tuple[int, ...], options: Mapping[str, Any] | None = None) -> tuple[int, ...]:
        """Return the shape of the result for images of shape (N, C, H, W).

        options: values that replace validated options of the runner.
        """
        return self.recipe.result_shape(shape, self._values | dict(options or {}))

    def strip_options(self, sample: Tensor) -> Mapping[str, Any] | None:
        """Return the options of strips of a large photo, given a sample of it; see `Recipe.strips`."""
        if self.recipe.strips is None:
            return None
        return self.recipe.strips(sample, None if self.prior is None else self.prior.info, self._values)

    def _resolve(self, parameter: Parameter, value: Any) -> Any:
        """Return what the recipe receives: a label (1,) for a class name, a placed model or network, a solver, or JPEG
        tables."""
        where = f"{self.recipe.name} {parameter.name}"
        if isinstance(parameter.spec, NetworkOption):
            return self._network(parameter.spec, value, where)
        if isinstance(parameter.spec, ClassOption) and isinstance(value, str):
            if self.prior is None:
                raise OptionError(f"{where}: the recipe has no prior and therefore no classes")
            return torch.tensor([label_index(self.prior.info, value, where)], device=self.engine.device)
        if isinstance(parameter.spec, ModelOption):
            model = registry.load_model(value) if isinstance(value, str | Path) else value
            kind = "classifier" if isinstance(model, NoisyClassifier) else "prior"
            if kind != parameter.spec.kind:
                found = value if isinstance(value, str | Path) else type(value).__name__
                raise ModelError(f"{where}: {found} is a {kind}, allowed: a {parameter.spec.kind}")
            return self.engine.place(model) if isinstance(model, NoisyClassifier) else self._batched(model)
        if isinstance(parameter.spec, SolverOption) and isinstance(value, str):
            return solver_named(value, where)
        if isinstance(parameter.spec, JpegTables):
            tables = given_tables(value, where)
            return None if tables is None else tables.to(self.engine.device)
        return value

    def on_each_device(self) -> list[Runner]:
        """Return one runner per device of the engine, the first of which is this one."""
        engines = self.engine.on_each_device()
        if len(engines) == 1:
            return [self]
        # Modules are moved in place, so that every device needs a copy; paths are loaded again.
        options = dict(self.options.options) | dict(self.options.side_images)
        prior = cast(Denoiser | str | Path | None, self.models.get("model"))
        copies = [deepcopy((prior, options)) for _ in engines[1:]]
        others = zip(copies, engines[1:], strict=True)
        return [self, *(Runner(self.recipe, model, options, engine) for (model, options), engine in others)]

    def _batched(self, prior: Denoiser) -> Batched:
        """Return the prior on the device, evaluated for several threads at once."""
        return Batched(self.engine.place(prior), self._queue, probing=self.engine.device.type == "cuda")

    def _network(self, option: NetworkOption, value: Path | ImageNetwork, where: str) -> TiledNetwork:
        """Return a network on the device, evaluated for several threads at once."""
        if isinstance(value, Path):
            path = value
            if not path.is_file():
                problem = "is a folder, allowed: a file" if path.is_dir() else "no such file"
                raise ModelError(f"{where}: {path}: {problem}")
            own = [] if self.recipe.position is None else [self.recipe.position[0]]
            try:
                value = call_plugin(lambda: option.load(path), [*own, *plugin_files()])
            except PluginError as error:
                if isinstance(error.__cause__, RestorekitError):
                    raise error.__cause__ from None
                raise ModelError(f"{where}: {path}: {error}") from error
        if not isinstance(value, ImageNetwork) or not isinstance(value.info, NetworkInfo):
            found = type(value).__name__
            raise ModelError(f"{where}: the plugin returned {found}, allowed: an rk.ImageNetwork with rk.NetworkInfo")
        denoiser = self._batched(NetworkDenoiser(value))
        return TiledNetwork(denoiser, value.info, self.engine.tile, lambda side: denoiser.batch_size.images(side, side))

    def _fitted(self, value: Any, channels: int, where: str, observer: Observer) -> Any:
        """Return the value of an option; a prior for images of any size, a network that reports its windows."""
        if isinstance(value, TiledNetwork):
            return value.reporting(observer.windows)
        return self._fit(value, channels, where, observer) if isinstance(value, Batched) else value

    def _fit(self, prior: Batched, channels: int, where: str, observer: Observer) -> Tiled:
        """Return the prior for images of any size with that number of channels."""
        window = self.engine.tile or prior.info.size or ANY_SIZE_WINDOW
        options: dict[str, Any] = {"window": self.engine.tile}
        options |= {"on_windows": observer.windows, "on_estimate": observer.estimate}
        options["batch"] = prior.batch_size.images(window, window)
        if channels == prior.info.channels:
            return Tiled(prior, **options)
        if (channels, prior.info.channels) != (1, 3):
            raise ModelError(f"{where}: the image has {channels} channels, but the prior has {prior.info.channels}")
        return Tiled(Grey(prior), **options)


def _checked(result: Any, shape: tuple[int, ...], recipe: Recipe) -> Tensor:
    """Return the result of a recipe; raise RestorekitError, with its file and line, if it is no image of that shape."""
    if isinstance(result, Tensor) and result.is_floating_point() and tuple(result.shape) == shape:
        return result
    found = "None" if result is None else f"an object of type {type(result).__name__}"
    allowed = f"a tensor of shape {shape}"
    if isinstance(result, Tensor):
        found, allowed = f"shape {tuple(result.shape)}", str(shape)
        if not result.is_floating_point():
            found, allowed = str(result.dtype), "a floating-point type"
    place = "" if recipe.position is None else " ({}, line {})".format(*recipe.position)
    raise RestorekitError(f"recipe {recipe.name}: returned {found}, allowed: {allowed}{place}")


def label_index(info: PriorInfo, name: str, where: str) -> int:
    """Return the label of a class of the prior."""
    if info.classes is None:
        available = ", ".join(registry.bundled_classes()) or "none bundled"
        raise ModelError(f"{where}: the prior has no classes; priors with classes: {available}")
    if name not in info.classes:
        raise OptionError(unknown("class", name, info.classes, where))
    return info.classes.index(name)
