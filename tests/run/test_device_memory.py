from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.run import device_memory
from restorekit.run.device_memory import available_bytes


def test_memory_of_the_cpu_is_what_the_system_and_its_limits_leave(tmp_path: Path, monkeypatch) -> None:
    meminfo, limit, usage = tmp_path / "meminfo", tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(device_memory, "MEMINFO", str(meminfo))
    monkeypatch.setattr(device_memory, "CGROUPS", ((str(limit), str(usage)),))
    meminfo.write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\n")
    assert available_bytes(torch.device("cpu")) == 1000 * 1024
    limit.write_text("max\n")
    usage.write_text("300\n")
    assert available_bytes(torch.device("cpu")) == 1000 * 1024
    limit.write_text("700\n")
    assert available_bytes(torch.device("cpu")) == 400


def test_memory_without_the_file_of_linux_is_that_of_the_machine(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(device_memory, "MEMINFO", str(tmp_path / "none"))
    monkeypatch.setattr(device_memory, "CGROUPS", ())
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__, raising=False)
    assert available_bytes(torch.device("cpu")) == 40960
    monkeypatch.delattr("os.sysconf")
    assert available_bytes(torch.device("cpu")) is None


def test_memory_of_a_gpu_is_what_is_free(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (5, 9))
    assert available_bytes(torch.device("cuda", 0)) == 5
    monkeypatch.setattr("torch.mps.recommended_max_memory", lambda: 9)
    monkeypatch.setattr("torch.mps.driver_allocated_memory", lambda: 3)
    assert available_bytes(torch.device("mps")) == 6


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="requires Linux")
def test_memory_of_this_machine_is_known() -> None:
    assert (available_bytes(torch.device("cpu")) or 0) > 0
