"""Measure how often a second classifier recognises the class of samples, with and without guidance.

python benchmarks/guided.py JUDGE [--prior guided-scenes] [--classifier classifier-scenes] [--count 16] [--steps 50]
    [--classifier-scale 0 1 2 4] [--cfg-scale 0 1 2] [--output FOLDER]

JUDGE is a separately trained classifier (recipes/judge_scenes.toml). Prints the share and the odds for every scale of
classifier guidance and of classifier-free guidance, and writes a grid of samples for each, one row per class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.models.registry import load_model, load_prior
from restorekit.priors.guided import ClassifierFree, ClassifierGuided, NoisyClassifier
from restorekit.priors.labelled import Labelled
from restorekit.run.engine import make_engine
from restorekit.run.sample import write_grid
from restorekit.sampling.samplers import sample_ddim

# Sigma that is passed to the judge: practically no noise.
JUDGE_SIGMA = 0.005


def samples(prior: Denoiser, label: int, count: int, steps: int, size: int) -> Tensor:
    """Sample images (count, 3, size, size) of one class by DDIM with eta 1; the noise is the same for every prior."""
    noise = ImageNoise([image_seed(label, str(i)) for i in range(count)])
    ladder, clip = ladder_for(prior, steps), isinstance(prior, ClassifierFree)
    start = noise.like(torch.empty(count, 3, size, size)) * float(ladder[0])
    with torch.no_grad():
        labels = torch.full((1,), label)
        return sample_ddim(Labelled(prior, labels), start, ladder, noise, eta=1.0, clip=clip).clamp(-1, 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge")
    parser.add_argument("--prior", default="guided-scenes")
    parser.add_argument("--classifier", default="classifier-scenes")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--classifier-scale", type=float, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument("--cfg-scale", type=float, nargs="*", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/guided"))
    arguments = parser.parse_args()
    engine = make_engine("cpu")
    prior, judge, classifier = (
        engine.place(load_prior(arguments.prior)),
        load_model(arguments.judge),
        load_model(arguments.classifier),
    )
    assert isinstance(judge, NoisyClassifier)
    assert isinstance(classifier, NoisyClassifier)
    arguments.output.mkdir(parents=True, exist_ok=True)
    runs: list[tuple[str, Denoiser]] = [
        *(
            (f"classifier {scale:g}", ClassifierGuided(prior, classifier, scale))
            for scale in arguments.classifier_scale
        ),
        *((f"cfg {scale:g}", ClassifierFree(prior, scale)) for scale in arguments.cfg_scale),
    ]
    print("| guidance | recognised | odds |\n|---|--:|--:|")
    for name, guided in runs:
        images = [
            samples(guided, k, arguments.count, arguments.steps, classifier.size)
            for k in range(len(classifier.classes))
        ]
        with torch.no_grad():
            level = torch.full((arguments.count,), JUDGE_SIGMA)
            right = [float((judge(x, level).argmax(1) == k).float().mean()) for k, x in enumerate(images)]
        share = sum(right) / len(right)
        print(f"| {name} | {share:.1%} | {share / max(1 - share, 1e-3):.1f} |", flush=True)
        write_grid(torch.cat([x[:8] for x in images]), arguments.output / f"{name.replace(' ', '-')}.png", columns=8)


if __name__ == "__main__":
    main()
