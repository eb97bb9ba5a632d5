from __future__ import annotations

import pytest
import torch

from restorekit.core.precision import has_bfloat16


@pytest.mark.parametrize("supported", [True, False])
def test_the_processor_decides_on_bfloat16(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported, raising=False)
    assert has_bfloat16(torch.device("cpu")) is supported


def test_a_torch_without_the_check_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not has_bfloat16(torch.device("cpu"))


def test_emulation_on_a_gpu_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bfloat16(torch.device("cuda"))


def test_other_devices_compute_in_float32() -> None:
    assert not has_bfloat16(torch.device("meta"))
