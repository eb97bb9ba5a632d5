"""A real model file of a small, randomly initialised network."""

from __future__ import annotations

from pathlib import Path

import torch

from restorekit.models.config import EpsilonConfig
from restorekit.models.files import CARD, WEIGHTS, save_weights

CONFIG = EpsilonConfig.model_validate(
    {
        "size": 16,
        "net": {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "middle_attention": False},
    }
)


def small_model(folder: Path) -> Path:
    """A folder as `restorekit train` writes it; the network's output is not zero."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    net = CONFIG.build().net
    torch.nn.init.normal_(net.out[2].weight, std=0.02)  # type: ignore[index, union-attr]
    save_weights(folder / WEIGHTS, net.state_dict(), CONFIG, torch.float16)
    (folder / CARD).write_text("---\nlicense: apache-2.0\n---\n# small\n")
    return folder
