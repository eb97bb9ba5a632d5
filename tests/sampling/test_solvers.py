"""Properties of all solvers: common signature, one step, any batch, any shape, and useful errors."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from restorekit.checks.gaussian import GaussianPrior
from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Composition, Identity, LinearOperator, Masking, Mosaic, grayscale
from restorekit.core.solver import BUILT_IN_NEEDS, NEEDS, Solver
from restorekit.errors import OptionError
from restorekit.plugins.discovery import solver_named
from restorekit.sampling.solvers import SOLVERS, initial_estimate, solve_dps
from restorekit.sampling.solvers.nullspace import jump_schedule

NAMES = [solver.name for solver in SOLVERS]
FIRST = ["prior", "operator", "y", "sigma_y", "noise"]
COMMON = {"steps", "start", "sigma_max", "ladder", "on_step"}


def noises(solver: Solver) -> tuple[float, ...]:
    return (0.0,) if "noise-free" in solver.needs else (0.0, 0.1)


def run(
    solver: Solver,
    operator: LinearOperator,
    shape: tuple[int, ...],
    seeds: list[int],
    sigma_y: float,
    **options: object,
) -> Tensor:
    """Solve for images 0.2 + 0.3 z of the seeds, each with its own noise."""
    prior = options.pop("prior", None) or GaussianPrior(0.2, 0.3, channels=shape[0])
    clean = 0.2 + 0.3 * ImageNoise(seeds).like(torch.empty(len(seeds), *shape))
    y = operator.forward(clean)
    y = y + sigma_y * ImageNoise([seed + 100 for seed in seeds]).like(y)
    options = {"steps": 4, **options}
    return solver.solve(prior, operator, y, sigma_y, ImageNoise([seed + 200 for seed in seeds]), **options)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_all_solvers_have_the_common_signature(solver: Solver) -> None:
    parameters = inspect.signature(solver.solve).parameters
    assert list(parameters)[:5] == FIRST
    options = list(parameters.values())[5:]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in options)
    assert set(parameters) >= COMMON
    assert [p.name for p in options if p.default is inspect.Parameter.empty] == ["steps"]
    assert set(solver.needs) <= set(NEEDS)
    assert solver.summary.endswith(".")
    assert solver.bias


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_one_step_is_finite(solver: Solver) -> None:
    for sigma_y in noises(solver):
        got = run(solver, Downsample(2, "box"), (3, 4, 6), [1], sigma_y, steps=1)
        assert got.shape == (1, 3, 4, 6)
        assert torch.isfinite(got).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("operator", [Downsample(2), Blur(gaussian_kernel(0.6))], ids=["small", "blur"])
def test_results_do_not_depend_on_the_batch(solver: Solver, operator: LinearOperator) -> None:
    for sigma_y in noises(solver):
        both = run(solver, operator, (3, 8, 8), [1, 2], sigma_y)
        torch.testing.assert_close(both[1:], run(solver, operator, (3, 8, 8), [2], sigma_y), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize(
    ("operator", "channels"),
    [
        (Identity(), 1),
        (Masking(torch.arange(35).reshape(1, 1, 5, 7) % 3 > 0), 1),
        (Masking(torch.arange(35).reshape(1, 1, 5, 7) % 3 > 0), 3),
        (Blur(gaussian_kernel(0.5)), 1),
        (Mosaic(), 3),
        (grayscale(), 3),
    ],
    ids=["identity", "grey masking", "colour masking", "blur", "mosaic", "colours"],
)
def test_odd_sizes_and_grey_images_are_solved(solver: Solver, operator: LinearOperator, channels: int) -> None:
    for sigma_y in noises(solver):
        got = run(solver, operator, (channels, 5, 7), [1], sigma_y)
        assert got.shape == (1, channels, 5, 7)
        assert torch.isfinite(got).all()
        assert got.abs().max() < 3


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_number_of_evaluations_is_as_stated(solver: Solver) -> None:
    for steps in (1, 7, 15):
        prior, seen = GaussianPrior(0.2, 0.3), []
        run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, steps=steps, on_step=lambda *a, s=seen: s.append(a))
        assert len(prior.seen) == solver.evaluations(steps)
        # The final denoising of Langevin is not a step.
        assert len(seen) == len(prior.seen) - (solver.name == "langevin")
        assert all(x.shape == aim.shape == (1, 3, 2, 2) for _, x, aim in seen)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_start_sigma_max_and_ladder_are_used(solver: Solver) -> None:
    prior = GaussianPrior(0.2, 0.3)
    run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, sigma_max=0.7)
    assert prior.sigmas[0] == max(prior.sigmas) == pytest.approx(0.7)
    prior.sigmas.clear()
    run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, ladder=torch.tensor([0.5, 0.25, 0.0]))
    assert sorted(set(prior.sigmas), reverse=True) == [0.5, 0.25]
    # Where nothing is measured, the result stays close to an initial estimate under little noise.
    hole = Masking(torch.zeros(1, 1, 4, 4))
    flat = GaussianPrior(0.2, 10.0)
    start = torch.full((1, 3, 4, 4), 0.8)
    got = run(solver, hole, (3, 4, 4), [1], 0.0, prior=flat, start=start, sigma_max=0.01)
    assert (got - 0.8).abs().max() < 0.2


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_priors_with_levels_are_evaluated_only_at_their_levels(solver: Solver) -> None:
    prior = GaussianPrior(0.2, 0.3, levels=(2.0, 0.5, 0.1, 0.02), sigma_min=0.02, sigma_max=2.0)
    got = run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, steps=9)
    assert torch.isfinite(got).all()
    levels = torch.tensor(prior.sigmas)[:, None] / torch.tensor(prior.info.levels)
    assert ((levels - 1).abs().amin(1) < 1e-5).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_inconsistent_input_is_refused(solver: Solver) -> None:
    prior, noise, y = GaussianPrior(), ImageNoise([0]), torch.zeros(1, 3, 4, 4)
    with pytest.raises(OptionError, match=r"found (sigma_y )?-0\.1, allowed: "):
        solver.solve(prior, Identity(), y, -0.1, noise, steps=2)
    with pytest.raises(OptionError, match="found images of 1 channels, allowed: the prior's 3"):
        solver.solve(prior, Identity(), y[:, :1], 0.0, noise, steps=2)
    with pytest.raises(OptionError, match=r"y: found \(1, 3, 4, 4\), allowed: \(1, 3, 2, 2\)"):
        solver.solve(prior, Downsample(2), y, 0.0, noise, steps=2, start=y)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "noise-free" in s.needs], ids=lambda s: s.name)
def test_noisy_measurements_are_refused_by_noise_free_solvers(solver: Solver) -> None:
    with pytest.raises(OptionError, match=r"found sigma_y 0\.1, allowed: 0; for noisy measurements: ddnm-plus, ddrm"):
        run(solver, Identity(), (3, 4, 4), [1], 0.1)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "svd" in s.needs], ids=lambda s: s.name)
@pytest.mark.parametrize(
    "operator",
    [Blur(gaussian_kernel(0.6), "zero"), Composition(Identity(), Identity())],
    ids=lambda o: type(o).__name__,
)
def test_operators_without_svd_are_refused_by_svd_solvers(solver: Solver, operator: LinearOperator) -> None:
    with pytest.raises(
        OptionError, match=rf"^{solver.name}: this {type(operator).__name__} has no .*: pigdm, dps, diffpir, "
    ):
        run(solver, operator, (3, 4, 4), [1], 0.1)


def test_suggested_solvers_can_solve_the_problem() -> None:
    twice = Composition(grayscale(), Masking(torch.ones(1, 1, 4, 4)))
    with pytest.raises(OptionError, match="allowed: 0; for noisy measurements: pigdm, dps, diffpir, "):
        run(solver_named("ddnm"), twice, (3, 4, 4), [1], 0.1)
    with pytest.raises(OptionError, match="without one: repaint, ddnm, pigdm"):
        run(solver_named("ddrm"), twice, (3, 4, 4), [1], 0.0)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_options_out_of_range_are_refused(solver: Solver) -> None:
    y, prior, noise = torch.zeros(1, 3, 4, 4), GaussianPrior(), ImageNoise([0])
    wrong = {"steps": 0, "eta": 1.5, "eta_b": -1, "resample": 0, "inner_steps": 0, "fresh": 2, "weight": -1}
    for name in wrong.keys() & inspect.signature(solver.solve).parameters.keys():
        with pytest.raises(OptionError, match=f"{name}(: found)? -?[0-9.]+[,;] allowed: "):
            solver.solve(prior, Identity(), y, 0.0, noise, **{"steps": 2, name: wrong[name]})
    with pytest.raises(OptionError, match=r"y: found \(1, 3, 4, 4\), which does not fit this Masking: "):
        solver.solve(prior, Masking(torch.ones(1, 1, 5, 5)), y, 0.0, noise, steps=2)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "gradients" in s.needs], ids=lambda s: s.name)
def test_priors_without_gradients_are_refused_by_gradient_solvers(solver: Solver) -> None:
    class Cut(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            return super().__call__(x, sigma).detach()

    with pytest.raises(OptionError, match=f"{solver.name}: the output of this prior has no gradient; .*ddnm-plus"):
        solver.solve(Cut(), Identity(), torch.zeros(1, 3, 4, 4), 0.1, ImageNoise([0]), steps=2)


def test_solvers_are_found_by_name() -> None:
    assert solver_named("dps").solve is solve_dps
    with pytest.raises(OptionError, match=r"solver: unknown solver 'ddmr'\. Did you mean 'ddrm'"):
        solver_named("ddmr")
    assert list(BUILT_IN_NEEDS) == NAMES
    with pytest.raises(ValueError, match="found need 'luck', allowed: gradients, svd, noise-free"):
        Solver("lucky", "nobody", solve_dps, ("luck",))  # type: ignore[arg-type]


def test_repaint_schedule_jumps_back_as_in_the_paper() -> None:
    down = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert list(jump_schedule(4, 10, 10)) == down
    assert list(jump_schedule(4, 2, 1)) == down
    # The least noisy of four levels is 3: the schedule goes up by 2 from there and down again, twice.
    again = [(3, 2), (2, 1), (1, 2), (2, 3)]
    assert list(jump_schedule(4, 2, 3)) == [*down[:3], *again, *again, (3, 4)]
    schedule = list(jump_schedule(20, 5, 4))
    assert all(abs(here - there) == 1 for here, there in schedule)
    assert [there for _, there in schedule].count(20) == 1
    with pytest.raises(OptionError, match=r"^repaint: jump: found 0, allowed: an integer, 1 or more"):
        list(jump_schedule(4, 0, 1))


def test_initial_estimate_is_smooth_and_fits() -> None:
    place = torch.linspace(-1, 1, 16)
    ramp = 0.3 * place[:, None] + 0.2 * place + torch.zeros(1, 3, 1, 1)
    hole = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    hole[..., 5:9, 6:11] = True
    filled = initial_estimate(Masking(~hole), Masking(~hole).forward(ramp))
    torch.testing.assert_close(filled, ramp, rtol=0, atol=0.02)
    grey = initial_estimate(grayscale(), grayscale().forward(ramp))
    torch.testing.assert_close(grey, ramp, rtol=0, atol=0.06)
    large = initial_estimate(Downsample(2), Downsample(2).forward(ramp))
    torch.testing.assert_close(large, ramp, rtol=0, atol=0.02)
    noisy = ramp + 0.3 * ImageNoise([0]).like(ramp)
    assert (initial_estimate(Identity(), noisy, 0.3) - ramp).std() < 0.5 * (noisy - ramp).std()
