"""Evaluation of denoising. The noise is Gaussian, seeded, and neither clipped nor rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from restorekit.builtin.denoise import denoise
from restorekit.core.denoiser import GREY_LEVEL, Denoiser
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.errors import OptionError
from restorekit.evaluation.baselines import denoisers
from restorekit.evaluation.tables import Table, WriteLine, clean_photos
from restorekit.models.registry import load_prior
from restorekit.run.engine import Engine
from restorekit.run.runner import Runner


def degrade(clean: Tensor, name: str, sigma: float, seed: int) -> Tensor:
    """Return clean (C, H, W) in [-1, 1] with Gaussian noise of sigma 8-bit grey levels.

    The noise depends only on the seed, the name of the photo and sigma.
    """
    noise = ImageNoise([image_seed(seed, f"{name}/{sigma:g}")]).like(clean[None])[0]
    return clean + sigma * GREY_LEVEL * noise


def evaluate(
    folder: Path,
    sigmas: Sequence[float],
    model: str | Denoiser,
    engine: Engine,
    *,
    options: Mapping[str, Any] | None = None,
    every: int = 1,
    baselines: bool = True,
    seed: int = 0,
    write_line: WriteLine = lambda line: None,
) -> Table:
    """Return the mean PSNR and SSIM over a folder of clean photos, for a prior and for classical methods.

    sigmas: in 8-bit grey levels. model: a denoiser, or what `load_prior` accepts. options: options of
    `denoise`; sigma = "auto" means that it is not told the level. every: only every Nth photo.
    write_line: called with the lines of a Markdown table as soon as they are measured.
    """
    if not sigmas or not all(0 < sigma <= 255 for sigma in sigmas):
        raise OptionError(f"--sigma: found {list(sigmas)}, allowed: numbers above 0, at most 255")
    prior = load_prior(model) if isinstance(model, str) else model
    name = model if isinstance(model, str) else type(model).__name__
    methods = denoisers() if baselines else {}
    table = Table("sigma")
    photos = clean_photos(folder, every)
    write_line(table.header())
    for sigma in sorted(sigmas):
        runner = Runner(denoise, prior, {"sigma": sigma, **(options or {})}, engine)
        for stem, clean in photos:
            noisy = degrade(clean, stem, sigma, seed)

            def restored(noisy: Tensor = noisy, runner: Runner = runner) -> Tensor:
                return runner.restore(noisy[None], [seed])[0]

            table.measure(f"{sigma:g}", "noisy", lambda noisy=noisy: noisy, clean)  # type: ignore[misc]
            table.measure(f"{sigma:g}", name, restored, clean)
            for method, run in methods.items():
                table.measure(f"{sigma:g}", method, lambda run=run, n=noisy, s=sigma: run(n, s * GREY_LEVEL), clean)  # type: ignore[misc]
        write_line(table.lines(f"{sigma:g}"))
    return table
