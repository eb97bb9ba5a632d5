"""The engine: device, precision and tile size of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast, get_args

import torch
from torch import nn

from restorekit.core.denoiser import Denoiser, Wrapper
from restorekit.core.precision import has_bfloat16
from restorekit.errors import OptionError, unknown
from restorekit.priors.autocast import Autocast
from restorekit.priors.guided import NoisyClassifier

Placed = TypeVar("Placed", Denoiser, NoisyClassifier, Denoiser | NoisyClassifier)
Precision = Literal["auto", "float32", "bfloat16"]
MIN_TILE = 16


@dataclass(frozen=True)
class Engine:
    """Device, precision and tile size of a run.

    Attributes:
        device: device of the prior and the images.
        precision: precision of the networks of priors; images, noise, operators and sums are always float32.
        tile: side of the tiles in pixels; None for the default of the prior.
        compile: whether networks are compiled, which takes minutes and pays in long runs.
        other_devices: further devices of the run, each of which restores a part of the photos.
    """

    device: torch.device
    precision: Literal["float32", "bfloat16"]
    tile: int | None = None
    compile: bool = False
    other_devices: tuple[torch.device, ...] = ()

    @property
    def default_batch(self) -> int:
        """Number of photos that are restored at the same time on each device by default.

        A CPU is busy with one photo, whose result then does not even depend on the order of floating-point sums.
        """
        return 4 if self.device.type == "cuda" else 1

    def on_each_device(self) -> list[Engine]:
        """Return one engine per device."""
        return [replace(self, device=device, other_devices=()) for device in (self.device, *self.other_devices)]

    def place(self, model: Placed) -> Placed:
        """Return the prior or classifier on the device, in channels-last memory format and in the precision.

        A torch module is moved in place.
        """
        self._move(model)
        if self.compile:
            self._compile(model)
        if self.precision == "float32" or isinstance(model, NoisyClassifier | Autocast):
            return model
        return cast(Placed, Autocast(model, self.device.type))

    def _move(self, model: object) -> None:
        """Move a network, and the networks in wrappers around it, to the device."""
        if isinstance(model, nn.Module):
            model.to(self.device)
            # torch converts tensors of four dimensions only, and raises an exception for others.
            if all(tensor.ndim != 5 for tensor in (*model.parameters(), *model.buffers())):
                model.to(memory_format=torch.channels_last)
        elif isinstance(model, Wrapper):
            for part in vars(model).values():
                self._move(part)

    def _compile(self, model: object) -> None:
        """Compile the networks of a prior, and those of wrapped priors, when they are first evaluated."""
        if isinstance(model, nn.Module):
            for network in model.children():
                network.compile(mode="reduce-overhead" if self.device.type == "cuda" else None)
        elif isinstance(model, Wrapper):
            for part in vars(model).values():
                self._compile(part)


def make_engine(
    device: str = "auto", precision: Precision = "auto", tile: int | None = None, compile: bool = False
) -> Engine:
    """Return an engine.

    device: "auto" (all CUDA devices, then Apple's MPS, then the CPU), "cuda" for all CUDA devices, or a device name of
        torch such as "cuda:1".
    precision: "auto" is bfloat16 if the device supports it in hardware (CUDA from Ampere on, CPUs with AVX512-BF16),
        float32 otherwise.
    tile: side of the tiles in pixels, 16 or more; None for the default of the prior.
    compile: see `Engine`.
    """
    if precision not in get_args(Precision):
        raise OptionError(unknown("precision", precision, get_args(Precision), "--precision"))
    if tile is not None and tile < MIN_TILE:
        raise OptionError(f"--tile: found {tile}, allowed: {MIN_TILE} or more")
    first, *others = _devices(device)
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(first) else "float32"
    return Engine(first, precision, tile, compile, tuple(others))


def _devices(name: str) -> list[torch.device]:
    """Return the devices that a name stands for."""
    device = _device(name)
    if name not in ("auto", "cuda") or device.type != "cuda":
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"--device: unknown device {name!r}; {_allowed_devices()}") from error
    try:
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = f"{name} is not available here ({str(error).splitlines()[0]})"
        raise OptionError(f"--device: {reason}; {_allowed_devices()}") from error
    return device


def _allowed_devices() -> str:
    """Describe the devices of this machine that torch can use, and those that stand for several."""
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return f"allowed: {', '.join(['auto', 'cpu', *(['cuda', *gpus] if gpus else []), *mps])}"
