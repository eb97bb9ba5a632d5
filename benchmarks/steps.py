"""PSNR and SSIM by number of steps: every solver on four linear problems, and every recipe with steps.

python benchmarks/steps.py PHOTOS [--every 8] [--first 3] [--crop 48] [--steps 2 5 10 20 50]
    [--tasks TASK ...] [--solvers NAME ...] [-o FILE]

The center crops of the photos are restored as one batch. Solvers: problems and options of benchmarks/solvers.py.
Recipes: default options, with the given number of steps. PSNR is computed over the hole if there is one, SSIM over the
crop, after rounding to 8 bits. An evaluation at sigma = inf (a hole) counts as the passes of the network that it takes.
Each cell shows PSNR in dB / SSIM / evaluations / CPU seconds per photo (with OMP_NUM_THREADS=1, other load matters
less).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from solvers import Counted, Problem, options, problems
from torch import Tensor

import restorekit as rk
from restorekit.core.denoiser import GREY_LEVEL, Denoiser
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.core.operators import Masking
from restorekit.evaluation.inpainting import rounded
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.evaluation.tables import clean_photos
from restorekit.models.registry import load_prior
from restorekit.priors.epsilon import EXTRA_PASSES, EpsilonPrior
from restorekit.run.engine import make_engine
from restorekit.sampling.solvers import SOLVERS, initial_estimate

# Returns images (N, C, H, W), given the number of `steps`.
Method = Callable[..., Tensor]
PROBLEMS = ("random80", "box", "x4", "gaussian blur")


class CountedImages(Counted):
    """A prior that counts the images that its network evaluates, with all passes over a hole."""

    def __init__(self, prior: EpsilonPrior) -> None:
        super().__init__(make_engine("cpu").place(prior))
        self.passes = prior.passes + EXTRA_PASSES

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma, label)."""
        self.count += len(x) * (self.passes if sigma.isinf().any() else 1)
        return self.inner(x, sigma, label)


def crop(photos: list[tuple[str, Tensor]], side: int, margin: int = 0) -> Tensor:
    """Return the center crops (N, C, side + 2 margin, side + 2 margin)."""
    corners = [[(length - side) // 2 - margin for length in photo.shape[-2:]] for _, photo in photos]
    size = side + 2 * margin
    crops = [photo[:, y : y + size, x : x + size] for (_, photo), (y, x) in zip(photos, corners, strict=True)]
    return torch.stack(crops)


def combined(kind: str, names: list[str], side: int) -> Problem:
    """Return a problem of benchmarks/solvers.py for several photos, each with its missing pixels."""
    found = [problems(side, name)[kind] for name in names]
    if found[0].hole is None:
        return found[0]
    hole = torch.stack([problem.hole for problem in found if problem.hole is not None])
    return Problem(Masking(~hole), 0, found[0].sigma_max, {}, hole)


def measurement(problem: Problem, clean: Tensor, names: list[str]) -> tuple[Tensor, Tensor]:
    """Return the degraded images, with the noise of benchmarks/solvers.py, and their initial estimates."""
    y = problem.operator.forward(clean)
    y = y + problem.sigma_y * ImageNoise([image_seed(0, name) for name in names]).like(y)
    return y, initial_estimate(problem.operator, y, problem.sigma_y)


def solve_batch(
    solver: rk.Solver,
    *,
    steps: int,
    kind: str,
    problem: Problem,
    y: Tensor,
    start: Tensor,
    names: list[str],
    prior: Denoiser,
) -> Tensor:
    """Return the results (N, C, H, W) of a solver."""
    noise = ImageNoise([image_seed(0, f"{name}/{solver.name}") for name in names])
    values = {"start": start, "sigma_max": problem.sigma_max, **options(solver, kind, steps)}
    if solver.name == "repaint":
        values["jump"] = min(steps, values["jump"])
    with torch.no_grad():
        return solver.solve(prior, problem.operator, y, problem.sigma_y, noise, **values)


def usable_solvers(problem: Problem) -> list[rk.Solver]:
    """Return the solvers of a problem."""
    return [solver for solver in SOLVERS if problem.sigma_y == 0 or "noise-free" not in solver.needs]


def recipe_methods(
    photos: list[tuple[str, Tensor]], side: int, prior: Denoiser, filler: Denoiser
) -> Iterator[tuple[str, Method, Tensor | None]]:
    """Yield the recipes with steps, and the hole of their results if there is one."""
    clean, names = crop(photos, side), [name for name, _ in photos]
    noise = ImageNoise([image_seed(0, name) for name in names])
    for kind in ("random80", "box"):
        hole = combined(kind, names, side).hole
        assert hole is not None
        for mode in ("mean", "sample"):
            run = partial(rk.inpaint, clean.masked_fill(hole, 0), filler, mask=hole.float(), mode=mode)
            yield f"inpaint --mode {mode}, {kind}", run, hole
    noisy = clean + 25 * GREY_LEVEL * noise.like(clean)
    yield "denoise --sigma 25 --mode sample", partial(rk.denoise, noisy, prior, sigma=25, mode="sample"), None
    for scale in (2, 4):
        small = rounded(rk.Downsample(scale).forward(clean))
        yield f"superres --scale {scale}", partial(rk.superres, small, prior, scale=scale), None
    kernel = rk.gaussian_kernel(1.6)
    blurred = rk.Blur(kernel, "valid").forward(crop(photos, side, kernel.shape[0] // 2))
    blurred = rounded(blurred + 2 * GREY_LEVEL * noise.like(blurred))
    yield "deblur --gaussian 1.6", partial(rk.deblur, blurred, prior, gaussian=1.6), None
    grey = rounded(rk.grayscale().forward(clean))
    for mode in ("mean", "sample"):
        yield f"colorize --mode {mode}", partial(rk.colorize, grey, prior, mode=mode), None


def main() -> None:
    """Print and write one table per task: a row per method, a column per number of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--first", type=int, default=3, help="Index of the first photo.")
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 5, 10, 20, 50])
    parser.add_argument("--tasks", nargs="+", choices=(*PROBLEMS, "recipes"), default=(*PROBLEMS, "recipes"))
    parser.add_argument("--solvers", nargs="+", default=[solver.name for solver in SOLVERS])
    parser.add_argument("-o", "--output", type=Path, help="File to which the tables are appended.")
    arguments = parser.parse_args()
    prior, filler = (CountedImages(load_prior(name)) for name in ("ddpm-photo", "ddpm-fill"))
    photos = clean_photos(arguments.photos, 1)[arguments.first :: arguments.every]
    clean, names = crop(photos, arguments.crop), [name for name, _ in photos]

    def write(line: str) -> None:
        print(line, flush=True)
        if arguments.output is not None:
            with arguments.output.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    for task in arguments.tasks:
        write(f"\n## {task}\n")
        if task == "recipes":
            rows = list(recipe_methods(photos, arguments.crop, prior, filler))
        else:
            problem = combined(task, names, arguments.crop)
            y, start = measurement(problem, clean, names)
            first = measure(lambda steps, start=start: start, 0, clean, problem.hole, (prior,))
            write(f"Initial estimate: {first}\n")
            solve = partial(solve_batch, kind=task, problem=problem, y=y, start=start, names=names, prior=prior)
            rows = [
                (solver.name, partial(solve, solver), problem.hole)
                for solver in usable_solvers(problem)
                if solver.name in arguments.solvers
            ]
        write(f"| method | {' | '.join(map(str, arguments.steps))} |\n|---{'|--:' * len(arguments.steps)}|")
        for name, method, hole in rows:
            cells = [measure(method, steps, clean, hole, (prior, filler)) for steps in arguments.steps]
            write(f"| {name} | {' | '.join(cells)} |")


def measure(method: Method, steps: int, clean: Tensor, hole: Tensor | None, priors: tuple[CountedImages, ...]) -> str:
    """Return PSNR in dB / SSIM / evaluations / CPU seconds per photo of a method with a number of steps."""
    for prior in priors:
        prior.count = 0
    start = time.process_time()
    results = [rounded(image) for image in method(steps=steps).float().cpu()]
    seconds = (time.process_time() - start) / len(clean)
    evaluations = sum(prior.count for prior in priors) / len(clean)
    holes = [None] * len(clean) if hole is None else list(hole)
    decibels = [psnr(*images) for images in zip(results, clean, holes, strict=True)]
    similarity = [ssim(*images) for images in zip(results, clean, strict=True)]
    return f"{fmean(decibels):.2f} / {fmean(similarity):.3f} / {evaluations:.0f} / {seconds:.2f}"


if __name__ == "__main__":
    main()
