"""Tests of the installed plugin: command, Python function and files."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.run.images import Photo, read_photo, write_photo
from restorekit.testing import GaussianPrior, run_command

plugin = pytest.importorskip("restorekit_colorize", reason="not installed: pip install ./plugins/restorekit-colorize")


class Reddish(GaussianPrior):
    """Independent pixels N((0.4, 0, -0.4), 0.25)."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(torch.tensor([0.4, 0, -0.4]).reshape(3, 1, 1), 0.5, channels)


def command(*words: object) -> tuple[int, str, str]:
    """Run `restorekit colorize ...` with a Gaussian prior; return exit code, standard output and standard error."""
    return run_command("colorize", *words, prior=Reddish())


def grey(*shape: int) -> torch.Tensor:
    """Return values uniform in [-1, 1], with a black and a white pixel."""
    values = 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1
    values[..., 0, 0], values[..., -1, -1] = -1, 1
    return values


def test_entry_point_is_registered() -> None:
    (entry,) = entry_points(group="restorekit", name="colorize")
    assert entry.value == "restorekit_colorize"
    assert entry.dist is not None
    assert entry.dist.name == "restorekit-colorize"


@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("shape", [(2, 1, 9, 14), (1, 1, 1, 1), (1, 1, 70, 33), (1, 1, 2, 300)])
def test_luma_is_unchanged_and_colours_are_in_range(mode: str, shape: tuple[int, ...]) -> None:
    y = grey(*shape)
    got = rk.colorize(y, Reddish(), mode=mode, size=16, steps=5)
    assert got.shape == (shape[0], 3, *shape[2:])
    assert got.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(rk.grayscale().forward(got), y, rtol=0, atol=1e-5)


def test_colours_follow_the_prior() -> None:
    y = 0.2 * grey(1, 1, 64, 48)
    red, green, blue = rk.colorize(y, Reddish(), size=16, draws=16).mean((0, 2, 3)).tolist()
    assert red > green + 0.2
    assert green > blue + 0.2


def test_results_depend_on_seed_and_sample_and_the_mean_varies_less() -> None:
    y = 0.2 * grey(2, 1, 20, 20)
    assert torch.equal(rk.colorize(y, Reddish(), seed=3), rk.colorize(y, Reddish(), seed=3))
    one = rk.colorize(y[:1], Reddish(), seed=3, mode="sample")
    torch.testing.assert_close(rk.colorize(y, Reddish(), seed=3, mode="sample")[:1], one)
    spread = {mode: rk.colorize(y, Reddish(), mode=mode, samples=4).std(0).mean() for mode in ("mean", "sample")}
    assert 0 < spread["mean"] < 0.6 * spread["sample"]


def test_strength_0_returns_the_grey_photo() -> None:
    y = grey(1, 1, 20, 20)
    torch.testing.assert_close(rk.colorize(y, Reddish(), strength=0), y.expand(-1, 3, -1, -1))


def test_upsampled_colours_follow_the_edges_of_the_luma() -> None:
    """The prior makes dark pixels red and light ones blue; the photo is downsampled by 8."""

    class TwoTone(Reddish):
        def __call__(self, x, sigma, label=None):
            tint = torch.tensor([0.3, 0.0, -0.3]).reshape(1, 3, 1, 1)
            luma = rk.grayscale().forward(x).clamp(-1, 1)
            return luma - luma.sign() * tint

    y = torch.full((1, 1, 128, 128), -0.5)
    y[..., 61:] = 0.5
    got = rk.colorize(y, TwoTone(), size=16, draws=2, steps=3)
    warm = got[:, :1] - got[:, 2:]
    assert (warm[..., :61] > 0.1).all()
    assert (warm[..., 61:] < -0.1).all()


@pytest.mark.parametrize("top", [255, 65535])
def test_grey_file_becomes_a_colour_file_of_the_same_luma(tmp_path: Path, top: int) -> None:
    kind = np.uint8 if top == 255 else np.uint16
    pixels = np.random.default_rng(0).integers(0, top + 1, (20, 30, 1)).astype(kind)
    alpha = np.random.default_rng(1).integers(0, top + 1, (20, 30)).astype(kind)
    write_photo(Photo(pixels, alpha), tmp_path / "a.png")
    code, out, err = command(tmp_path / "a.png", "--samples", 2, "--steps", 3)
    assert code == 0, err
    assert not err
    assert out == f"colorize: 1 restored to {tmp_path}\n"
    one, two = (read_photo(tmp_path / f"a-colorize-{k}.png") for k in (1, 2))
    assert not np.array_equal(one.pixels, two.pixels)
    for photo in (one, two):
        assert (photo.pixels.shape, photo.pixels.dtype) == ((20, 30, 3), kind)
        assert np.array_equal(photo.alpha, alpha)
        luma = photo.pixels @ np.array([0.299, 0.587, 0.114])
        assert np.abs(luma - pixels[..., 0]).max() <= 0.501
    if top == 255:
        with Image.open(tmp_path / "a-colorize-1.png") as image:
            again = np.asarray(image.convert("RGB").convert("L")).astype(int)
        assert np.abs(again - pixels[..., 0]).max() <= 1


def test_luma_of_a_colour_photo_is_used_with_a_note(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 15, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "colour.png")
    luma = Image.fromarray(values).convert("L")
    luma.save(tmp_path / "grey.png")
    luma.convert("RGB").save(tmp_path / "stored.png")
    luma.convert("P").save(tmp_path / "palette.png")
    names = ("colour", "grey", "stored", "palette")
    code, out, err = command(*(tmp_path / f"{name}.png" for name in names), "-o", tmp_path / "out", "--steps", 2)
    assert code == 0
    assert "4 restored" in out
    assert err.splitlines() == [
        f"note: {tmp_path / 'colour.png'}: the photo has colours; only its luma is used",
        f"note: {tmp_path / 'palette.png'}: the palette was converted to RGB",
    ]
    for name in names:
        with Image.open(tmp_path / "out" / f"{name}.png") as image:
            assert image.mode == "RGB"
            got = np.asarray(image) @ np.array([0.299, 0.587, 0.114])
        assert np.abs(got - np.asarray(luma)).max() <= 1.01


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mode", "median"), "unknown value 'median'. Did you mean 'mean'? Allowed: mean, sample"),
        (("--strength", 2), "found 2, allowed: a number from 0 to 1"),
        (("--draws", 1), "found 1, allowed: an integer from 2 to 1000"),
    ],
)
def test_invalid_options_fail_with_one_line(tmp_path: Path, words, message: str) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    code, out, err = command(tmp_path / "a.png", *words)
    assert code == 2
    assert not out
    assert err.count("\n") == 1
    assert message in err


def test_grey_prior_is_refused() -> None:
    with pytest.raises(rk.RestorekitError, match="3 channels, but the prior has 1"):
        rk.colorize(grey(1, 1, 8, 8), Reddish(channels=1))


def test_bundled_prior_keeps_the_luma_and_adds_colour() -> None:
    y = grey(1, 1, 24, 24)
    got = rk.colorize(y, size=16, draws=2, steps=2, precision="float32")
    torch.testing.assert_close(rk.grayscale().forward(got), y, rtol=0, atol=1e-5)
    assert (got.amax(1) - got.amin(1)).max() > 0.02


def test_readme_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| `--")}
    for parameter in plugin.colorize.parameters:
        default = "" if parameter.default is None else str(parameter.default).removesuffix(".0")
        assert rows["--" + parameter.name.replace("_", "-")] == default
