from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.builtin.complete import complete
from restorekit.core.options import ClassOption, ImageOption, ModelOption
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError, ModelError, OptionError, RestorekitError, RestorekitWarning
from restorekit.models.registry import load_prior
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.self_ensemble import SelfEnsembleView
from restorekit.priors.tiled import Tiled
from restorekit.run.api import restore
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.plan import plan_jobs
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior
from tests.models.small import small_model
from tests.run.test_folder import ENGINE, fill, run, save, speckle

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser


@recipe("once")
def once(y, prior, noise):
    """D at sigma 0.5."""
    return prior(y, torch.full((len(y),), 0.5, device=y.device))


def test_engine_options_are_validated() -> None:
    engine = make_engine("cpu", "float32", 64)
    assert (engine.device.type, engine.precision, engine.tile) == ("cpu", "float32", 64)
    assert make_engine("cpu").precision in ("float32", "bfloat16")
    for arguments, message in [
        (("cpu", "float8"), "unknown precision 'float8'"),
        (("gpu",), "--device: unknown device 'gpu'"),
        (("cpu", "auto", 3), "--tile: found 3"),
    ]:
        with pytest.raises(OptionError, match=message):
            make_engine(*arguments)


def test_large_images_are_tiled_and_grey_images_use_the_colour_prior() -> None:
    prior = GaussianPrior(0.1, 0.5)
    engine = make_engine("cpu", "float32", 32)
    for shape in [(2, 3, 50, 33), (1, 1, 7, 70), (1, 3, 1, 1)]:
        y = torch.randn(shape)
        expected_warning = pytest.warns(RestorekitWarning, match="grey") if shape[1] == 1 else contextlib.nullcontext()
        with expected_warning:
            got = Runner(once, prior, {}, engine).restore(y, range(shape[0]))
        if shape[1] == 3:
            torch.testing.assert_close(got, GaussianPrior(0.1, 0.5)(y, torch.full((shape[0],), 0.5)))
        assert got.shape == y.shape
    assert all(max(seen[-2:]) <= 32 for seen in prior.seen)
    with pytest.raises(ModelError, match="the image has 3 channels, but the prior has 1"):
        Runner(once, GaussianPrior(channels=1), {}, engine).restore(torch.zeros(1, 3, 4, 4), [0])


def test_result_of_wrong_shape_is_refused() -> None:
    def returning(shape, **stated):
        @recipe("returning", **stated)
        def returning(y, prior, noise):
            """Return zeros."""
            assert prior.info.channels == shape[1]
            return torch.zeros(shape)

        return Runner(returning, GaussianPrior(), {}, ENGINE).restore(torch.zeros(2, 3, 5, 7), [0, 1])

    def half(height, width, options):
        return height // 2, width // 2

    assert returning((2, 3, 2, 3), size=half).shape == (2, 3, 2, 3)
    for shape, stated, allowed in [
        ((2, 3, 5, 8), {}, r"\(2, 3, 5, 7\)"),
        ((1, 3, 5, 7), {}, r"\(2, 3, 5, 7\)"),
        ((2, 3, 5, 7), {"size": half}, r"\(2, 3, 2, 3\)"),
    ]:
        found = ", ".join(map(str, shape))
        with pytest.raises(
            RestorekitError, match=rf"recipe returning: returned shape \({found}\), allowed: .*{allowed}"
        ):
            returning(shape, **stated)


def test_recipe_with_three_channels_gets_a_colour_prior() -> None:
    @recipe("tint", channels=3)
    def tint(y, prior, noise):
        """Three channels of one."""
        return prior(y.expand(-1, 3, -1, -1), torch.full((len(y),), 0.5))

    got = restore(tint, torch.zeros(2, 1, 5, 7), GaussianPrior())
    assert got.shape == (2, 3, 5, 7)
    assert restore(tint, Image.new("L", (7, 5)), GaussianPrior()).mode == "RGB"
    with pytest.raises(ModelError, match="3 channels, but the prior has 1"):
        restore(tint, torch.zeros(2, 1, 5, 7), GaussianPrior(channels=1))


def test_side_image_may_have_any_size_if_declared() -> None:
    @recipe("sides")
    def sides(y, prior, noise, *, kernel: Annotated[Tensor | None, ImageOption("Any.", same_size=False)] = None):
        """The kernel's size in the first two pixels."""
        result = torch.zeros_like(y)
        if kernel is not None:
            result[..., 0, 0], result[..., 0, 1] = kernel.shape[-2] / 100, kernel.shape[-1] / 100
        return result

    y = torch.zeros(1, 3, 5, 7)
    for kernel in (torch.ones(1, 1, 9, 11), Image.new("L", (11, 9))):
        assert restore(sides, y, GaussianPrior(), kernel=kernel)[0, 0, 0, :2].tolist() == pytest.approx([0.09, 0.11])
    assert not restore(sides, y, GaussianPrior()).any()
    with pytest.raises(OptionError, match=r"found \(1, 2, 9, 11\), allowed: \(1, 1, 9, 11\)"):
        restore(sides, y, GaussianPrior(), kernel=torch.ones(1, 2, 9, 11))


def test_networks_in_wrappers_are_moved_to_the_device(tmp_path: Path) -> None:
    prior = load_prior(small_model(tmp_path))
    engine = dataclasses.replace(make_engine("cpu", "float32"), device=torch.device("meta"))
    engine.place(Tiled(SelfEnsembleView(prior, 3)))
    assert {parameter.device.type for parameter in prior.parameters()} == {"meta"}


def test_bfloat16_is_close_to_float32(tmp_path: Path) -> None:
    prior, y = load_prior(small_model(tmp_path)), torch.randn(1, 3, 40, 24)
    engines = [make_engine("cpu", p) for p in ("float32", "bfloat16")]
    a, b = (Runner(once, prior, {}, engine).restore(y, [0]) for engine in engines)
    assert 0 < (a - b).abs().max() < 0.05


def test_operators_stay_float32_with_a_bfloat16_network(tmp_path: Path) -> None:
    @recipe("operated")
    def operated(y, prior, noise):
        """A matrix product, and the prior."""
        assert prior.inner.info.sigma_max > 1, "the facts about the prior are found"
        return rk.Downsample(2).adjoint(rk.Downsample(2).forward(y)) + 0 * prior(y, torch.ones(len(y)))

    prior, y = load_prior(small_model(tmp_path)), torch.rand(1, 3, 16, 16)
    exact = rk.Downsample(2).adjoint(rk.Downsample(2).forward(y))
    engine = make_engine("cpu", "bfloat16")
    torch.testing.assert_close(Runner(operated, prior, {}, engine).restore(y, [0]), exact)


def test_python_functions_accept_tensors_pil_images_and_paths(tmp_path: Path) -> None:
    prior = GaussianPrior()
    path = save(tmp_path / "a.png", 6, 5, 3)
    y = torch.rand(2, 3, 6, 5) * 2 - 1
    got = restore(speckle, y, prior, amount=0.2)
    assert got.shape == y.shape
    assert (got - y).std().item() == pytest.approx(0.2, rel=0.2)
    assert torch.equal(restore(speckle, y[1:], prior, amount=0.2, seed=0), restore(speckle, y[1:], prior, amount=0.2))
    assert restore(speckle, y, prior, samples=3).shape == (3, 2, 3, 6, 5)
    picture = restore(speckle, path, prior)
    assert isinstance(picture, Image.Image)
    assert picture.size == (5, 6)
    run(path, tmp_path / "cli.png")
    with Image.open(tmp_path / "cli.png") as same:
        assert same.tobytes() == picture.tobytes()
    rgba = Image.open(path).convert("RGBA")
    assert restore(speckle, rgba, prior).mode == "RGBA"
    with pytest.warns(RestorekitWarning, match="grey"):
        assert restore(speckle, rgba.convert("L"), prior).mode == "L"
    assert len(restore(speckle, rgba, prior, samples=2)) == 2


def test_side_images_may_be_tensors_pil_images_and_paths(tmp_path: Path) -> None:
    y = torch.zeros(2, 3, 6, 5)
    mask = torch.zeros(1, 1, 6, 5)
    mask[..., 2] = 1
    Image.fromarray((mask[0, 0].numpy() * 255).astype("uint8")).save(tmp_path / "m.png")
    want = mask.expand_as(y)
    for side in (mask, mask.expand(2, -1, -1, -1), Image.open(tmp_path / "m.png"), tmp_path / "m.png"):
        torch.testing.assert_close(restore(fill, y, GaussianPrior(), mask=side), want)
    with pytest.raises(OptionError, match=r"found \(1, 1, 5, 5\), allowed: \(1 or 2, 1, 6, 5\)"):
        restore(fill, y, GaussianPrior(), mask=mask[..., :5, :])
    with pytest.raises(OptionError, match="found int"):
        restore(fill, y, GaussianPrior(), mask=3)
    with pytest.raises(OptionError, match="mask is missing"):
        restore(fill, y, GaussianPrior())


def test_invalid_images_are_refused(tmp_path: Path) -> None:
    for y in (torch.zeros(3, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 0, 4), "nowhere.png", 7):
        with pytest.raises((OptionError, ImageError)):
            restore(speckle, y, GaussianPrior())
    with pytest.raises(OptionError, match="not finite"):
        restore(speckle, torch.full((1, 3, 4, 4), torch.nan), GaussianPrior())
    with pytest.raises(OptionError, match="samples: found 0"):
        restore(speckle, torch.zeros(1, 3, 4, 4), GaussianPrior(), samples=0)
    with pytest.raises(ModelError, match="the prior is a function"):
        restore(speckle, torch.zeros(1, 3, 4, 4), lambda x, sigma: x)


CLASSES = ("sea", "street")


def conditional() -> GaussianPrior:
    return GaussianPrior(classes=CLASSES)


@recipe("between")
def between(
    y,
    prior,
    noise,
    *,
    label: Annotated[Tensor, ClassOption("A class.")],
    other: Annotated[Denoiser, ModelOption("Another prior.", model="ddpm-photo")],
):
    """The result of the other prior, with the class in the first pixel."""
    result = other(y, torch.full((len(y),), 0.5))
    result[..., 0, 0] = label
    return result


def test_recipe_receives_labels_and_models(tmp_path: Path) -> None:
    small, y = small_model(tmp_path), torch.zeros(2, 3, 40, 24)
    got = restore(between, y, conditional(), label="street", other=small, precision="float32")
    assert (got[..., 0, 0] == 1).all(), "the number of the class"
    runner = Runner(between, conditional(), {"label": "sea", "other": small}, ENGINE)
    with pytest.warns(RestorekitWarning, match="grey"):
        assert runner.restore(y[:, :1], [0, 1]).shape == (2, 1, 40, 24)
    assert between.validate({"label": "sea"}).options["other"] == "ddpm-photo"
    save(tmp_path / "in" / "a.png", 20, 20, 3)
    plan = plan_jobs([tmp_path / "in"], tmp_path / "out", between, {})
    assert not run_jobs(plan, Runner(between, conditional(), {"label": "sea", "other": str(small)}, ENGINE)).failed
    for label, wrong, error, message in [
        ("seas", conditional(), OptionError, "unknown class 'seas'. Did you mean 'sea'"),
        ("sea", GaussianPrior(), ModelError, "the prior has no classes; priors with classes"),
        ("", conditional(), OptionError, "found '', allowed: the name of a class of the prior"),
    ]:
        with pytest.raises(error, match=message):
            restore(between, y, wrong, label=label, other=small)
    classifier = NoisyClassifier(torch.nn.Identity(), torch.tensor([0.1, 1.0]), classes=CLASSES, size=16)
    with pytest.raises(ModelError, match=r"between other: .* is a classifier, allowed: a prior"):
        restore(between, y, conditional(), label="sea", other=classifier)
    with pytest.raises(OptionError, match="between other: found None, allowed: a prior: a name, a folder"):
        restore(between, y, conditional(), label="sea", other=None)
    with pytest.raises(ModelError, match=r"complete classifier: .* is a prior, allowed: a classifier"):
        restore(complete, y, conditional(), label="sea", classifier=small, mask=torch.ones(1, 1, 40, 24))
