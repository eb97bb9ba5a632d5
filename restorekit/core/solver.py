"""Description of a solver of inverse problems.

This module does not import torch, because `restorekit --help` loads plugins with solvers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Need = Literal["gradients", "svd", "noise-free"]
NEEDS: tuple[Need, ...] = get_args(Need)
# Solvers of `restorekit.sampling.solvers`, in the order of listings, and what each needs.
BUILT_IN_NEEDS: Mapping[str, tuple[Need, ...]] = {
    "repaint": ("noise-free",),
    "ddnm": ("noise-free",),
    "ddnm-plus": ("svd",),
    "ddrm": ("svd",),
    "pigdm": ("gradients",),
    "dps": ("gradients",),
    "diffpir": (),
    "langevin": (),
    "dpir": (),
}


@dataclass(frozen=True)
class Solver:
    """A solver of y = A x + sigma_y n with a prior.

    Attributes:
        name: lower case, words separated by hyphens.
        paper: authors, year and arXiv number.
        solve: `solve(prior, operator, y, sigma_y, noise, *, steps, ...)`: prior is any `Denoiser`, operator any
            `LinearOperator`, y the measurement (N, ...), sigma_y the standard deviation of its noise in the unit of y
            (0 for none), noise an `ImageNoise` of N images, steps the number of noise levels; returns (N, C, H, W). All
            other options have defaults. The first line of its docstring is the summary.
        needs: "gradients" of the prior, the "svd" of the operator, or a "noise-free" measurement.
        evaluations: number of evaluations of the prior per image, given steps.
        bias: how its results differ from samples of the posterior, in a few words.
    """

    name: str
    paper: str
    solve: Callable[..., Tensor]
    needs: tuple[Need, ...] = ()
    evaluations: Callable[[int], int] = int
    bias: str = ""

    def __post_init__(self) -> None:
        wrong = [need for need in self.needs if need not in NEEDS]
        if wrong:
            raise ValueError(f"solver {self.name!r}: found need {wrong[0]!r}, allowed: {', '.join(NEEDS)}")

    @property
    def summary(self) -> str:
        """First line of the docstring of `solve`."""
        return (self.solve.__doc__ or "").strip().partition("\n")[0]
