"""Compare all solvers with classical methods on six linear problems: PSNR, SSIM, evaluations of the prior, time.

python benchmarks/solvers.py PHOTOS [--every N] [--crop 128] [--steps 20] [--model NAME] [--fill NAME]
    [--pictures FOLDER] [-o FILE]

The center crop of every photo is degraded; the name of the photo is the seed of the noise and of the missing pixels.
PSNR is computed over the hole if there is one, SSIM over the crop, after rounding to 8 bits. All solvers start from
`initial_estimate` with noise of the problem's sigma_max, except `dpir`, which adds no noise and starts at the level of
the paper or at DPIR_SIGMA_MAX. For holes, the recipe `inpaint` with a prior trained for it (--fill) is included.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

import restorekit as rk
from restorekit.core.denoiser import GREY_LEVEL, Denoiser, Wrapper
from restorekit.core.filters import Blur, Downsample, gaussian_kernel, motion_kernel
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.core.operators import LinearOperator, Masking, grayscale
from restorekit.core.solver import Solver
from restorekit.evaluation.baselines import bicubic, biharmonic, richardson_lucy, wiener
from restorekit.evaluation.inpainting import rounded
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.evaluation.tables import clean_photos
from restorekit.models.registry import load_prior
from restorekit.plugins.discovery import solver_named
from restorekit.priors.known_pixels import KnownPixels
from restorekit.run.engine import make_engine
from restorekit.run.sample import write_grid
from restorekit.sampling.solvers import SOLVERS, initial_estimate

# Noise of the blurred photos: two grey levels.
NOISE = 2 * GREY_LEVEL
# First sigma of DPIR, if it differs from that of the paper; chosen on two photos.
DPIR_SIGMA_MAX = {"random80": 0.2, "box": 1.0, "x4": 1.0}
Classical = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """A degradation and classical methods for it.

    Attributes:
        operator, sigma_y: y = A x + sigma_y n.
        sigma_max: first noise level, above the errors of the initial estimate.
        classical: methods from y (C, h, w) to (C, H, W), by name.
        hole: (1, H, W), where the PSNR is computed; None: everywhere.
    """

    operator: LinearOperator
    sigma_y: float
    sigma_max: float
    classical: dict[str, Classical]
    hole: Tensor | None = None


def problems(side: int, name: str) -> dict[str, Problem]:
    """Return the six problems for a crop of a photo."""
    generator = torch.Generator().manual_seed(image_seed(0, f"{name}/mask"))
    missing = torch.rand(1, side, side, generator=generator) < 0.8
    box = torch.zeros(1, side, side, dtype=torch.bool)
    center = slice(side * 3 // 8, side * 5 // 8)
    box[:, center, center] = True
    small, motion = gaussian_kernel(1.6), motion_kernel(15, 30)

    def masked(hole: Tensor, sigma_max: float) -> Problem:
        return Problem(Masking(~hole[None]), 0, sigma_max, {"biharmonic": lambda y: biharmonic(y, hole)}, hole)

    def blurred(kernel: Tensor) -> Problem:
        methods: dict[str, Classical] = {
            "Wiener": partial(wiener, kernel=kernel),
            "Richardson-Lucy": partial(richardson_lucy, kernel=kernel),
        }
        return Problem(Blur(kernel), NOISE, 0.5, methods)

    return {
        "random80": masked(missing, 0.5),
        "box": masked(box, 1.0),
        "x4": Problem(Downsample(4), 0, 0.5, {"bicubic": partial(bicubic, factor=4)}),
        "gaussian blur": blurred(small),
        "motion blur": blurred(motion),
        "colourise": Problem(grayscale(), 0, 5.0, {"grey": lambda y: y.expand(3, -1, -1)}),
    }


def options(solver: Solver, problem: str, steps: int) -> dict[str, Any]:
    """Return the options of a solver, in addition to those of the problem."""
    specific: dict[str, dict[str, Any]] = {
        "repaint": {"jump": 5, "resample": 2},
        "langevin": {"inner_steps": 3},
        "dps": {"zeta": 0.3},
        "dpir": {"sigma_max": DPIR_SIGMA_MAX.get(problem)},
    }
    return {"steps": steps, **specific.get(solver.name, {})}


class Counted(Wrapper):
    """A prior that counts its evaluations."""

    def __init__(self, prior: Denoiser) -> None:
        super().__init__(prior)
        self.count = 0

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma, label)."""
        self.count += 1
        return self.inner(x, sigma, label)


def solve(
    solver: Solver, prior: Denoiser, y: Tensor, problem: Problem, start: Tensor, name: str, specific: dict[str, Any]
) -> Tensor:
    """Return the result (C, H, W) of a solver."""
    noise = ImageNoise([image_seed(0, f"{name}/{solver.name}")])
    values = {"start": start, "sigma_max": problem.sigma_max, **specific}
    with torch.no_grad():
        return solver.solve(prior, problem.operator, y, problem.sigma_y, noise, **values)[0]


def main() -> None:
    """Print and write the rows of each problem as soon as they are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--model", default="ddpm-photo")
    parser.add_argument("--fill", default="ddpm-fill")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="Folder for one grid per problem, with one row per photo and one column per method.",
    )
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.crop % 4 or arguments.crop < 16:
        parser.error(f"--crop: found {arguments.crop}, allowed: multiples of 4 from 16")
    engine = make_engine("cpu")
    prior, filler = (Counted(engine.place(load_prior(name))) for name in (arguments.model, arguments.fill))
    photos = [
        (name, center_crop(photo, [arguments.crop] * 2))
        for name, photo in clean_photos(arguments.photos, arguments.every)
    ]
    if arguments.output is not None:
        arguments.output.unlink(missing_ok=True)

    def write(line: str) -> None:
        print(line, flush=True)
        if arguments.output is not None:
            with arguments.output.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    settings = f"--every {arguments.every} --crop {arguments.crop} --steps {arguments.steps}"
    command = f"python benchmarks/solvers.py PHOTOS {settings}"
    models = f"prior {arguments.model}, prior of inpaint {arguments.fill}, {engine.precision}"
    write(f"# Solvers\n\n`{command}`: {len(photos)} photos, {models}.")
    write("Discussion: [docs/solvers.md](../docs/solvers.md).\n")
    write("| problem | method | PSNR (dB) | SSIM | evaluations | s per photo |\n|---|---|--:|--:|--:|--:|")
    for kind in problems(arguments.crop, ""):
        measure(kind, photos, prior, filler, arguments.steps, write, arguments.pictures)


def measure(
    kind: str,
    photos: list[tuple[str, Tensor]],
    prior: Counted,
    filler: Counted,
    steps: int,
    write: Callable[[str], None],
    pictures: Path | None,
) -> None:
    """Measure one problem: classical methods, the initial estimate, and all applicable solvers."""
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    shown: list[Tensor] = []

    def row(method: str, clean: Tensor, problem: Problem, compute: Callable[[], Tensor]) -> None:
        prior.count, filler.count, start = 0, 0, time.perf_counter()
        got = rounded(compute().float().cpu())
        seconds = time.perf_counter() - start
        rows[method].append((psnr(got, clean, problem.hole), ssim(got, clean), prior.count + filler.count, seconds))
        shown.append(got)

    for name, clean in photos:
        problem = problems(clean.shape[-1], name)[kind]
        y = problem.operator.forward(clean[None])
        y = y + problem.sigma_y * ImageNoise([image_seed(0, name)]).like(y)
        start = initial_estimate(problem.operator, y, problem.sigma_y)
        shown += [clean]
        for method, compute in problem.classical.items():
            row(method, clean, problem, partial(compute, y[0]))
        row("initial estimate", clean, problem, lambda y=y, p=problem: initial_estimate(p.operator, y, p.sigma_y)[0])  # type: ignore[misc]
        for solver in SOLVERS:
            if problem.sigma_y == 0 or "noise-free" not in solver.needs:
                specific = options(solver, kind, steps)
                row(solver.name, clean, problem, partial(solve, solver, prior, y, problem, start, name, specific))
        if problem.hole is not None and prior.info.partial_noise:
            solver, known = solver_named("dpir"), KnownPixels(prior, problem.hole[None], y)
            loop = partial(solve, solver, known, y, problem, start, name, options(solver, kind, steps))
            row("dpir with known pixels", clean, problem, loop)
        if problem.hole is not None:
            filled = partial(rk.inpaint, y, filler, mask=problem.hole[None].float(), mode="mean")
            row("inpaint --mode mean", clean, problem, lambda filled=filled: filled()[0])  # type: ignore[misc]
    for method, values in rows.items():
        decibels, similarity, count, seconds = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
        write(f"| {kind} | {method} | {decibels:.2f} | {similarity:.4f} | {count:.0f} | {seconds:.2f} |")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        columns = len(shown) // len(photos)
        write_grid(torch.stack(shown), pictures / f"{kind.replace(' ', '-')}.png", columns=columns)


if __name__ == "__main__":
    main()
