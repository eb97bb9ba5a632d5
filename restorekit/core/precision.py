"""Number formats that a device computes with in hardware."""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Return True if the device computes with bfloat16 in hardware: CUDA from Ampere on, CPUs with AVX512-BF16.

    Elsewhere bfloat16 is emulated, which takes several times as long as float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public function for this check; without it, float32 is the safe choice.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
