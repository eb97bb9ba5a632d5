"""Small networks with random weights, in the layouts of the published checkpoints."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "SwinIR": (
        "SwinIR",
        {"img_size": 16, "window_size": 8, "embed_dim": 8, "depths": [2], "num_heads": [2], "upsampler": ""},
    ),
    "SwinIR x2": (
        "SwinIR",
        {
            **{"img_size": 16, "window_size": 8, "embed_dim": 8, "depths": [2], "num_heads": [2]},
            **{"upsampler": "pixelshuffle", "upscale": 2},
        },
    ),
    "SCUNet": ("SCUNet", {"config": [1, 1, 1, 1, 1, 1, 1], "dim": 64}),
    "NAFNet": ("NAFNet", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "ESRGAN": ("ESRGAN", {"num_filters": 8, "num_blocks": 2, "scale": 4}),
    "DRUNet": ("DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 8, 8, 8], "nb": 2}),
    "grey DnCNN": ("DnCNN", {"in_nc": 1, "out_nc": 1, "nc": 8, "nb": 8, "act_mode": "R"}),
    "FDnCNN": ("DnCNN", {"in_nc": 4, "out_nc": 3, "nc": 8, "nb": 8, "act_mode": "R", "mode": "FDnCNN"}),
    "LaMa": ("LaMa", {"in_nc": 4, "out_nc": 3}),
    "Restormer": (
        "Restormer",
        {
            **{"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 2]},
            "ffn_expansion_factor": 2.0,
        },
    ),
}


@pytest.fixture
def small_lama(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let spandrel build a small LaMa, whose sizes it does not read from the weights."""
    from spandrel.architectures.LaMa.__arch import LaMa as lama  # noqa: N813

    class Small(lama.FFCResNetGenerator):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__(inputs, outputs, ngf=8, n_downsampling=2, n_blocks=1)

    monkeypatch.setattr(lama, "FFCResNetGenerator", Small)


@pytest.fixture
def build() -> Callable[[str], nn.Module]:
    """Return a function that returns a network with random weights."""

    def call(name: str) -> nn.Module:
        kind, arguments = NETWORKS[name]
        package = "spandrel_extra_arches" if kind == "Restormer" else "spandrel"
        module = importlib.import_module(f"{package}.architectures.{kind}")
        torch.manual_seed(0)
        return getattr(module, kind)(**arguments).eval()  # type: ignore[no-any-return]

    return call


@pytest.fixture
def saved(tmp_path: Path, build: Callable[[str], nn.Module]) -> Callable[..., Path]:
    """Return a function that saves a network with random weights and returns the file."""

    def call(name: str, file: str = "weights.pth") -> Path:
        torch.save(build(name).state_dict(), tmp_path / file)
        return tmp_path / file

    return call
