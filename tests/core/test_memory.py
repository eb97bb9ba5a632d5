from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from restorekit.core import memory

glibc = pytest.mark.skipif(memory._glibc() is None, reason="requires glibc")

# Page faults of the second of two buffers of 64 MiB, without and with the settings, and resident pages before and after
# the free memory is released. In a process of its own, since the settings remain.
PROGRAM = """
import resource
from restorekit.core.memory import release_free_memory, reuse_large_buffers

def faults_of_buffer():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"1") * (64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_pages():
    return int(open("/proc/self/statm").read().split()[1])

faults_of_buffer()
print(faults_of_buffer())
reuse_large_buffers()
faults_of_buffer()
print(faults_of_buffer())
before = resident_pages()
release_free_memory()
print(before - resident_pages())
"""


@glibc
def test_freed_buffers_are_reused_until_they_are_released() -> None:
    out = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    mapped_anew, reused, released = map(int, out.split())
    assert reused < mapped_anew / 10
    assert released > mapped_anew / 2


@pytest.mark.parametrize("platform", ["darwin", "win32", "linux"])
def test_other_c_libraries_are_left_alone(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.reuse_large_buffers()
    memory.release_free_memory()


def test_capacities_of_caches_in_the_environment_are_kept(monkeypatch) -> None:
    first, *others = memory.CAPACITIES
    for name in others:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(first, "7")
    memory.limit_caches()
    assert {name: os.environ[name] for name in memory.CAPACITIES} == {**memory.CAPACITIES, first: "7"}
