"""The command `restorekit sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli import completion
from restorekit.cli.commands import DEVICE, MODEL, PRECISION
from restorekit.errors import OptionError

SAMPLERS = (
    "Sampler: auto, ancestral, ddim, euler, heun, dpmpp-2m or langevin; auto: langevin for priors with fixed noise "
    "levels, ddim for others."
)


def sample(
    model: Annotated[str, typer.Option(help=MODEL, autocompletion=completion.models)] = "ddpm-photo",
    count: Annotated[int, typer.Option("-n", "--count", help="Number of images.", min=1, max=10_000)] = 16,
    output: Annotated[Path, typer.Option("--output", "-o", help="Image file to write.")] = Path("samples.png"),
    size: Annotated[
        int | None,
        typer.Option(help="Side of an image in pixels. Default: the prior's training size.", min=8),
    ] = None,
    sampler: Annotated[str, typer.Option(help=SAMPLERS)] = "auto",
    steps: Annotated[int, typer.Option(help="Number of noise levels.", min=1, max=1000)] = 100,
    inner_steps: Annotated[
        int, typer.Option(help="Number of updates per noise level with --sampler langevin.", min=1, max=10_000)
    ] = 100,
    label: Annotated[str | None, typer.Option(help="Class of the images, if the prior has classes.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.", min=0)] = 0,
    device: Annotated[str, typer.Option(help=DEVICE, autocompletion=completion.devices)] = "auto",
    precision: Annotated[str, typer.Option(help=PRECISION, autocompletion=completion.precisions)] = "auto",
) -> None:
    """Sample images from a prior and write them to one file as a grid."""
    from restorekit.core.files import IMAGE_SUFFIXES
    from restorekit.run.sample import sample as sample_images
    from restorekit.run.sample import write_grid

    if output.suffix.lower() not in IMAGE_SUFFIXES:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise OptionError(f"--output: found {output}, allowed: a file with one of the suffixes {suffixes}")
    images = sample_images(
        model,
        count,
        size=size,
        steps=steps,
        inner_steps=inner_steps,
        sampler=sampler,  # type: ignore[arg-type]
        label=label,
        seed=seed,
        device=device,
        precision=precision,  # type: ignore[arg-type]
    )
    write_grid(images, output)
    print(f"sample: {count} images in {output}")
