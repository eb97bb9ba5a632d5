"""Memory of a device that a new model may use."""

from __future__ import annotations

import os
from pathlib import Path

import torch

# Limits of the container, and what it uses, in versions 2 and 1 of control groups.
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
MEMINFO = "/proc/meminfo"


def available_bytes(device: torch.device) -> int | None:
    """Return the number of bytes that are available on a device; None if the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    found = [size for size in (_system_bytes(), *(_rest(*paths) for paths in CGROUPS)) if size is not None]
    return min(found, default=None)


def _system_bytes() -> int | None:
    """Return the available memory of the machine: that of Linux, or else all of its memory where it is known."""
    try:
        lines = Path(MEMINFO).read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _rest(limit: str, usage: str) -> int | None:
    """Return what a container may still use; None without a limit."""
    try:
        return int(Path(limit).read_text(encoding="ascii")) - int(Path(usage).read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max"
        return None
