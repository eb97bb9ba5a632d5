"""What `complete` does with test photos whose middle is hidden: how often a second classifier says what was asked.

python benchmarks/complete.py JUDGE SCENES [--fill-judge JUDGE] [--every 50] [--hole 0.5] [--guidance 0 10]
    [--free 3] [--steps 50] [--output FOLDER]

A JUDGE is a classifier trained apart (recipes/judge_scenes.toml), the second one on crops of half the size, so that it
sees the fill alone; SCENES a folder with a folder of photos for each class. Every photo is completed as every class
says. Prints, for each strength of guidance by the classifier, the share of whole pictures named as asked, and the same
of the labels that are not the photo's own, then both of the fills alone; writes a picture, a row a photo: the photo,
what is known of it, one result a class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import restorekit as rk
from restorekit.core.noise import image_seed
from restorekit.evaluation.classification import labelled_middles
from restorekit.models.registry import load_model, load_prior
from restorekit.priors.guided import NoisyClassifier
from restorekit.run.sample import write_grid

# Noise at which the judge looks: as good as none.
JUDGED_AT = 0.005
SHOWN = 8


def loaded(name: str) -> NoisyClassifier:
    """A classifier."""
    judge = load_model(name)
    assert isinstance(judge, NoisyClassifier)
    return judge


def named(judge: NoisyClassifier, images: Tensor) -> Tensor:
    """Labels (N,) that the judge gives to the middles of images (N, 3, side, side)."""
    first = (images.shape[-1] - judge.size) // 2
    images = images[..., first : first + judge.size, first : first + judge.size]
    with torch.no_grad():
        answer: Tensor = judge(images, torch.full((len(images),), JUDGED_AT)).argmax(1)
    return answer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge")
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--fill-judge")
    parser.add_argument("--model", default="guided-scenes")
    parser.add_argument("--free", type=float, default=3)
    parser.add_argument("--classifier", default="classifier-patches")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--hole", type=float, default=0.5)
    parser.add_argument("--guidance", type=float, nargs="*", default=[0, 10])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--output", type=Path, default=Path("runs/complete"))
    asked = parser.parse_args()
    prior = load_prior(asked.model)
    judges = {"picture": loaded(asked.judge)}
    if asked.fill_judge is not None:
        judges["fill"] = loaded(asked.fill_judge)
    classes, side = judges["picture"].classes, judges["picture"].size
    names, photos, labels = labelled_middles(asked.scenes, classes, side, asked.every)
    hole = round(asked.hole * side)
    mask = torch.zeros(1, 1, side, side)
    mask[..., (side - hole) // 2 : (side + hole) // 2, (side - hole) // 2 : (side + hole) // 2] = 1
    asked.output.mkdir(parents=True, exist_ok=True)
    for what, judge in judges.items():
        print(f"{len(photos)} photos, {what}: the judge names {(named(judge, photos) == labels).float().mean():.1%}")
    columns = [f"{what} named as asked | of the other labels" for what in judges]
    print(f"\n| guidance | {' | '.join(columns)} |\n|--:|{'--:|--:|' * len(judges)}", flush=True)
    own = torch.nn.functional.one_hot(labels, len(classes)).bool()
    for guidance in asked.guidance:
        options = {"guidance": guidance, "free": asked.free, "classifier": asked.classifier}
        results = []
        for i, photo in enumerate(photos.split(1)):
            given = {**options, "steps": asked.steps, "mask": mask, "seed": image_seed(0, names[i])}
            results.append([rk.complete(photo, prior, label=k, **given) for k in classes])
        shares = []
        for judge in judges.values():
            right = torch.stack([named(judge, torch.cat(row)) == torch.arange(len(classes)) for row in results])
            shares += [f"{right.float().mean():.1%}", f"{right[~own].float().mean():.1%}"]
        print(f"| {guidance:g} | {' | '.join(shares)} |", flush=True)
        rows = [
            torch.cat([photo, photo.masked_fill(mask > 0, 1.0), *row])
            for photo, row in zip(photos.split(1), results, strict=True)
        ]
        grid = asked.output / f"guidance-{guidance:g}-free-{asked.free:g}.png"
        write_grid(torch.cat(rows[:SHOWN]), grid, columns=2 + len(classes))


if __name__ == "__main__":
    main()
