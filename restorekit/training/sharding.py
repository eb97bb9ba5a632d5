"""Training with divided weights: fully sharded data parallelism (FSDP2, `torch.distributed.fsdp.fully_shard`).

Every process keeps one part of each parameter, of its gradient, of its AdamW averages and of its moving average, and
gathers the parameters of one unit of the network while that unit computes (Zhao et al. 2023, arXiv 2304.11277). Buffers
stay whole. All processes must make the same calls of the network in the same order.

The plugin of accelerate (1.15) for FSDP2 is not used. It is ignored on CPUs; with bfloat16 it casts the inputs of the
objective and the loss; it does not carry over the state of an optimizer that was loaded before.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.optim import Optimizer

from restorekit.errors import TrainingError
from restorekit.nets.unet import Stage

try:
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor, distribute_tensor

    IS_AVAILABLE = True
except ImportError:  # torch before 2.6
    IS_AVAILABLE = False

# Modules that are gathered as one unit; the remaining parameters form another one.
UNITS = (Stage,)


def shard(objective: nn.Module, average: nn.Module, optimizer: Optimizer, device: torch.device) -> None:
    """Divide the objective, the moving average and the optimizer among all processes, in place.

    All are whole and equal on every process, on the CPU; buffers and parts of parameters are moved to `device`.
    """
    if not IS_AVAILABLE:
        raise TrainingError(f"run.fsdp: found torch {torch.__version__}, allowed: 2.6 or later")
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    before = dict(objective.named_parameters())
    _shard_module(objective, mesh)
    _shard_module(average, mesh)
    parts: dict[Tensor, Tensor] = {before[name]: part for name, part in objective.named_parameters()}
    for group in optimizer.param_groups:
        group["params"] = [parts[parameter] for parameter in group["params"]]
    states = dict(optimizer.state)
    optimizer.state.clear()
    for parameter, state in states.items():
        optimizer.state[parts[parameter]] = {
            name: _part_like(value, parts[parameter]) if value.shape == parameter.shape else value
            for name, value in state.items()
        }


def whole(value: Tensor) -> Tensor:
    """Return a tensor that is not divided; all processes must call this. Other tensors are returned unchanged."""
    return value.full_tensor() if IS_AVAILABLE and isinstance(value, DTensor) else value


def gather(state: Any, *, keep: bool) -> Any:
    """Return a state dict with whole tensors on the CPU; with None in their place where `keep` is False.

    All processes must call it. Only one tensor at a time is whole on the device.
    """
    if isinstance(state, dict):
        return {name: gather(value, keep=keep) for name, value in state.items()}
    if not isinstance(state, Tensor):
        return state
    tensor = whole(state)
    return tensor.cpu() if keep else None


def _shard_module(module: nn.Module, mesh: DeviceMesh) -> None:
    for unit in list(module.modules()):
        if isinstance(unit, UNITS):
            fully_shard(unit, mesh=mesh)
    # By default, the parameters of the root would stay whole after a call.
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def _part_like(whole: Tensor, parameter: Tensor) -> Tensor:
    assert isinstance(parameter, DTensor)
    return distribute_tensor(whole.to(parameter.device), parameter.device_mesh, parameter.placements)
