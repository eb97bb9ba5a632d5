"""Model files of small, randomly initialised networks."""

from __future__ import annotations

from pathlib import Path

import torch

from restorekit.models.config import EpsilonConfig, NoisyClassifierConfig
from restorekit.models.files import CARD, WEIGHTS, save_weights
from restorekit.nets.classifier import ClassifierConfig
from restorekit.priors.epsilon import EpsilonPrior

CONFIG = EpsilonConfig.model_validate(
    {
        "size": 16,
        "net": {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "middle_attention": False},
    }
)


CLASSES = ("dark", "bright")
# A class-conditional network with a learned variance, also trained without labels.
CONDITIONAL = EpsilonConfig.model_validate(
    {
        "size": 16,
        "classes": CLASSES,
        "prediction": "v",
        "net": {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "out_channels": 6, "classes": 3},
    }
)
CLASSIFIER = NoisyClassifierConfig(
    net=ClassifierConfig(classes=2, size=16, channels=32, multipliers=(1, 2), blocks=1), classes=CLASSES
)


def build_prior(config: EpsilonConfig = CONFIG) -> EpsilonPrior:
    """Return a prior whose network is random and depends on all of its inputs."""
    torch.manual_seed(0)
    prior = config.build().eval().requires_grad_(False)
    for parameter in prior.net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return prior


def small_model(folder: Path) -> Path:
    """Write a folder as `restorekit train` does; the output of the network is not zero."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    net = CONFIG.build().net
    torch.nn.init.normal_(net.out[2].weight, std=0.02)  # type: ignore[index, union-attr]
    save_weights(folder / WEIGHTS, net.state_dict(), CONFIG, torch.float16)
    (folder / CARD).write_text("---\nlicense: apache-2.0\n---\n# small\n")
    return folder


def small_classifier(folder: Path) -> Path:
    """Write a folder with a classifier."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, CLASSIFIER.build_net().state_dict(), CLASSIFIER, torch.float16)
    (folder / CARD).write_text("---\nlicense: apache-2.0\n---\n# small\n")
    return folder
