"""Tests of the installed plugin: command, Python function and files."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import restorekit as rk
from restorekit.run.images import Photo, read_photo, write_photo
from restorekit.testing import GaussianPrior, run_command

plugin = pytest.importorskip("restorekit_superres", reason="not installed: pip install ./plugins/restorekit-superres")


def random(*shape: int) -> torch.Tensor:
    return 0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


class Gaussian(GaussianPrior):
    """Independent pixels N(0, 0.25)."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(0.0, 0.5, channels)


def command(*words: object) -> tuple[int, str, str]:
    """Run `restorekit superres ...` with a Gaussian prior; return exit code, standard output and standard error."""
    return run_command("superres", *words, prior=Gaussian())


def test_entry_point_is_registered() -> None:
    (entry,) = entry_points(group="restorekit", name="superres")
    assert entry.value == "restorekit_superres"
    assert entry.dist is not None
    assert entry.dist.name == "restorekit-superres"


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("shape", [(2, 3, 7, 10), (1, 3, 1, 1), (1, 1, 5, 4)])
def test_downsampling_the_result_gives_the_photo(scale: int, shape: tuple[int, ...]) -> None:
    y = random(*shape)
    got = rk.superres(y, Gaussian(shape[1]), scale=scale)
    assert got.shape == (*shape[:2], scale * shape[2], scale * shape[3])
    torch.testing.assert_close(rk.Downsample(scale).forward(got), y, rtol=0, atol=0.5 / 127.5)


def test_result_does_not_depend_on_the_batch_or_the_seed() -> None:
    y = random(2, 3, 6, 5)
    both = rk.superres(y, Gaussian())
    assert torch.equal(both, rk.superres(y, Gaussian(), seed=7))
    torch.testing.assert_close(rk.superres(y[1:], Gaussian()), both[1:])


def test_noise_of_the_given_sigma_is_removed() -> None:
    y = 1.5 * random(1, 3, 24, 24)
    without, given = (rk.Downsample(2).forward(rk.superres(y, Gaussian(), sigma=sigma)) for sigma in (0, 40))
    assert (given - y).std() > 5 * (without - y).std()
    assert rk.superres(y, Gaussian(), sigma="auto").shape == (1, 3, 48, 48)


def test_steps_are_evaluations_and_tiling_does_not_change_the_result() -> None:
    prior, y = Gaussian(), random(1, 3, 20, 30)
    whole = rk.superres(y, prior, steps=3)
    assert len(prior.sigmas) == 3
    assert prior.sigmas == sorted(prior.sigmas, reverse=True)
    torch.testing.assert_close(rk.superres(y, Gaussian(), steps=3, tile=16), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_bit_depth_transparency_and_profile_are_kept(tmp_path: Path, top: int, channels: int) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kind = np.uint8 if top == 255 else np.uint16
    pixels = np.random.default_rng(0).integers(0, top + 1, (5, 8, channels)).astype(kind)
    alpha = np.full((5, 8), top, kind)
    alpha[:, :4] = 0
    write_photo(Photo(pixels, alpha, profile), tmp_path / "a.png")
    code, out, err = command(tmp_path / "a.png", "--scale", 4, "--steps", 2)
    assert code == 0, err
    assert out == f"superres: 1 restored to {tmp_path / 'a-superres.png'}\n"
    got = read_photo(tmp_path / "a-superres.png")
    assert (got.pixels.shape, got.pixels.dtype) == ((20, 32, channels), kind)
    assert got.icc == profile
    assert got.alpha is not None
    assert (got.alpha.shape, got.alpha.dtype) == ((20, 32), kind)
    assert (got.alpha[:, :12] == 0).all()
    assert (got.alpha[:, 20:] == top).all()


def test_grey_palette_and_odd_sized_photos_of_a_folder_are_enlarged(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    Image.fromarray(values[..., 0]).save(folder / "grey.png")
    Image.fromarray(values).convert("P").save(folder / "palette.png")
    Image.fromarray(values).save(folder / "deep" / "colour.jpg")
    Image.fromarray(values[:1, :1]).save(folder / "dot.bmp")
    (folder / "no.png").write_text("not an image")
    code, out, err = command(folder, "--steps", 1, "--batch", 2)
    assert code == 1
    assert "4 restored" in out
    assert "no.png: not a readable image" in err
    found = {}
    for path in (tmp_path / "in-superres").rglob("[!.]*.*"):
        with Image.open(path) as image:
            found[path.name] = (image.mode, image.size)
    assert found == {
        "grey.png": ("L", (14, 18)),
        "palette.png": ("RGB", (14, 18)),
        "colour.jpg": ("RGB", (14, 18)),
        "dot.bmp": ("RGB", (2, 2)),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scale", 3), "found 3, allowed: 2, 4"),
        (("--scale", "two"), "found 'two', allowed: 2, 4"),
        (("--sigma", -1), "found -1, allowed: a number from 0 to 50, or auto"),
        (("--steps", 0), "found 0, allowed: an integer from 1 to 1000"),
    ],
)
def test_invalid_options_fail_with_one_line(tmp_path: Path, words, message: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    code, out, err = command(tmp_path / "a.png", *words)
    assert code == 2
    assert not out
    assert err.count("\n") == 1
    assert message in err


def test_bundled_prior_is_better_than_bicubic() -> None:
    """The photo is a disc with a sharp edge, which interpolation blurs."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    disc = ((rows - 24) ** 2 + (columns - 22) ** 2 < 200).float() - 0.5
    clean = disc.expand(1, 3, -1, -1) * torch.tensor([1.0, 0.6, 0.8]).reshape(1, 3, 1, 1)
    y = rk.Downsample(2).forward(clean)
    bicubic = torch.nn.functional.interpolate(y, scale_factor=2, mode="bicubic", antialias=True)
    got = rk.superres(y, steps=4, precision="float32")
    assert (got - clean).square().mean() < 0.5 * (bicubic - clean).square().mean()


def test_readme_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| `--")}
    for parameter in plugin.superres.parameters:
        default = "" if parameter.default is None else str(parameter.default).removesuffix(".0")
        assert rows["--" + parameter.name.replace("_", "-")] == default


@pytest.mark.parametrize("solver", ["ddnm", "diffpir"])
def test_other_solvers_return_samples_consistent_with_the_photo(solver: str) -> None:
    y = random(1, 3, 6, 8)
    got, again, other = (rk.superres(y, Gaussian(), solver=solver, steps=4, seed=seed) for seed in (0, 0, 1))
    assert got.shape == (1, 3, 12, 16)
    assert torch.equal(got, again)
    assert not torch.equal(got, other)
    assert (rk.Downsample(2).forward(got) - y).abs().max() < 0.02
    with pytest.raises(rk.OptionError, match="unknown solver 'ddmr'"):
        rk.superres(y, Gaussian(), solver="ddmr")
