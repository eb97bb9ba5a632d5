"""What solvers there are."""

from __future__ import annotations

from restorekit.core.solver import Solver
from restorekit.sampling.solvers.annealed import langevin_evaluations, solve_langevin
from restorekit.sampling.solvers.guided import solve_dps, solve_pigdm
from restorekit.sampling.solvers.nullspace import repaint_evaluations, solve_ddnm, solve_repaint
from restorekit.sampling.solvers.proximal import solve_diffpir, solve_dpir
from restorekit.sampling.solvers.spectral import solve_ddnm_plus, solve_ddrm

SOLVERS: tuple[Solver, ...] = (
    Solver(
        "repaint",
        "Lugmayr et al. 2022, arXiv 2201.09865",
        solve_repaint,
        ("noise-free",),
        repaint_evaluations,
        "leans to the prior, less with more resampling; too narrow",
    ),
    Solver(
        "ddnm",
        "Wang et al. 2022, arXiv 2212.00490",
        solve_ddnm,
        ("noise-free",),
        bias="leans to the prior where pixels are missing",
    ),
    Solver(
        "ddnm-plus",
        "Wang et al. 2022, arXiv 2212.00490",
        solve_ddnm_plus,
        ("svd",),
        bias="fits the noise of y, more with more steps; too narrow",
    ),
    Solver(
        "ddrm",
        "Kawar et al. 2022, arXiv 2201.11793",
        solve_ddrm,
        ("svd",),
        bias="too narrow; fits the noise of y, more with more steps",
    ),
    Solver(
        "pigdm",
        "Song et al. 2023, ICLR",
        solve_pigdm,
        ("gradients",),
        bias="none for independent Gaussian pixels and small steps, little for correlated ones",
    ),
    Solver(
        "dps",
        "Chung et al. 2023, arXiv 2209.14687",
        solve_dps,
        ("gradients",),
        bias="fits the noise of y, since it is not told how much there is",
    ),
    Solver(
        "diffpir",
        "Zhu et al. 2023, arXiv 2305.08995",
        solve_diffpir,
        bias="too narrow; leans to the prior where pixels are missing",
    ),
    Solver(
        "langevin",
        "Song and Ermon 2019, arXiv 1907.05600",
        solve_langevin,
        (),
        langevin_evaluations,
        "none in the limit of many updates",
    ),
    Solver(
        "dpir",
        "Zhang et al. 2021, arXiv 2008.13751",
        solve_dpir,
        bias="one answer, no draw: near the mean of the posterior",
    ),
)
