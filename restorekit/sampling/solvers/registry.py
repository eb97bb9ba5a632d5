"""The built-in solvers."""

from __future__ import annotations

from restorekit.core.solver import BUILT_IN_NEEDS, Solver
from restorekit.sampling.solvers.langevin import langevin_evaluations, solve_langevin
from restorekit.sampling.solvers.likelihood import solve_dps, solve_pigdm
from restorekit.sampling.solvers.nullspace import repaint_evaluations, solve_ddnm, solve_repaint
from restorekit.sampling.solvers.proximal import solve_diffpir, solve_dpir
from restorekit.sampling.solvers.svd import solve_ddnm_plus, solve_ddrm

SOLVERS: tuple[Solver, ...] = (
    Solver(
        "repaint",
        "Lugmayr et al. 2022, arXiv 2201.09865",
        solve_repaint,
        BUILT_IN_NEEDS["repaint"],
        repaint_evaluations,
        "biased toward the prior, less with more resampling; variance too small",
    ),
    Solver(
        "ddnm",
        "Wang et al. 2022, arXiv 2212.00490",
        solve_ddnm,
        BUILT_IN_NEEDS["ddnm"],
        bias="biased toward the prior where pixels are missing",
    ),
    Solver(
        "ddnm-plus",
        "Wang et al. 2022, arXiv 2212.00490",
        solve_ddnm_plus,
        BUILT_IN_NEEDS["ddnm-plus"],
        bias="overfits the noise of y, more with more steps; variance too small",
    ),
    Solver(
        "ddrm",
        "Kawar et al. 2022, arXiv 2201.11793",
        solve_ddrm,
        BUILT_IN_NEEDS["ddrm"],
        bias="variance too small; overfits the noise of y, more with more steps",
    ),
    Solver(
        "pigdm",
        "Song et al. 2023, ICLR",
        solve_pigdm,
        BUILT_IN_NEEDS["pigdm"],
        bias="none for independent Gaussian pixels and small steps, small for correlated pixels",
    ),
    Solver(
        "dps",
        "Chung et al. 2023, arXiv 2209.14687",
        solve_dps,
        BUILT_IN_NEEDS["dps"],
        bias="overfits the noise of y, because it ignores sigma_y",
    ),
    Solver(
        "diffpir",
        "Zhu et al. 2023, arXiv 2305.08995",
        solve_diffpir,
        BUILT_IN_NEEDS["diffpir"],
        bias="variance too small; biased toward the prior where pixels are missing",
    ),
    Solver(
        "langevin",
        "Song and Ermon 2019, arXiv 1907.05600",
        solve_langevin,
        BUILT_IN_NEEDS["langevin"],
        langevin_evaluations,
        "none in the limit of many updates",
    ),
    Solver(
        "dpir",
        "Zhang et al. 2021, arXiv 2008.13751",
        solve_dpir,
        BUILT_IN_NEEDS["dpir"],
        bias="a single estimate close to the posterior mean, not a sample",
    ),
)
