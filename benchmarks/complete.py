"""Measure how often a second classifier recognises the class in completions of test photos with a hidden center.

python benchmarks/complete.py JUDGE SCENES [--fill-judge JUDGE] [--every 50] [--start 0] [--hole 0.5]
    [--classifier-scale 0 30] [--cfg-scale 3] [--candidates auto] [--steps 50] [--output FOLDER]

A JUDGE is a separately trained classifier (recipes/judge_scenes.toml), the second one on crops of half the size, so
that it sees only the fill. SCENES is a folder with one subfolder of photos per class. Every photo is completed with
every class. Prints, for each classifier guidance scale, the share of whole images in which the judge recognises the
class, the same for the classes that are not the photo's, and both for the fills only; and the shares of each class.
Writes an image with one row per photo: the photo, its known pixels, and one result per class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

import restorekit as rk
from restorekit.core.noise import image_seed
from restorekit.evaluation.classification import labelled_crops
from restorekit.models.registry import load_model, load_prior
from restorekit.priors.guided import NoisyClassifier
from restorekit.run.sample import write_grid

# Sigma that is passed to the judge: practically no noise.
JUDGE_SIGMA = 0.005
SHOWN = 8


def load_judge(name: str) -> NoisyClassifier:
    """Return a classifier."""
    judge = load_model(name)
    assert isinstance(judge, NoisyClassifier)
    return judge


def classify(judge: NoisyClassifier, images: Tensor) -> Tensor:
    """Return the judge's labels (N,) of the center crops of images (N, 3, side, side)."""
    images = center_crop(images, [judge.size, judge.size])
    with torch.no_grad():
        labels: Tensor = judge(images, torch.full((len(images),), JUDGE_SIGMA)).argmax(1)
    return labels


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge")
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--fill-judge")
    parser.add_argument("--model", default="guided-scenes")
    parser.add_argument("--cfg-scale", type=float, default=3)
    parser.add_argument("--classifier", default="classifier-patches")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--hole", type=float, default=0.5)
    parser.add_argument("--classifier-scale", type=float, nargs="*", default=[0, 30])
    parser.add_argument("--candidates", default="auto")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--output", type=Path, default=Path("runs/complete"))
    arguments = parser.parse_args()
    prior = load_prior(arguments.model)
    judges = {"picture": load_judge(arguments.judge)}
    if arguments.fill_judge is not None:
        judges["fill"] = load_judge(arguments.fill_judge)
    classes, side = judges["picture"].classes, judges["picture"].size
    names, photos, labels = labelled_crops(arguments.scenes, classes, side, arguments.every, arguments.start)
    hole = round(arguments.hole * side)
    mask = torch.zeros(1, 1, side, side)
    mask[..., (side - hole) // 2 : (side + hole) // 2, (side - hole) // 2 : (side + hole) // 2] = 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    for what, judge in judges.items():
        accuracy = (classify(judge, photos) == labels).float().mean()
        print(f"{len(photos)} photos, {what}: the judge recognises {accuracy:.1%}")
    columns = [f"{what} recognised | of the other classes" for what in judges]
    print(f"\n| classifier scale | {' | '.join(columns)} |\n|--:|{'--:|--:|' * len(judges)}", flush=True)
    true_class = torch.nn.functional.one_hot(labels, len(classes)).bool()
    for scale in arguments.classifier_scale:
        options = {
            "classifier_scale": scale,
            "cfg_scale": arguments.cfg_scale,
            "classifier": arguments.classifier,
            "candidates": arguments.candidates if arguments.candidates == "auto" else int(arguments.candidates),
            "steps": arguments.steps,
            "mask": mask,
        }
        results = []
        for i, photo in enumerate(photos.split(1)):
            seed = image_seed(0, names[i])
            results.append([rk.complete(photo, prior, label=k, seed=seed, **options) for k in classes])
        shares, by_class = [], []
        for what, judge in judges.items():
            right = torch.stack([classify(judge, torch.cat(row)) == torch.arange(len(classes)) for row in results])
            shares += [f"{right.float().mean():.1%}", f"{right[~true_class].float().mean():.1%}"]
            of_class = zip(classes, right.float().mean(0).tolist(), strict=True)
            by_class.append(f"{what}: " + ", ".join(f"{name} {share:.1%}" for name, share in of_class))
        print(f"| {scale:g} | {' | '.join(shares)} |", *by_class, sep="\n", flush=True)
        rows = [
            torch.cat([photo, photo.masked_fill(mask > 0, 1.0), *row])
            for photo, row in zip(photos.split(1), results, strict=True)
        ]
        grid = arguments.output / f"classifier-scale-{scale:g}-cfg-scale-{arguments.cfg_scale:g}.png"
        write_grid(torch.cat(rows[:SHOWN]), grid, columns=2 + len(classes))


if __name__ == "__main__":
    main()
