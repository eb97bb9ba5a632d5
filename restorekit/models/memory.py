"""Memory that a network needs, computed from its configuration without its weights."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restorekit.models.config import EpsilonConfig, ModelConfig, ScoreConfig

# Side of the image in pixels for networks that do not state one.
DEFAULT_SIDE = 256
FLOAT32_BYTES = 4


def parameter_count(config: ModelConfig) -> int:
    """Return the number of parameters of the network."""
    with torch.device("meta"):
        net: Any = config.build_net()
    return sum(parameter.numel() for parameter in net.parameters())


def evaluation_bytes(config: ModelConfig) -> int:
    """Return the largest number of bytes of all activations that exist at the same time, without the weights.

    For one evaluation of the network, without gradients, of one image of `evaluation_side` pixels, in float32. Work
    space of the libraries, such as cuDNN, is not included.
    """
    with torch.device("meta"), torch.no_grad(), _PeakMemory() as memory:
        net: Any = config.build_net().eval()
        # The weights exist once, and are not activations.
        weights = memory.now
        arguments, options = _inputs(config)
        net(*arguments, **options)
    return int(memory.peak - weights)


def evaluation_side(config: ModelConfig) -> int:
    """Return the side of the window in pixels: that of the training images, rounded up for the network."""
    multiple = config.net.factor
    return -(-(config.size or DEFAULT_SIDE) // multiple) * multiple


def _inputs(config: ModelConfig) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return the arguments of the network for one image."""
    side, label = evaluation_side(config), torch.zeros(1, dtype=torch.int64)
    if isinstance(config, ScoreConfig):
        return [torch.zeros(1, config.channels, side, side), label], {}
    if not isinstance(config, EpsilonConfig):
        return [torch.zeros(1, config.channels, side, side), torch.zeros(1)], {}
    options = {} if config.classes is None else {"label": label}
    if config.net.low_res:
        options["low_res"] = torch.zeros(1, config.channels, side // 4, side // 4)
    return [torch.zeros(1, config.net.in_channels, side, side), torch.zeros(1)], options


class _PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that operations create.

    Attributes:
        now: bytes of all tensors that exist.
        peak: the largest value of `now`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it creates."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
