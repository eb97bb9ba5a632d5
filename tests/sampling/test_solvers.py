"""What every solver must keep to: one signature, one step, any batch, any shape, and errors that say what to do."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import denoise_at
from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Composition, Identity, LinearOperator, Masking, Mosaic, grayscale
from restorekit.core.solver import NEEDS, Solver
from restorekit.errors import OptionError
from restorekit.plugins import solver_named
from restorekit.sampling.solvers import SOLVERS, first_guess, solve_dps, solve_repaint
from restorekit.sampling.solvers.nullspace import jump_walk
from restorekit.testing import GaussianPrior
from tests.priors.gaussian import CorrelatedPrior

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
def test_one_signature(solver: Solver) -> None:
    parameters = inspect.signature(solver.solve).parameters
    assert list(parameters)[:5] == FIRST
    own = list(parameters.values())[5:]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in own)
    assert set(parameters) >= COMMON
    assert [p.name for p in own if p.default is inspect.Parameter.empty] == ["steps"]
    assert set(solver.needs) <= set(NEEDS)
    assert solver.summary.endswith(".")
    assert solver.bias


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_one_step(solver: Solver) -> None:
    for sigma_y in noises(solver):
        got = run(solver, Downsample(2, "box"), (3, 4, 6), [1], sigma_y, steps=1)
        assert got.shape == (1, 3, 4, 6)
        assert torch.isfinite(got).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("operator", [Downsample(2), Blur(gaussian_kernel(0.6))], ids=["small", "blur"])
def test_a_batch_of_one_is_a_batch_of_many(solver: Solver, operator: LinearOperator) -> None:
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
def test_odd_sides_and_grey_images(solver: Solver, operator: LinearOperator, channels: int) -> None:
    for sigma_y in noises(solver):
        got = run(solver, operator, (channels, 5, 7), [1], sigma_y)
        assert got.shape == (1, channels, 5, 7)
        assert torch.isfinite(got).all()
        assert got.abs().max() < 3


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_evaluations_are_as_many_as_stated(solver: Solver) -> None:
    for steps in (1, 7, 15):
        prior, seen = GaussianPrior(0.2, 0.3), []
        run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, steps=steps, on_step=lambda *a, s=seen: s.append(a))
        assert len(prior.seen) == solver.evaluations(steps)
        # The last denoising of Langevin is no step.
        assert len(seen) == len(prior.seen) - (solver.name == "langevin")
        assert all(x.shape == aim.shape == (1, 3, 2, 2) for _, x, aim in seen)


class Watched(GaussianPrior):
    """Remembers the sigmas at which it is asked."""

    def __init__(self) -> None:
        super().__init__(0.2, 0.3)
        self.sigmas: list[float] = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.sigmas.append(float(sigma[0]))
        return super().__call__(x, sigma, label)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_where_it_starts(solver: Solver) -> None:
    prior = Watched()
    run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, sigma_max=0.7)
    assert prior.sigmas[0] == max(prior.sigmas) == pytest.approx(0.7)
    prior.sigmas.clear()
    run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, ladder=torch.tensor([0.5, 0.25, 0.0]))
    assert sorted(set(prior.sigmas), reverse=True) == [0.5, 0.25]
    # A start that is right under little noise beats grey where nothing is measured.
    hole = Masking(torch.zeros(1, 1, 4, 4))
    flat = GaussianPrior(0.2, 10.0)
    start = torch.full((1, 3, 4, 4), 0.8)
    got = run(solver, hole, (3, 4, 4), [1], 0.0, prior=flat, start=start, sigma_max=0.01)
    assert (got - 0.8).abs().max() < 0.2


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_priors_with_levels_of_their_own_are_asked_at_these_alone(solver: Solver) -> None:
    prior = Watched()
    prior.levels = torch.tensor([2.0, 0.5, 0.1, 0.02])  # type: ignore[assignment]
    prior.sigma_max, prior.sigma_min = 2.0, 0.02
    got = run(solver, Identity(), (3, 2, 2), [1], 0.0, prior=prior, steps=9)
    assert torch.isfinite(got).all()
    levels = torch.tensor(prior.sigmas)[:, None] / prior.levels
    assert ((levels - 1).abs().amin(1) < 1e-5).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_what_does_not_go_together_is_said(solver: Solver) -> None:
    prior, noise, y = GaussianPrior(), ImageNoise([0]), torch.zeros(1, 3, 4, 4)
    with pytest.raises(OptionError, match=r"found (sigma_y )?-0\.1, allowed: "):
        solver.solve(prior, Identity(), y, -0.1, noise, steps=2)
    with pytest.raises(OptionError, match="images of 1 channels, the prior has 3"):
        solver.solve(prior, Identity(), y[:, :1], 0.0, noise, steps=2)
    with pytest.raises(OptionError, match=r"y: found \(1, 3, 4, 4\), allowed: \(1, 3, 2, 2\)"):
        solver.solve(prior, Downsample(2), y, 0.0, noise, steps=2, start=y)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "noise-free" in s.needs], ids=lambda s: s.name)
def test_noise_where_none_is_allowed(solver: Solver) -> None:
    with pytest.raises(OptionError, match=r"found sigma_y 0\.1, allowed: 0; for noisy measurements: ddnm-plus, ddrm"):
        run(solver, Identity(), (3, 4, 4), [1], 0.1)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "svd" in s.needs], ids=lambda s: s.name)
@pytest.mark.parametrize(
    "operator",
    [Blur(gaussian_kernel(0.6), "zero"), Composition(Identity(), Identity())],
    ids=lambda o: type(o).__name__,
)
def test_no_singular_values(solver: Solver, operator: LinearOperator) -> None:
    with pytest.raises(
        OptionError, match=rf"^{solver.name}: this {type(operator).__name__} has no .*: pigdm, dps, diffpir, "
    ):
        run(solver, operator, (3, 4, 4), [1], 0.1)


def test_what_is_named_instead_fits_the_problem() -> None:
    twice = Composition(grayscale(), Masking(torch.ones(1, 1, 4, 4)))
    with pytest.raises(OptionError, match="allowed: 0; for noisy measurements: pigdm, dps, diffpir, "):
        run(solver_named("ddnm"), twice, (3, 4, 4), [1], 0.1)
    with pytest.raises(OptionError, match="without one: repaint, ddnm, pigdm"):
        run(solver_named("ddrm"), twice, (3, 4, 4), [1], 0.0)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_options_out_of_range_are_one_line(solver: Solver) -> None:
    y, prior, noise = torch.zeros(1, 3, 4, 4), GaussianPrior(), ImageNoise([0])
    wrong = {"steps": 0, "eta": 1.5, "eta_b": -1, "resample": 0, "inner_steps": 0, "fresh": 2, "weight": -1}
    for name in wrong.keys() & inspect.signature(solver.solve).parameters.keys():
        with pytest.raises(OptionError, match=f"{name}(: found)? -?[0-9.]+[,;] allowed: "):
            solver.solve(prior, Identity(), y, 0.0, noise, **{"steps": 2, name: wrong[name]})
    with pytest.raises(OptionError, match=r"y: found \(1, 3, 4, 4\), which this Masking does not take: "):
        solver.solve(prior, Masking(torch.ones(1, 1, 5, 5)), y, 0.0, noise, steps=2)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "gradients" in s.needs], ids=lambda s: s.name)
def test_a_prior_without_gradients(solver: Solver) -> None:
    class Cut(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            return super().__call__(x, sigma).detach()

    with pytest.raises(OptionError, match=f"{solver.name}: the answer of this prior has no gradient; .*ddnm-plus"):
        solver.solve(Cut(), Identity(), torch.zeros(1, 3, 4, 4), 0.1, ImageNoise([0]), steps=2)


def test_names() -> None:
    assert solver_named("dps").solve is solve_dps
    with pytest.raises(OptionError, match=r"solver: unknown solver 'ddmr'\. Did you mean 'ddrm'"):
        solver_named("ddmr")
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(ValueError, match="it needs 'luck', allowed: gradients, svd, noise-free"):
        Solver("lucky", "nobody", solve_dps, ("luck",))  # type: ignore[arg-type]


def test_the_walk_of_repaint() -> None:
    down = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert list(jump_walk(4, 10, 10)) == down
    assert list(jump_walk(4, 2, 1)) == down
    # Of four noisy levels the least noisy is 3: the walk goes up by 2 from there, twice, and down again.
    again = [(3, 2), (2, 1), (1, 2), (2, 3)]
    assert list(jump_walk(4, 2, 3)) == [*down[:3], *again, *again, (3, 4)]
    walk = list(jump_walk(20, 5, 4))
    assert all(abs(here - there) == 1 for here, there in walk)
    assert [there for _, there in walk].count(20) == 1
    with pytest.raises(OptionError, match="found jump 0, resample 1; allowed: 1 or more"):
        list(jump_walk(4, 0, 1))


def test_repaint_without_resampling_is_ddpm_with_known_pixels_put_in() -> None:
    known, prior = Masking(torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)), GaussianPrior(0.2, 0.3, channels=1)
    y = torch.tensor([0.5, 0.0]).reshape(1, 1, 1, 2)
    t, s = 2.0, 0.5
    start, ahead, fresh = (ImageNoise([7]), ImageNoise([7]), [])
    for _ in range(3):
        fresh.append(ahead.like(y))
    states: list[Tensor] = []
    solve_repaint(
        prior, known, y, 0.0, start, steps=2, resample=1, clip=False, ladder=torch.tensor([t, s, 0.0]),
        on_step=lambda i, x, d: states.append(x),
    )  # fmt: skip
    x = t * fresh[0]
    mean = denoise_at(prior, x, t)
    unknown = mean + (s / t) ** 2 * (x - mean) + math.sqrt(s**2 * (t**2 - s**2)) / t * fresh[1]
    want = torch.where(known.known > 0, y + s * fresh[2], unknown)
    torch.testing.assert_close(states[0], want)


def test_dps_is_the_papers_step_in_the_papers_coordinates() -> None:
    prior, operator = CorrelatedPrior(), Downsample(2, "box")
    y = 0.3 * torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    t, s, zeta = 2.0, 0.5, 0.01
    states: list[Tensor] = []
    solve_dps(
        prior, operator, y, 0.0, ImageNoise([7]), steps=2, zeta=zeta, clip=False, ladder=torch.tensor([t, s, 0.0]),
        on_step=lambda i, x, d: states.append(x),
    )  # fmt: skip
    again = ImageNoise([7])
    first, fresh = again.like(torch.empty(1, 1, 8, 8)), again.like(torch.empty(1, 1, 8, 8))
    before, after = 1 / (1 + t**2), 1 / (1 + s**2)
    beta = 1 - before / after
    x = (t * first * math.sqrt(before)).requires_grad_()
    clean = denoise_at(prior, x / math.sqrt(before), t)
    distance = (y - operator.forward(clean)).square().sum().sqrt()
    (slope,) = torch.autograd.grad(distance**2, x)
    own, kept = math.sqrt(after) * beta / (1 - before), math.sqrt(1 - beta) * (1 - after) / (1 - before)
    spread = math.sqrt((1 - after) / (1 - before) * beta)
    step = zeta / distance * math.sqrt(64 / 196608) * 1000 / 2
    want = own * clean + kept * x + spread * fresh - step * slope
    torch.testing.assert_close(states[0], (want / math.sqrt(after)).detach(), rtol=1e-4, atol=1e-4)


def test_the_first_guess_is_smooth_and_fits() -> None:
    place = torch.linspace(-1, 1, 16)
    ramp = 0.3 * place[:, None] + 0.2 * place + torch.zeros(1, 3, 1, 1)
    hole = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    hole[..., 5:9, 6:11] = True
    filled = first_guess(Masking(~hole), Masking(~hole).forward(ramp))
    torch.testing.assert_close(filled, ramp, rtol=0, atol=0.02)
    grey = first_guess(grayscale(), grayscale().forward(ramp))
    torch.testing.assert_close(grey, ramp, rtol=0, atol=0.06)
    large = first_guess(Downsample(2), Downsample(2).forward(ramp))
    torch.testing.assert_close(large, ramp, rtol=0, atol=0.02)
    noisy = ramp + 0.3 * ImageNoise([0]).like(ramp)
    assert (first_guess(Identity(), noisy, 0.3) - ramp).std() < 0.5 * (noisy - ramp).std()
