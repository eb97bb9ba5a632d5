"""Networks with random weights: restorekit and spandrel return the same."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import restorekit_spandrel as rs
import torch
from PIL import Image

import restorekit as rk
from restorekit.plugins.discovery import plugin_named
from restorekit.testing import check_prior, check_recipe, photo, run_command

Saved = Callable[..., Path]
# Of the networks that tests build.
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")


def mask(height: int, width: int, *holes: tuple[int, int, int, int]) -> torch.Tensor:
    """Return a mask with holes (top, bottom, left, right)."""
    found = torch.zeros(1, 1, height, width)
    for top, bottom, left, right in holes:
        found[..., top:bottom, left:right] = 1
    return found


def test_plugin_is_registered() -> None:
    plugin = plugin_named("spandrel")
    assert plugin.error is None
    assert [recipe.name for recipe in plugin.recipes] == ["enhance", "fill"]
    assert [family.name for family in plugin.priors] == ["spandrel"]


def test_missing_spandrel_names_the_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pth").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    for call in (lambda: rs.load_enhancer(tmp_path / "a.pth"), lambda: rs.load(str(tmp_path / "a.pth"))):
        with pytest.raises(rk.ModelError, match="spandrel is not installed; pip install restorekit-spandrel"):
            call()


@pytest.fixture
def spandrel():
    """The module spandrel; tests that need it are skipped if it is not installed."""
    return pytest.importorskip("spandrel")


ENHANCERS = ["SwinIR", "SwinIR x2", "SCUNet", "NAFNet", "ESRGAN", "DRUNet", "FDnCNN"]


@pytest.mark.parametrize("name", ENHANCERS)
@torch.no_grad()
def test_results_are_those_of_spandrel(spandrel, saved: Saved, name: str) -> None:
    file, y = saved(name), photo(37, 45)
    descriptor = spandrel.ModelLoader().load_from_file(file)
    expected = 2 * descriptor((y + 1) / 2) - 1
    result = rk.enhance(y, weights=file, precision="float32")
    assert result.shape == (1, 3, descriptor.scale * 37, descriptor.scale * 45)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_grey_networks_restore_the_channels_of_a_colour_photo(spandrel, saved: Saved) -> None:
    file, y = saved("grey DnCNN"), photo(20, 24)
    descriptor = spandrel.ModelLoader().load_from_file(file)
    expected = torch.cat([2 * descriptor((y[:, c : c + 1] + 1) / 2) - 1 for c in range(3)], 1)
    torch.testing.assert_close(rk.enhance(y, weights=file, precision="float32"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["SwinIR x2", "NAFNet", "DRUNet"])
def test_enhance_passes_the_checks_of_recipes(spandrel, saved: Saved, name: str) -> None:
    check_recipe(rs.enhance, weights=saved(name))


@torch.no_grad()
def test_restormer_requires_the_additional_architectures(spandrel, saved: Saved, monkeypatch) -> None:
    extra = pytest.importorskip("spandrel_extra_arches")
    file = saved("Restormer")
    registry = spandrel.MAIN_REGISTRY.copy()
    registry.add(*extra.EXTRA_REGISTRY)
    y = photo(24, 32)
    expected = 2 * spandrel.ModelLoader(registry=registry).load_from_file(file)((y + 1) / 2) - 1
    result = rk.enhance(y, weights=file, precision="float32")
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    assert "Restormer" not in spandrel.MAIN_REGISTRY, "the registry of the process is unchanged"
    monkeypatch.setattr("restorekit_spandrel.networks._has", lambda package: False)
    with pytest.raises(rk.ModelError, match="spandrel_extra_arches, which is not installed, adds Restormer, MAT"):
        rs.load_enhancer(file)


@torch.no_grad()
def test_tiles_of_a_network_equal_the_whole_photo_up_to_its_receptive_field(spandrel, saved: Saved) -> None:
    file, y = saved("grey DnCNN"), photo(300, 100, channels=1)  # DnCNN with 8 layers sees 8 pixels
    whole = rk.enhance(y, weights=file, precision="float32", tile=512)
    torch.testing.assert_close(rk.enhance(y, weights=file, precision="float32", tile=256), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "level"), [("DRUNet", 50), ("FDnCNN", 75)])
def test_denoisers_with_a_noise_level_are_gaussian_priors(
    spandrel, build, saved: Saved, name: str, level: float
) -> None:
    prior, net = rk.load_prior(f"spandrel:{saved(name)}"), build(name)
    assert not prior.info.blind
    assert prior.info.sigma_max == pytest.approx(2 * level / 255)
    x = torch.cat([photo(32, 40), photo(32, 40).flip(-1)])
    levels = torch.tensor([0.1, 0.3])
    with torch.no_grad():
        maps = (levels / 2).reshape(-1, 1, 1, 1).expand(2, 1, 32, 40)
        expected = 2 * net(torch.cat([(x + 1) / 2, maps], 1)) - 1
        torch.testing.assert_close(prior(x, levels), expected)
    check_prior(prior, trained=False)


@pytest.mark.parametrize("name", ["SCUNet", "grey DnCNN"])
def test_denoisers_without_a_noise_level_are_blind_priors(spandrel, saved: Saved, name: str) -> None:
    prior = rk.load_prior(f"spandrel:{saved(name)}")
    assert prior.info.blind
    assert prior.info.channels == (1 if name == "grey DnCNN" else 3)
    check_prior(prior, trained=False)


def test_priors_denoise_and_solve(spandrel, saved: Saved, tmp_path: Path) -> None:
    weights = f"spandrel:{saved('DRUNet')}"
    assert rk.denoise(photo(24, 30), weights, sigma=25).shape == (1, 3, 24, 30)
    hole = mask(24, 30, (8, 12, 8, 12))
    result = rk.inpaint(photo(24, 30), weights, mask=hole, mode="mean", steps=2)
    known = hole.expand(1, 3, -1, -1) == 0
    assert torch.equal(result[known], photo(24, 30)[known])


@torch.no_grad()
def test_fill_is_that_of_spandrel_and_keeps_known_pixels(spandrel, small_lama, saved: Saved) -> None:
    file, y, hole = saved("LaMa"), photo(40, 52), mask(40, 52, (10, 20, 10, 30))
    descriptor = spandrel.ModelLoader().load_from_file(file)
    descriptor.eval()
    expected = 2 * descriptor((y + 1) / 2, hole) - 1
    result = rk.fill(y, mask=hole, weights=file, precision="float32")
    known = hole.expand_as(y) == 0
    assert torch.equal(result[known], y[known])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    check_recipe(rs.fill, weights=file)


def test_the_content_of_a_hole_does_not_matter(spandrel, small_lama, saved: Saved) -> None:
    file, y, hole = saved("LaMa"), photo(40, 52), mask(40, 52, (10, 20, 10, 30))
    other = torch.where(hole > 0, 1.0, y)
    results = [rk.fill(image, mask=hole, weights=file) for image in (y, other)]
    assert torch.equal(*results)


class Noting(torch.nn.Module):
    """An inpainting network that returns 0.5 in holes and notes what it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.info = rk.NetworkInfo(3, tiles="never", receives_mask=True)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return torch.where(x[:, 3:] > 0, 0.5, x[:, :3])


def test_parts_of_a_hole_are_filled_in_squares_around_them() -> None:
    network, hole = Noting(), mask(900, 1200, (0, 8, 0, 10), (400, 830, 100, 800), (890, 900, 1190, 1200))
    y = torch.linspace(-1, 1, 900 * 1200).reshape(1, 1, 900, 1200).expand(1, 3, -1, -1)
    result = rk.fill(y, mask=hole, weights=network)
    assert torch.equal(result[hole.expand_as(y) == 0], y[hole.expand_as(y) == 0])
    for inside in (hole[..., :400, :], mask(900, 1200, (404, 826, 104, 796)), mask(900, 1200, (890, 900, 1190, 1200))):
        values = result[..., : inside.shape[2], :][inside.expand(1, 3, -1, -1) > 0]
        torch.testing.assert_close(values, torch.full_like(values, 0.5), rtol=0, atol=1e-6)
    sizes = [tuple(x.shape[2:]) for x in network.seen]
    assert sizes == [(512, 512), (768, 1024), (512, 512)], "a square of 1200 x 900 is downsampled to 1024"
    network.seen.clear()
    rk.fill(y, mask=hole, weights=network, tile=256)
    assert max(max(x.shape[2:]) for x in network.seen) == 256


def test_parts_that_are_filled_are_known_to_the_next_ones() -> None:
    network, hole = Noting(), mask(60, 400, (10, 20, 10, 20), (10, 20, 300, 330))
    rk.fill(photo(60, 50).repeat(1, 1, 1, 8), mask=hole, weights=network)
    assert [int(x[:, 3].sum()) for x in network.seen] == [400, 300]
    assert (network.seen[1][:, :3, 10:20, 10:20] == 0.5).all()


def test_an_empty_mask_leaves_the_photo_unchanged() -> None:
    network, y = Noting(), photo(16, 20)
    with pytest.warns(rk.RestorekitWarning, match="the mask is empty; image unchanged"):
        assert torch.equal(rk.fill(y, mask=mask(16, 20), weights=network), y)
    assert not network.seen
    assert (rk.fill(y, mask=torch.ones(1, 1, 16, 20), weights=network) == 0.5).all()


def test_commands_keep_bits_alpha_grey_and_metadata(spandrel, saved: Saved, tmp_path: Path) -> None:
    file, folder = saved("SwinIR x2"), tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 24, 4), dtype=np.uint8)).save(folder / "alpha.png", dpi=(300, 300))
    Image.fromarray(rng.integers(0, 65536, (20, 24), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(rng.integers(0, 256, (20, 24), dtype=np.uint8)).save(folder / "grey.jpg")
    code, out, err = run_command("enhance", folder, "--weights", file, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.startswith("enhance: 3 restored")
    found = {}
    for path in sorted((tmp_path / "out").glob("*.*g")):
        with Image.open(path) as image:
            found[path.name] = image.size, image.mode
            assert path.name != "alpha.png" or image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert found == {"alpha.png": ((48, 40), "RGBA"), "deep.png": ((48, 40), "I;16"), "grey.jpg": ((48, 40), "L")}
    assert "3 skipped" in run_command("enhance", folder, "--weights", file, "-o", tmp_path / "out")[1]


@pytest.mark.filterwarnings("error")
def test_warnings_about_the_code_of_networks_are_not_shown(spandrel, saved: Saved) -> None:
    with warnings.catch_warnings(action="ignore"):
        file = saved("SwinIR")
    rk.enhance(photo(16, 16), weights=file)


def test_discouraged_tiles_are_reported(spandrel, saved: Saved, tmp_path: Path) -> None:
    file = saved("SCUNet")
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(tmp_path / "a.png")
    code, _, err = run_command("enhance", tmp_path / "a.png", "--weights", file, "--tile", 64)
    assert code == 0
    assert "evaluated in tiles of 64 pixels, which are discouraged for SCUNet" in err
