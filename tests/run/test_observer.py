"""Observing the progress and the estimates of a restoration."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.core.recipe import recipe
from restorekit.errors import RestorekitError, RestorekitWarning
from restorekit.priors.tiled import Tiled, only_where
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.manifest import MANIFEST
from restorekit.run.observer import Observer, StopRunError
from restorekit.run.photo import Photo
from restorekit.run.plan import Job, plan_jobs
from restorekit.run.restoration import restore_photo
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings
from restorekit.testing import GaussianPrior
from tests.run.test_folder import ENGINE, save

TILES = make_engine("cpu", "float32", 32)
SIGMAS = (2.0, 1.0, 0.5)


class Seen:
    """Keeps copies of what its observer receives."""

    def __init__(self) -> None:
        self.counts: list[tuple[int, int]] = []
        self.estimates: list[tuple[float, Tensor]] = []
        self.observer = Observer(self.windows, self.estimate)

    def windows(self, done: int, total: int) -> None:
        self.counts.append((done, total))

    def estimate(self, sigma: Tensor, denoised: Tensor) -> None:
        assert not denoised.requires_grad
        assert not sigma.requires_grad
        self.estimates.append((float(sigma.max()), denoised.clone()))


class WithVariance(GaussianPrior):
    """A Gaussian prior that has learned the variance."""

    def __init__(self) -> None:
        super().__init__(0.1, 0.5, learned_variance=True)

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self(x, sigma, label), torch.full_like(x, 0.5)


@recipe("steps", samples=True)
def steps(y, prior, noise):
    """Three evaluations of the prior."""
    for sigma in SIGMAS:
        y = prior(y + sigma * noise.like(y), torch.full((len(y),), sigma))
    return y


@recipe("slope")
def slope(y, prior, noise):
    """The gradient of an evaluation of the prior."""
    with torch.enable_grad():
        points = y.clone().requires_grad_()
        denoised = prior(points, torch.full((len(y),), 0.5))
        return torch.autograd.grad((denoised**2).sum(), points)[0]


@recipe("variance")
def variance(y, prior, noise):
    """D times the weight of the variance."""
    denoised, weight = prior.with_variance(y, torch.full((len(y),), 0.5))
    return denoised * weight


@pytest.mark.parametrize(("made", "prior"), [(steps, GaussianPrior), (slope, GaussianPrior), (variance, WithVariance)])
@pytest.mark.parametrize("shape", [(2, 3, 50, 41), (1, 3, 20, 20)])
def test_estimates_are_those_of_the_recipe_and_change_nothing(made, prior, shape) -> None:
    y, seen = torch.rand(shape) * 2 - 1, Seen()
    expected = Runner(made, prior(), {}, TILES).restore(y, range(shape[0]))
    got = Runner(made, prior(), {}, TILES).restore(y, range(shape[0]), observer=seen.observer)
    assert torch.equal(got, expected)
    assert [sigma for sigma, _ in seen.estimates] == (list(SIGMAS) if made is steps else [0.5])
    assert {denoised.shape for _, denoised in seen.estimates} == {y.shape}
    if made is steps:
        assert torch.equal(seen.estimates[-1][1], got)
    last = [done for done, total in seen.counts if done == total]
    assert len(last) == len(seen.estimates)


def test_estimates_of_grey_images_are_grey() -> None:
    y, seen = torch.rand(1, 1, 40, 40), Seen()
    with pytest.warns(RestorekitWarning, match="grey image"):
        got = Runner(steps, GaussianPrior(), {}, TILES).restore(y, [0], observer=seen.observer)
    assert [denoised.shape for _, denoised in seen.estimates] == [y.shape] * 3
    assert torch.equal(seen.estimates[-1][1], got)


def test_estimates_of_a_part_of_the_image_are_observed() -> None:
    seen, where = Seen(), torch.zeros(1, 1, 40, 40)
    where[..., :8, :8] = 1
    x = torch.randn(1, 3, 40, 40)
    tiled = only_where(Tiled(GaussianPrior(), window=16, on_estimate=seen.estimate), where)
    got = tiled(x, torch.ones(1))
    assert torch.equal(seen.estimates[0][1], got)
    assert torch.equal(got[..., 32:, 32:], x[..., 32:, 32:])


def test_strips_of_a_large_photo_are_observed_one_after_another() -> None:
    def allowed(sample, info, options):
        return {}

    @recipe("mean", strips=allowed)
    def mean(y, prior, noise):
        """D at sigma 0.5."""
        return prior(y, torch.full((len(y),), 0.5))

    photo, seen = Photo(np.zeros((256, 64, 3), np.uint8)), Seen()
    restore_photo(Runner(mean, GaussianPrior(), {}, TILES), photo, 0, {}, seen.observer, max_pixels=128 * 64)
    # Strips of 64, 64 and 128 rows with margins of 32 rows.
    assert [denoised.shape[2] for _, denoised in seen.estimates] == [96, 128, 160]
    assert seen.counts[-1][0] == seen.counts[-1][1]


def run_observed(tmp_path: Path, photos: int, batch: int, observe):
    for number in range(photos):
        save(tmp_path / "in" / f"{number}.png", 40, 40, 3, seed=number)
    plan = plan_jobs([tmp_path / "in"], tmp_path / "out", steps, {})
    runner = Runner(steps, GaussianPrior(), {}, ENGINE)
    return run_jobs(plan, runner, Settings(batch=batch), observe=observe), runner


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("batch", [1, 3])
def test_an_exception_of_an_observer_ends_its_photo_only(tmp_path: Path, batch: int) -> None:
    def cancel(sigma: Tensor, denoised: Tensor) -> None:
        if float(sigma[0]) == SIGMAS[1]:
            raise RestorekitError("cancelled by the caller")

    def observe(job: Job, number: int) -> Observer:
        return Observer(estimate=cancel) if job.source.stem == "2" else Observer()

    report, _ = run_observed(tmp_path, 5, batch, observe)
    assert [path.stem for path in report.restored] == ["0", "1", "3", "4"]
    assert [(path.stem, message) for path, message in report.failed] == [("2", "cancelled by the caller")]
    assert names(tmp_path / "out") == [MANIFEST, "0.png", "1.png", "3.png", "4.png"]


@pytest.mark.parametrize(("batch", "cancelled"), [(1, "1"), (3, "0"), (3, "1"), (3, "2"), (4, "5")])
def test_an_observer_can_stop_the_run(tmp_path: Path, batch: int, cancelled: str) -> None:
    threads: set[int] = set()

    def observe(job: Job, number: int) -> Observer:
        thread = threading.get_ident()
        threads.add(thread)

        def stop(done: int, total: int) -> None:
            assert threading.get_ident() == thread
            if job.source.stem == cancelled:
                raise StopRunError("cancelled")

        return Observer(stop)

    started = monotonic()
    report, runner = run_observed(tmp_path, 8, batch, observe)
    assert monotonic() - started < 20
    assert report.stopped == "cancelled"
    assert report.failed == []
    assert cancelled not in {path.stem for path in report.restored}
    assert len(report.restored) < 8
    assert threading.main_thread().ident not in threads
    assert set(names(tmp_path / "out")) - {MANIFEST} >= {path.name for path in report.restored}
    assert not [name for name in names(tmp_path / "out") if name.startswith(".") and name != MANIFEST]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photo-")]
    # A resumed run restores the others.
    plan = plan_jobs([tmp_path / "in"], tmp_path / "out", steps, {})
    resumed = run_jobs(plan, runner, Settings(batch=batch))
    assert len(resumed.restored) + len(resumed.skipped) == 8


def test_every_sample_is_observed_separately(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 20, 20, 3)
    plan = plan_jobs([tmp_path / "a.png"], tmp_path / "out.png", steps, {}, samples=3)
    seen: dict[tuple[str, int], Seen] = {}

    def observe(job: Job, number: int) -> Observer:
        return seen.setdefault((job.source.name, number), Seen()).observer

    report = run_jobs(plan, Runner(steps, GaussianPrior(), {}, ENGINE), observe=observe)
    assert len(report.restored) == 1
    assert sorted(seen) == [("a.png", 0), ("a.png", 1), ("a.png", 2)]
    assert all([sigma for sigma, _ in found.estimates] == list(SIGMAS) for found in seen.values())
