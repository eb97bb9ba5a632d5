"""`restorekit.restore_folder` does what the command does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import restorekit as rk
from restorekit.errors import ImageError, ModelError, OptionError
from restorekit.models.registry import load_prior, model_digest
from restorekit.priors.tiled import Tiled
from restorekit.run.manifest import MANIFEST
from restorekit.testing import GaussianPrior
from tests.models.small import small_model
from tests.run.test_folder import save
from tests.run.test_runner import fill, speckle

QUICK = {"device": "cpu", "precision": "float32"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png", "raw/c.png"):
        save(tmp_path / "in" / name, 16, 20, 3)
    return tmp_path / "in"


def test_results_are_those_of_the_command(photos: Path, tmp_path: Path, restorekit) -> None:
    model = small_model(tmp_path / "model")
    words = "--sigma", "30", "--model", model, "--seed", "7", "--exclude", "raw/*", "--device", "cpu"
    code, *_ = restorekit("denoise", photos, "-o", tmp_path / "a", *words, "--precision", "float32")
    assert code == 0
    seen = []
    report = rk.restore_folder(
        "denoise",
        photos,
        tmp_path / "b",
        model,
        seed=7,
        exclude=["raw/*"],
        sigma=30,
        progress=lambda done, total: seen.append((done, total)),
        **QUICK,
    )
    assert report.results == [tmp_path / "b" / "a.png", tmp_path / "b" / "sub" / "b.png"]
    for target in report.results:
        assert target.read_bytes() == (tmp_path / "a" / target.relative_to(tmp_path / "b")).read_bytes()
    one, other = ((tmp_path / name / MANIFEST).read_text().splitlines() for name in "ab")
    assert [json.loads(line)["request"] for line in one] == [json.loads(line)["request"] for line in other]
    assert (seen, report.seed, report.failed) == ([(1, 2), (2, 2)], 7, [])
    again = rk.restore_folder("denoise", photos, tmp_path / "b", model, seed=7, exclude=["raw/*"], sigma=30, **QUICK)
    assert (len(again.skipped), again.results) == (2, [])


def test_a_photo_that_fails_is_in_the_report(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"no image")
    report = rk.restore_folder(speckle, photos, tmp_path / "out", GaussianPrior(), **QUICK)
    assert [path.name for path, _ in report.failed] == ["bad.png"]
    assert len(report.restored) == 3


def test_side_images_are_files(photos: Path, tmp_path: Path) -> None:
    mask = save(tmp_path / "m.png", 16, 20, 1)
    options = {"mask": mask, "invert_mask": True, "mask_channel": "luminance"}
    report = rk.restore_folder(fill, [photos / "a.png"], tmp_path / "out", GaussianPrior(), **options, **QUICK)
    assert [path.name for path in report.results] == ["a.png"]


def test_a_new_seed_is_in_the_report(photos: Path, tmp_path: Path) -> None:
    reports = [
        rk.restore_folder(speckle, photos / "a.png", tmp_path / f"{i}.png", GaussianPrior(), seed=None, **QUICK)
        for i in range(2)
    ]
    assert reports[0].seed != reports[1].seed
    again = rk.restore_folder(
        speckle, photos / "a.png", tmp_path / "2.png", GaussianPrior(), seed=reports[0].seed, **QUICK
    )
    assert again.results[0].read_bytes() == reports[0].results[0].read_bytes()


def test_results_of_another_prior_are_replaced(photos: Path, tmp_path: Path) -> None:
    prior = load_prior(small_model(tmp_path / "model"))
    arguments = "denoise", photos / "a.png", tmp_path / "out"
    assert len(rk.restore_folder(*arguments, prior, sigma=30, **QUICK).restored) == 1
    assert len(rk.restore_folder(*arguments, prior, sigma=30, **QUICK).skipped) == 1
    with torch.no_grad():
        next(iter(prior.parameters())).mul_(2)
    assert len(rk.restore_folder(*arguments, prior, sigma=30, **QUICK).restored) == 1


def test_digest_of_a_wrapper_depends_on_its_parts(tmp_path: Path) -> None:
    one, other = (load_prior(small_model(tmp_path / "model")) for _ in range(2))
    digests = [model_digest(Tiled(prior, window=window)) for prior, window in ((one, 32), (other, 32), (one, 48))]
    assert digests[0] == digests[1] != digests[2]
    with torch.no_grad():
        next(iter(other.parameters())).mul_(2)
    assert model_digest(Tiled(other, window=32)) != digests[0]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("denois", "x.png"), {}, OptionError, "restore_folder: unknown recipe 'denois'. Did you mean 'denoise'?"),
        (("denoise", "nowhere"), {}, ImageError, "nowhere"),
        (("denoise", "a.png"), {"sigmaa": 3}, OptionError, "unknown option 'sigmaa'. Did you mean 'sigma'?"),
        (("denoise", "a.png"), {"seed": -1}, OptionError, "denoise seed: found -1, allowed: an integer >= 0"),
        (("denoise", "a.png"), {"samples": 0}, OptionError, "denoise samples: found 0"),
        (("dejpeg", "a.png"), {"samples": 2}, OptionError, "dejpeg samples: found 2, allowed: 1"),
        (("denoise", "a.png"), {"workers": 2}, OptionError, "workers requires engine ray"),
        (("denoise", "a.png"), {"engine": "spark"}, OptionError, "engine: found 'spark', allowed: local, ray"),
        (("denoise", "a.png"), {"on_change": "x"}, OptionError, "on_change: found 'x', allowed: redo, keep, fail"),
        (("denoise", "a.png", None, 25), {}, ModelError, "the prior is a int"),
        ((3, "a.png"), {}, OptionError, "restore_folder: found a int, allowed: a recipe, or its name"),
        (
            ("denoise", None),
            {},
            OptionError,
            "restore_folder inputs: found NoneType, allowed: a path or a list of paths",
        ),
        (("denoise", ["a.png", 3]), {}, OptionError, "restore_folder inputs: found int"),
        (("denoise", "a.png", 3), {}, OptionError, "restore_folder output: found 3, allowed: a path, a URL, or None"),
        (("denoise", "a.png"), {"exclude": [3]}, OptionError, "restore_folder exclude: found int"),
        (("denoise", "a.png"), {"overwrite": "no"}, OptionError, "overwrite: found 'no', allowed: True or False"),
        (("denoise", "a.png"), {"batch": 0}, OptionError, "batch: found 0, allowed: an integer >= 1, or None"),
        (("denoise", "a.png"), {"output_quality": "90"}, OptionError, "output_quality: found '90'"),
        (("denoise", "a.png"), {"format": 3}, OptionError, "format: found 3"),
        (("denoise", "a.png"), {"progress": None}, OptionError, "progress: found None, allowed: a function"),
        (("denoise", "a.png", None, GaussianPrior()), {"engine": "ray"}, ModelError, "allowed with engine='ray'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, options, error, message, photos: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos)
    with pytest.raises(error) as found:
        rk.restore_folder(*arguments, **options, **QUICK)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_a_function_names_its_recipe_and_a_text_is_one_pattern(photos: Path, tmp_path: Path) -> None:
    prior = GaussianPrior()
    report = rk.restore_folder(rk.denoise, photos, tmp_path / "out", prior, exclude="raw/*", sigma=20, **QUICK)
    assert [path.name for path in report.results] == ["a.png", "b.png"]
    assert repr(report) == "<RunReport: 2 restored, 0 skipped, 0 kept, 0 failed>"


def test_ctrl_c_reaches_the_caller(photos: Path, tmp_path: Path) -> None:
    @rk.recipe("interrupted")
    def interrupted(y, prior, noise):
        """Interrupt the run."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rk.restore_folder(interrupted, photos, tmp_path / "out", GaussianPrior(), **QUICK)
    assert not list(tmp_path.glob("out/*.png"))
