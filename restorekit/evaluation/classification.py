"""Accuracy of a classifier of noisy images at each noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.files import find_images
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.errors import ImageError, ModelError, OptionError
from restorekit.evaluation.tables import WriteLine
from restorekit.models.registry import load_model
from restorekit.priors.guided import NoisyClassifier
from restorekit.run.engine import Engine
from restorekit.run.images import read_photo

BATCH = 64


def labelled_crops(
    folder: Path, classes: tuple[str, ...], size: int, every: int, start: int = 0
) -> tuple[list[str], Tensor, Tensor]:
    """Return names, center crops (N, 3, size, size) in [-1, 1] and labels (N,) of photos in class folders.

    every, start: every Nth photo, from number `start` on, counted from 0.
    """
    files = [file for name in classes for file in find_images(folder / name)][start::every]
    if not files:
        raise ImageError(f"{folder}: no image in folders named {', '.join(classes)}")
    crops, labels = [], []
    for file in files:
        photo = read_photo(file).tensor()[0].expand(3, -1, -1)
        if min(photo.shape[1:]) < size:
            raise ImageError(
                f"{file}: found {photo.shape[2]} x {photo.shape[1]} pixels, allowed: {size} x {size} or more"
            )
        crops.append(center_crop(photo, [size, size]))
        labels.append(classes.index(file.relative_to(folder).parts[0]))
    return [str(file.relative_to(folder)) for file in files], torch.stack(crops), torch.tensor(labels)


def evaluate(
    folder: Path,
    sigmas: Sequence[float],
    model: str,
    engine: Engine,
    *,
    every: int = 1,
    seed: int = 0,
    write_line: WriteLine = lambda line: None,
) -> dict[float, float]:
    """Return the accuracy at each sigma on the center crops of photos in a folder with one subfolder per class.

    sigmas: in 8-bit grey levels. model: what `load_model` accepts. every: only every Nth photo.
    write_line: called with the lines of a Markdown table as soon as they are measured.
    """
    if not sigmas or not all(0 <= sigma < math.inf for sigma in sigmas):
        raise OptionError(f"--sigma: found {list(sigmas)}, allowed: numbers, 0 or greater")
    loaded = load_model(model)
    if not isinstance(loaded, NoisyClassifier):
        raise ModelError(f"classify: {model} is a prior, allowed: a classifier")
    classifier = engine.place(loaded)
    names, images, labels = labelled_crops(folder, classifier.classes, classifier.size, every)
    noise = torch.cat([ImageNoise([image_seed(seed, name)]).like(images[:1]) for name in names])
    write_line("| sigma | model | accuracy | photos |\n|--:|:--|--:|--:|")
    accuracy = {}
    for sigma in sigmas:
        noisy = images + sigma * GREY_LEVEL * noise
        correct = 0
        for batch, expected in zip(noisy.split(BATCH), labels.split(BATCH), strict=True):
            level = torch.full((len(batch),), sigma * GREY_LEVEL, device=engine.device)
            with torch.no_grad():
                predicted = classifier(batch.to(engine.device), level).argmax(1).cpu()
            correct += int((predicted == expected).sum())
        accuracy[sigma] = correct / len(labels)
        write_line(f"| {sigma:g} | {model} | {accuracy[sigma]:.1%} | {len(labels)} |")
    return accuracy
