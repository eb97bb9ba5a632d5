"""Every solver on six linear problems, beside classical methods: PSNR, SSIM, evaluations of the prior, seconds.

python benchmarks/solvers.py PHOTOS [--every N] [--crop 128] [--steps 20] [--model NAME] [--fill NAME]
    [--pictures FOLDER] [-o FILE]

The middle of every photo is degraded, the noise and the missing pixels seeded by the photo's name. PSNR is over the
hole where there is one, SSIM over the whole crop, after rounding to 8 bits. All solvers start from `first_guess` under
noise of the problem's sigma, but `dpir`, which adds none and starts where the paper has it, or at DPIR_FROM. Holes are
filled by the recipe `inpaint` too, with a prior trained for it (--fill).
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

import restorekit as rk
from restorekit.core.denoiser import Denoiser
from restorekit.core.filters import Blur, Downsample, gaussian_kernel, motion_kernel
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.core.operators import LinearOperator, Masking, grayscale
from restorekit.core.solver import Solver
from restorekit.evaluation.baselines import bicubic, biharmonic, richardson_lucy, wiener
from restorekit.evaluation.inpainting import rounded
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.evaluation.tables import clean_photos
from restorekit.models.registry import load_prior
from restorekit.plugins import solver_named
from restorekit.priors.given import Given
from restorekit.run.engine import make_engine
from restorekit.run.sample import write_grid
from restorekit.sampling.solvers import SOLVERS, first_guess

# Noise of the blurred photos, two grey levels.
NOISE = 2 * 2 / 255
# Where DPIR's loop starts, if not where its paper has it: chosen on two photos.
DPIR_FROM = {"random80": 0.2, "box": 1.0, "x4": 1.0}
Classical = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is done to a photo, and what a classical method makes of it.

    Attributes:
        operator, sigma_y: y = A x + sigma_y n.
        sigma_max: noise that hides what the first guess lacks.
        classical: methods from y (C, h, w) to (C, H, W), by name.
        hole: (1, H, W), where the PSNR is taken; None: everywhere.
    """

    operator: LinearOperator
    sigma_y: float
    sigma_max: float
    classical: dict[str, Classical]
    hole: Tensor | None = None


def problems(side: int, name: str) -> dict[str, Problem]:
    """The six problems for a crop of a photo."""
    draw = torch.Generator().manual_seed(image_seed(0, f"{name}/mask"))
    missing = torch.rand(1, side, side, generator=draw) < 0.8
    box = torch.zeros(1, side, side, dtype=torch.bool)
    middle = slice(side * 3 // 8, side * 5 // 8)
    box[:, middle, middle] = True
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
    """What a solver is given beside the problem's."""
    own: dict[str, dict[str, Any]] = {
        "repaint": {"jump": 5, "resample": 2},
        "langevin": {"inner_steps": 3},
        "dps": {"zeta": 0.3},
        "dpir": {"sigma_max": DPIR_FROM.get(problem)},
    }
    return {"steps": steps, **own.get(solver.name, {})}


class Counted:
    """A prior that counts how often it is asked."""

    def __init__(self, prior: Denoiser) -> None:
        self.prior, self.count = prior, 0

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.count += 1
        return self.prior(x, sigma, label)

    def __getattr__(self, name: str) -> Any:
        if name == "prior":
            raise AttributeError(name)
        return getattr(self.prior, name)


def middle(photo: Tensor, side: int) -> Tensor:
    """The middle (C, side, side) of a photo."""
    top, left = ((length - side) // 2 for length in photo.shape[-2:])
    return photo[:, top : top + side, left : left + side]


def solved(solver: Solver, prior: Denoiser, y: Tensor, problem: Problem, guess: Tensor, name: str, own: Any) -> Tensor:
    """The answer (C, H, W) of a solver."""
    noise = ImageNoise([image_seed(0, f"{name}/{solver.name}")])
    values = {"start": guess, "sigma_max": problem.sigma_max, **own}
    with torch.no_grad():
        return solver.solve(prior, problem.operator, y, problem.sigma_y, noise, **values)[0]


def main() -> None:
    """Print, and write, the rows of each problem as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--model", default="ddpm-photo")
    parser.add_argument("--fill", default="ddpm-fill")
    parser.add_argument("--pictures", type=Path, help="Folder for a grid a problem: a row a photo, a column a method.")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    if asked.crop % 4 or asked.crop < 16:
        parser.error(f"--crop: found {asked.crop}, allowed: multiples of 4 from 16")
    engine = make_engine("cpu")
    prior, filler = (Counted(engine.place(load_prior(name))) for name in (asked.model, asked.fill))
    photos = [(name, middle(photo, asked.crop)) for name, photo in clean_photos(asked.photos, asked.every)]
    if asked.output is not None:
        asked.output.unlink(missing_ok=True)

    def say(line: str) -> None:
        print(line, flush=True)
        if asked.output is not None:
            with asked.output.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    command = f"python benchmarks/solvers.py PHOTOS --every {asked.every} --crop {asked.crop} --steps {asked.steps}"
    models = f"prior {asked.model}, of inpaint {asked.fill}, {engine.precision}"
    say(f"# Solvers\n\n`{command}`: {len(photos)} photos, {models}.")
    say("What they say: [docs/solvers.md](../docs/solvers.md).\n")
    say("| problem | method | PSNR (dB) | SSIM | evaluations | s per photo |\n|---|---|--:|--:|--:|--:|")
    for kind in problems(asked.crop, ""):
        measure(kind, photos, prior, filler, asked.steps, say, asked.pictures)


def measure(
    kind: str,
    photos: list[tuple[str, Tensor]],
    prior: Counted,
    filler: Counted,
    steps: int,
    say: Callable[[str], None],
    pictures: Path | None,
) -> None:
    """The rows of one problem: classical methods, the first guess, every solver that can."""
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    shown: list[Tensor] = []

    def row(method: str, clean: Tensor, problem: Problem, compute: Callable[[], Tensor]) -> None:
        prior.count, filler.count, begun = 0, 0, time.perf_counter()
        got = rounded(compute().float().cpu())
        seconds = time.perf_counter() - begun
        rows[method].append((psnr(got, clean, problem.hole), ssim(got, clean), prior.count + filler.count, seconds))
        shown.append(got)

    for name, clean in photos:
        problem = problems(clean.shape[-1], name)[kind]
        y = problem.operator.forward(clean[None])
        y = y + problem.sigma_y * ImageNoise([image_seed(0, name)]).like(y)
        guess = first_guess(problem.operator, y, problem.sigma_y)
        shown += [clean]
        for method, compute in problem.classical.items():
            row(method, clean, problem, partial(compute, y[0]))
        row("first guess", clean, problem, lambda y=y, p=problem: first_guess(p.operator, y, p.sigma_y)[0])  # type: ignore[misc]
        for solver in SOLVERS:
            if problem.sigma_y == 0 or "noise-free" not in solver.needs:
                own = options(solver, kind, steps)
                row(solver.name, clean, problem, partial(solved, solver, prior, y, problem, guess, name, own))
        if problem.hole is not None and prior.partial_noise:
            told, own = Given(prior, problem.hole[None], y), options(solver_named("dpir"), kind, steps)
            loop = partial(solved, solver_named("dpir"), told, y, problem, guess, name, own)
            row("dpir, told which pixels are clean", clean, problem, loop)
        if problem.hole is not None:
            filled = partial(rk.inpaint, y, filler, mask=problem.hole[None].float(), mode="mean")
            row("inpaint --mode mean", clean, problem, lambda filled=filled: filled()[0])  # type: ignore[misc]
    for method, values in rows.items():
        decibels, similarity, count, seconds = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
        say(f"| {kind} | {method} | {decibels:.2f} | {similarity:.4f} | {count:.0f} | {seconds:.2f} |")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        columns = len(shown) // len(photos)
        write_grid(torch.stack(shown), pictures / f"{kind.replace(' ', '-')}.png", columns=columns)


if __name__ == "__main__":
    main()
