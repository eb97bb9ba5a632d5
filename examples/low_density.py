"""Show why NCSN anneals: Langevin dynamics with two distant modes (Song and Ermon 2019, section 3.2.2 and figure 3).

The mixture 1/5 N((-5, -5), I) + 4/5 N((5, 5), I) has a known score. Langevin dynamics of any practical length keeps
the mode weights of its start, because the score near a mode does not depend on the other mode. Annealed Langevin
dynamics mixes while the noise is large and ends with the right weights.

    python examples/low_density.py [FIGURE.png]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.denoiser import PriorInfo
from restorekit.core.ladders import geometric_ladder
from restorekit.sampling.langevin import langevin, sample_langevin

WEIGHTS = torch.tensor([0.2, 0.8], dtype=torch.float64)
MEANS = torch.tensor([[-5.0, -5.0], [5.0, 5.0]], dtype=torch.float64)
START = 8.0  # Langevin starts uniformly in [-8, 8]^2, as in the paper.
SIDE = 90  # cells of a panel of the figure


class Generator:
    """Standard normal noise from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def like(self, x: Tensor) -> Tensor:
        """Return standard normal noise with the shape and dtype of x."""
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype)


class Mixture:
    """The mixture as a denoiser of points (N, 2, 1, 1): D = x + sigma^2 * score of the noisy density."""

    info = PriorInfo(channels=2, size=None, sigma_min=0.1, sigma_max=20.0)

    def logs(self, x: Tensor, variance: float) -> Tensor:
        """log w_k N(x; m_k, variance) of points (N, 2), up to a constant: (N, 2)."""
        return WEIGHTS.log() - (x[:, None] - MEANS).square().sum(2) / (2 * variance) - math.log(variance)

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """grad log p of points (N, 2) with noise sigma."""
        variance = 1 + sigma**2
        return (self.logs(x, variance).softmax(1) @ MEANS - x) / variance

    def log_density(self, x: Tensor) -> Tensor:
        """log p of points (N, 2), up to a constant."""
        return self.logs(x, 1.0).logsumexp(1)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma)."""
        level = float(sigma[0])
        points = x.flatten(1)
        return (points + level**2 * self.score(points, level)).reshape(x.shape)


def share_of_large_mode(points: Tensor) -> float:
    """Return the share of points that are closer to (5, 5)."""
    return (points.sum(1) > 0).double().mean().item()


def run(count: int = 4000, levels: int = 40, inner_steps: int = 50) -> dict[str, tuple[Tensor, float]]:
    """Return points (count, 2) and the share of accepted steps by method; the number of steps is the same for all."""
    mixture, generator = Mixture(), torch.Generator().manual_seed(0)
    side = torch.multinomial(WEIGHTS, count, replacement=True, generator=generator)
    exact = MEANS[side] + torch.randn(count, 2, generator=generator, dtype=torch.float64)
    start = (2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1) * START
    steps = levels * inner_steps
    plain = langevin(mixture.score, start, Generator(1), steps=steps, step_size=0.05)
    density = mixture.log_density
    mala = langevin(mixture.score, start, Generator(2), steps=steps, step_size=0.5, log_density=density)
    ladder = geometric_ladder(10, 0.1, levels)
    points = start[..., None, None]
    annealed = sample_langevin(
        mixture, points, ladder, Generator(3), inner_steps=inner_steps, step=0.2, denoise=False
    ).flatten(1)
    return {"exact": (exact, 1.0), "Langevin": plain, "MALA": mala, "annealed": (annealed, 1.0)}


def draw_figure(result: dict[str, tuple[Tensor, float]], path: Path) -> None:
    """Draw the density of the points side by side: exact, Langevin, annealed; dark means dense."""
    from PIL import Image

    panels = []
    for name in ("exact", "Langevin", "annealed"):
        column, row = (((result[name][0] + 9) / 18 * SIDE).long().clamp(0, SIDE - 1)).unbind(1)
        cell = (SIDE - 1 - row) * SIDE + column
        counts = torch.bincount(cell, minlength=SIDE**2).reshape(SIDE, SIDE)
        shade = 255 * (1 - counts.double() / counts.max()) ** 2
        panels.append(torch.nn.functional.pad(shade, (3, 3, 3, 3), value=180.0))
    picture = Image.fromarray(torch.cat(panels, 1).byte().numpy())
    picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.NEAREST).save(path)


def main() -> None:
    """Print the weights, and draw the figure if a path is given."""
    result = run()
    print("share of the mode at (5, 5); the exact value is 0.800")
    for name, (points, _) in result.items():
        print(f"  {name:9} {share_of_large_mode(points):.3f}")
    print(f"MALA accepted {result['MALA'][1]:.1%} of its steps")
    if len(sys.argv) > 1:
        draw_figure(result, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
