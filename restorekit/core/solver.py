"""What a solver of inverse problems says of itself.

Plugins with solvers are loaded by `restorekit --help`; this module therefore knows no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Need = Literal["gradients", "svd", "noise-free"]
NEEDS: tuple[Need, ...] = get_args(Need)


@dataclass(frozen=True)
class Solver:
    """A way to solve y = A x + sigma_y n with a prior.

    Attributes:
        name: lower case, words joined by hyphens.
        paper: authors, year and arXiv number.
        solve: `solve(prior, operator, y, sigma_y, noise, *, steps, ...)`: prior is any `Denoiser`, operator any
            `LinearOperator`, y the measurement (N, ...), sigma_y the standard deviation of its noise in the unit of y
            (0 for none), noise an `ImageNoise` of N images, steps the noise levels visited; returns (N, C, H, W). All
            further options have defaults. The first line of its docstring says what it does.
        needs: gradients of the prior; the singular value decomposition of the operator; a measurement without noise.
        evaluations: evaluations of the prior per image, given steps.
        bias: how its answers differ from draws of the posterior, in a few words.
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
            raise ValueError(f"solver {self.name!r}: it needs {wrong[0]!r}, allowed: {', '.join(NEEDS)}")

    @property
    def summary(self) -> str:
        """First line of its docstring."""
        return (self.solve.__doc__ or "").strip().partition("\n")[0]
