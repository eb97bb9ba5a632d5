"""Tests of the installed plugin: command, Python function and files."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.testing import GaussianPrior, run_command

plugin = pytest.importorskip("restorekit_deblur", reason="not installed: pip install ./plugins/restorekit-deblur")


class Gaussian(GaussianPrior):
    """Independent pixels N(0, 0.25)."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(0.0, 0.5, channels)


def command(*words: object) -> tuple[int, str, str]:
    """Run `restorekit deblur ...` with a Gaussian prior; return exit code, standard output and standard error."""
    return run_command("deblur", *words, prior=Gaussian())


def saved(path: Path, *shape: int, value: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 256, shape) if value is None else np.full(shape, value)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def test_entry_point_is_registered() -> None:
    (entry,) = entry_points(group="restorekit", name="deblur")
    assert entry.value == "restorekit_deblur"
    assert entry.dist is not None
    assert entry.dist.name == "restorekit-deblur"


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scene(height: int, width: int) -> torch.Tensor:
    """Return discs of random colours with sharp edges."""
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    image = torch.zeros(1, 3, height, width)
    for row, column, radius, *colour in torch.special.ndtr(random(12, 6)).tolist():
        disc = (rows - row * height) ** 2 + (columns - column * width) ** 2 < (3 + 8 * radius) ** 2
        image = torch.where(disc, torch.tensor(colour).reshape(1, 3, 1, 1) * 1.6 - 0.8, image)
    return image


BLURS = {
    "gaussian": (rk.gaussian_kernel(1.2), {"gaussian": 1.2}),
    "motion": (rk.motion_kernel(7, 30), {"motion_length": 7, "motion_angle": 30}),
    "kernel": (rk.gaussian_kernel(1.2), {"kernel": 0.5 * rk.gaussian_kernel(1.2)[None, None].float()}),
}


@pytest.mark.parametrize("name", BLURS)
def test_bundled_prior_restores_the_scene_without_ringing_at_the_border(name: str) -> None:
    kernel, options = BLURS[name]
    reach = kernel.shape[0] // 2
    whole = scene(48 + 2 * reach, 56 + 2 * reach)
    clean = whole[..., reach:-reach, reach:-reach]
    y = rk.Blur(kernel, "valid").forward(whole)
    y = y + 2 / 127.5 * random(*y.shape)
    prior = rk.load_prior("ddpm-photo")
    got = rk.deblur(y, prior, sigma=2, steps=6, precision="float32", **options)
    with torch.no_grad():
        circular = rk.solve_dpir(prior, rk.Blur(kernel), y, 4 / 255, rk.ImageNoise([0]), steps=6, start=y)
    assert got.shape == y.shape
    frame = torch.ones(48, 56, dtype=torch.bool)
    frame[4:-4, 4:-4] = False
    error, before, ringing = ((x - clean).square() for x in (got, y, circular))
    assert error.mean() < 0.5 * before.mean()
    assert error[..., frame].mean() < 0.5 * ringing[..., frame].mean()


def test_blurring_the_result_gives_the_photo() -> None:
    kernel = rk.gaussian_kernel(1.0)
    y = rk.Blur(kernel, "valid").forward(scene(46, 46))
    got = rk.deblur(y, Gaussian(), gaussian=1.0, sigma=0)
    again = rk.Blur(kernel, "valid").forward(got)
    torch.testing.assert_close(again, y[..., 3:-3, 3:-3], rtol=0, atol=2 / 127.5)


@pytest.mark.parametrize("shape", [(2, 3, 9, 6), (1, 3, 1, 1), (1, 1, 5, 30)])
def test_grey_photos_and_photos_smaller_than_the_kernel_are_deblurred(shape: tuple[int, ...]) -> None:
    y = 0.2 * random(*shape)
    got = rk.deblur(y, Gaussian(shape[1]), motion_length=15, steps=2)
    assert got.shape == y.shape
    assert torch.isfinite(got).all()
    assert torch.equal(got, rk.deblur(y, Gaussian(shape[1]), motion_length=15, steps=2, seed=3)), "deterministic"
    assert torch.allclose(rk.deblur(y[-1:], Gaussian(shape[1]), motion_length=15, steps=2), got[-1:], atol=1e-5)


def test_kernel_of_one_pixel_hardly_changes_the_photo() -> None:
    y = rk.Blur(rk.gaussian_kernel(2.0)).forward(random(1, 3, 40, 40))
    got = rk.deblur(y, Gaussian(), kernel=torch.ones(1, 1, 1, 1), sigma=0)
    torch.testing.assert_close(got, y, rtol=0, atol=1 / 127.5)


def test_photos_of_a_folder_are_paired_with_kernels_by_name(tmp_path: Path) -> None:
    for name, side in (("a.png", 3), ("b.png", 3), ("c.png", 5)):
        saved(tmp_path / "in" / name, 8, 9, 3)
        saved(tmp_path / "kernels" / name, side, side)
    code, out, err = command(tmp_path / "in", "--kernel", tmp_path / "kernels", "--steps", 1, "--batch", 3)
    assert (code, out) == (0, f"deblur: 3 restored to {tmp_path / 'in-deblur'}\n"), err
    a, b, c = (Image.open(tmp_path / "in-deblur" / f"{name}.png").tobytes() for name in "abc")
    assert a == b, "the same photo and kernel in one batch"
    assert a != c


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        ((4, 5), None, "--kernel is 5 x 4, allowed: odd width and height"),
        ((5, 5), 0, "--kernel is all black, allowed: a bright kernel on black"),
    ],
)
def test_invalid_kernel_fails_with_one_line(tmp_path: Path, shape, value, message: str) -> None:
    photo, kernel = saved(tmp_path / "a.png", 8, 9, 3), saved(tmp_path / "k.png", *shape, value=value)
    code, out, err = command(photo, "--kernel", kernel)
    assert (code, out) == (1, "deblur: 0 restored, 1 failed\n")
    assert err.startswith(f"failed: {photo}: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "found no description of the blur, allowed: exactly one of --kernel, --gaussian, --motion-length"),
        (("--gaussian", 2, "--motion-length", 5), "found --gaussian and --motion-length, allowed: exactly one"),
        (("--gaussian", 2, "--motion-angle", 5), "found --motion-angle without --motion-length"),
        (("--gaussian", 0), "found 0, allowed: a number from 0.1 to 50"),
        (("--motion-length", 2.5), "found '2.5', allowed: an integer from 1 to 500"),
    ],
)
def test_invalid_options_fail_with_one_line_before_any_photo_is_read(tmp_path: Path, words, message: str) -> None:
    code, out, err = command(saved(tmp_path / "a.png", 4, 4, 3), *words)
    assert code == 2
    assert not out
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "a-deblur.png").exists()


def test_python_function_raises_the_same_error_with_its_own_names() -> None:
    with pytest.raises(rk.OptionError, match="exactly one of kernel, gaussian, motion_length"):
        rk.deblur(torch.zeros(1, 3, 4, 4), Gaussian())


def test_readme_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| `--")}
    for parameter in plugin.deblur.parameters:
        default = "" if parameter.default is None else str(parameter.default).removesuffix(".0")
        assert rows["--" + parameter.name.replace("_", "-")] == default
