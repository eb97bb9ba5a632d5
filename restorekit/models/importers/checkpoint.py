"""Reading of published checkpoints: safetensors files and pickles, of which only tensors and plain values are read."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from restorekit.errors import ModelError, shortened

# Prefix of torch.nn.DataParallel.
PARALLEL = "module."
# Raised for damaged files by the unpickler of PyTorch, which does not check them.
DAMAGED = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, MemoryError),
    *(OverflowError, struct.error, SafetensorError),
)


def read_checkpoint(path: Path) -> Any:
    """Return the content of a checkpoint; tensors are mapped from the file where its format allows it.

    A pickle is opened with `weights_only=True`: one with anything but tensors, numbers, strings, lists and dicts is
    refused, and nothing in it is executed.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Files of PyTorch before 1.6 cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        found = f"contains {shortened(name[1])}" if name else "is not a checkpoint of PyTorch"
        raise ModelError(f"{path}: {found}; allowed: a checkpoint of tensors, numbers, lists and dicts") from error
    except DAMAGED as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ModelError(f"{path}: not a readable checkpoint ({shortened(reason, 120)})") from error


def tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Return a state dict without the prefix of `torch.nn.DataParallel`; it may be the entry "state_dict" of a dict."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path}: found {type(content).__name__}, allowed: a dict of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or not value.is_floating_point():
            found = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise ModelError(f"{path}: entry {shortened(name)} is {found}, allowed: a tensor of floating-point numbers")
    parallel = all(name.startswith(PARALLEL) for name in content)
    return {name.removeprefix(PARALLEL) if parallel else name: value for name, value in content.items()}
