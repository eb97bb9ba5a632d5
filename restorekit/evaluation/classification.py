"""How often a classifier of noisy images is right, by noise level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.noise import ImageNoise, image_seed
from restorekit.errors import ImageError, ModelError
from restorekit.evaluation.tables import Say
from restorekit.models.registry import load_model
from restorekit.priors.guided import NoisyClassifier
from restorekit.run.engine import Engine
from restorekit.run.images import SUFFIXES, read_photo

# One 8-bit level in [-1, 1].
LEVEL = 2 / 255
BATCH = 64


def labelled_middles(folder: Path, classes: tuple[str, ...], size: int, every: int) -> tuple[list[str], Tensor, Tensor]:
    """Names, middles (N, 3, size, size) in [-1, 1] and labels (N,) of every Nth photo of a folder of class folders."""
    files = [p for name in classes for p in sorted((folder / name).rglob("*")) if p.suffix.lower() in SUFFIXES][::every]
    if not files:
        raise ImageError(f"{folder}: no image in folders named {', '.join(classes)}")
    middles, labels = [], []
    for file in files:
        photo = read_photo(file).tensor()[0].expand(3, -1, -1)
        if min(photo.shape[1:]) < size:
            raise ImageError(f"{file}: is {photo.shape[2]} x {photo.shape[1]}, allowed: {size} pixels a side or more")
        top, left = ((length - size) // 2 for length in photo.shape[1:])
        middles.append(photo[:, top : top + size, left : left + size])
        labels.append(classes.index(file.relative_to(folder).parts[0]))
    return [str(file.relative_to(folder)) for file in files], torch.stack(middles), torch.tensor(labels)


def evaluate(
    folder: Path,
    sigmas: Sequence[float],
    model: str,
    engine: Engine,
    *,
    every: int = 1,
    seed: int = 0,
    say: Say = lambda line: None,
) -> dict[float, float]:
    """Accuracy by sigma (8-bit units) on the middles of a folder with a sub-folder for each class."""
    loaded = load_model(model)
    if not isinstance(loaded, NoisyClassifier):
        raise ModelError(f"classify: {model} is a prior, allowed: a classifier")
    classifier = engine.place(loaded)
    names, images, labels = labelled_middles(folder, classifier.classes, classifier.size, every)
    noise = torch.cat([ImageNoise([image_seed(seed, name)]).like(images[:1]) for name in names])
    say("| sigma | accuracy | photos |\n|--:|--:|--:|")
    found = {}
    for sigma in sigmas:
        noisy = images + sigma * LEVEL * noise
        right = 0
        for part, wanted in zip(noisy.split(BATCH), labels.split(BATCH), strict=True):
            level = torch.full((len(part),), sigma * LEVEL, device=engine.device)
            with torch.no_grad():
                answers = classifier(part.to(engine.device), level).argmax(1).cpu()
            right += int((answers == wanted).sum())
        found[sigma] = right / len(labels)
        say(f"| {sigma:g} | {found[sigma]:.1%} | {len(labels)} |")
    return found
