"""The processes of a training run, and what accelerate provides for them."""

from __future__ import annotations

import os

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, TorchDynamoPlugin, parse_flag_from_env

from restorekit.core.precision import has_bfloat16
from restorekit.errors import TrainingError
from restorekit.training.plan import RunPlan

# Kinds of distributed training of accelerate that divide the weights; `training/sharding.py` replaces the first.
SPLIT_WEIGHTS = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def accelerator_for(run: RunPlan) -> Accelerator:
    """Return the accelerator of a run: its device, processes, precision and accumulation."""
    # Accelerate keeps the precision of the first run in a process; the precision of a second run may differ.
    AcceleratorState._reset_state()
    dynamo = TorchDynamoPlugin(backend="inductor") if run.compile else None
    # This selects the device and starts the communication, as Accelerator would.
    in_hardware = has_bfloat16(PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device)
    return Accelerator(
        mixed_precision="bf16" if run.precision == "bfloat16" or (run.precision == "auto" and in_hardware) else "no",
        gradient_accumulation_steps=run.accumulate,
        dynamo_plugin=dynamo,
        step_scheduler_with_optimizer=False,
    )


def check_processes(accelerator: Accelerator) -> None:
    """Raise TrainingError if a launcher started processes that would train separately, or would split the weights."""
    if accelerator.distributed_type in SPLIT_WEIGHTS:
        found = accelerator.distributed_type.value
        raise TrainingError(f"accelerate: found {found}, allowed: --multi_gpu (run.fsdp=true divides the weights)")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        hint = "to train on the CPU, set ACCELERATE_USE_CPU=true"
        raise TrainingError(f"accelerate: {launched} processes were launched, but there is no GPU for them; {hint}")
