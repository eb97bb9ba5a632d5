"""State dicts from checkpoints: pickles, safetensors files and TorchScript archives. Nothing in them is executed."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import ModelError, shortened
from restorekit.models.importers.checkpoint import DAMAGED, read_checkpoint

# Prefix of the types that a TorchScript archive defines.
SCRIPT = "__torch__"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the names and tensors of a checkpoint; ModelError in one line if it is none.

    Wrappers that spandrel knows, such as `{"params_ema": ...}` of BasicSR, are removed.
    """
    from spandrel import canonicalize_state_dict

    content = _read_torchscript(path) if _is_torchscript(path) else read_checkpoint(path)
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path}: found {type(content).__name__}, allowed: a dict of tensors")
    if not _has_names(content):
        raise ModelError(f"{path}: found keys that are no names, allowed: names and tensors")
    weights: dict[str, Tensor] = canonicalize_state_dict(dict(content))
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            found = type(value).__name__
            raise ModelError(f"{path}: entry {shortened(str(name))} is {found}, allowed: a dense tensor")
        # A view may repeat the numbers of a small file.
        if value.device.type != "cpu" or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ModelError(f"{path}: entry {shortened(name)} has {value.numel()} values, more than the file contains")
    return dict(weights)


def _has_names(content: Mapping[Any, Any]) -> bool:
    """Return whether all keys of a dict, and of the dicts in it, are texts."""
    parts = (value for value in content.values() if isinstance(value, Mapping))
    return all(isinstance(name, str) for name in content) and all(_has_names(part) for part in parts)


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is an archive of `torch.jit.save`, which contains code besides tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript module, with the names of its state dict; its code is not run."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            root = _Unpickler(archive, data.removesuffix("data.pkl")).load()
        return dict(_tensors(root, ""))
    except (StopIteration, pickle.UnpicklingError, zipfile.BadZipFile, *DAMAGED) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{path}: not a readable TorchScript archive ({shortened(reason)})") from error


class _Module:
    """A module of a TorchScript archive: its attributes only."""

    attributes: Any = None

    def __setstate__(self, state: Any) -> None:
        self.attributes = state


def _tensors(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and tensors of a module and of the modules in it."""
    if not isinstance(module, _Module) or not isinstance(module.attributes, dict):
        return
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        else:
            yield from _tensors(value, f"{prefix}{name}.")


class _Unpickler(pickle.Unpickler):
    """Reads the modules of a TorchScript archive; refuses anything but modules, tensors and plain values.

    Arguments:
        archive: the open archive. folder: the folder in it that contains `data.pkl`.
    """

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self._archive, self._folder = archive, folder
        self._storages: dict[str, torch.UntypedStorage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global name; UnpicklingError if it is not allowed."""
        if module == SCRIPT or module.startswith(f"{SCRIPT}."):
            return _Module
        if module == "torch" and name.endswith("Storage") and name.removesuffix("Storage") in _DTYPES:
            return _DTYPES[name.removesuffix("Storage")]
        found = _ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"contains {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> tuple[torch.UntypedStorage, torch.dtype]:
        """Return a storage, and the type of the numbers in it."""
        _, dtype, key, _, count = pid
        if key not in self._storages:
            data = self._archive.read(f"{self._folder}data/{key}")
            if len(data) < count * dtype.itemsize:
                raise pickle.UnpicklingError(f"storage {key} has {len(data)} bytes")
            self._storages[key] = torch.frombuffer(bytearray(data), dtype=torch.uint8).untyped_storage()
        return self._storages[key], dtype


def _rebuild_tensor(
    storage: tuple[torch.UntypedStorage, torch.dtype], offset: int, size: Any, stride: Any, *others: Any
) -> Tensor:
    """Return a tensor from its storage; `torch` checks that it lies inside."""
    data, dtype = storage
    return torch.empty(0, dtype=dtype).set_(data, offset, tuple(size), tuple(stride))


def _list(values: Any) -> list[Any]:
    return list(values)


_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Bool": torch.bool,
}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("collections", "OrderedDict"): OrderedDict,
    **{("torch.jit._pickle", f"build_{kind}list"): _list for kind in ("int", "double", "bool", "tensor")},
}
