"""Denoising of Gaussian noise: seeded, not clipped, not rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from restorekit.builtin.denoise import LEVEL, denoise
from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.errors import OptionError
from restorekit.evaluation.baselines import denoisers
from restorekit.evaluation.tables import Say, Table, clean_photos
from restorekit.models.registry import load_prior
from restorekit.run.engine import Engine


def degrade(clean: Tensor, name: str, sigma: float, seed: int) -> Tensor:
    """clean (C, H, W) with noise of `sigma` 8-bit levels; the noise depends on seed, photo and sigma alone."""
    noise = ImageNoise([image_seed(seed, f"{name}/{sigma:g}")]).like(clean[None])[0]
    return clean + sigma * LEVEL * noise


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
    say: Say = lambda line: None,
) -> Table:
    """Mean PSNR and SSIM over a folder of clean photos, for a prior and for classical methods.

    options: further options of the recipe. `say` gets the lines of a Markdown table as they come.
    """
    if not sigmas or not all(0 < sigma <= 255 for sigma in sigmas):
        raise OptionError(f"--sigma: found {list(sigmas)}, allowed: numbers above 0, to 255")
    prior = engine.place(load_prior(model) if isinstance(model, str) else model)
    name = model if isinstance(model, str) else type(model).__name__
    methods = denoisers() if baselines else {}
    table = Table("sigma")
    photos = clean_photos(folder, every)
    say(table.header())
    for sigma in sorted(sigmas):
        checked = denoise.checked({**(options or {}), "sigma": sigma})
        for stem, clean in photos:
            noisy = degrade(clean, stem, sigma, seed)

            def restored(noisy: Tensor = noisy, checked: dict[str, object] = checked) -> Tensor:
                return engine.restore(denoise, prior, noisy[None], [seed], checked)[0]

            table.measure(f"{sigma:g}", "noisy", lambda noisy=noisy: noisy, clean)  # type: ignore[misc]
            table.measure(f"{sigma:g}", name, restored, clean)
            for method, run in methods.items():
                table.measure(f"{sigma:g}", method, lambda run=run, n=noisy, s=sigma: run(n, s * LEVEL), clean)  # type: ignore[misc]
        say(table.lines(f"{sigma:g}"))
    return table
