"""deepinv's denoisers as priors, with random weights: both toolkits return the same for one network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import restorekit_deepinv as rd
import torch
from skimage.restoration import denoise_tv_chambolle

import restorekit as rk
from restorekit.plugins.discovery import plugin_named
from restorekit.testing import check_prior, check_solver, photo, run_command


def test_plugin_is_registered() -> None:
    plugin = plugin_named("deepinv")
    assert plugin.error is None
    assert ([f.name for f in plugin.priors], [s.name for s in plugin.solvers]) == (["deepinv"], ["tv"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drunett@a.pth", "unknown denoiser 'drunett'. Did you mean 'drunet'"),
        ("", "unknown denoiser ''. Allowed: drunet, ffdnet, gsdrunet"),
    ],
)
def test_unknown_denoiser_lists_the_valid_ones(text: str, message: str) -> None:
    with pytest.raises(rk.ModelError, match=message):
        rk.load_prior(f"deepinv:{text}")


def test_missing_deepinv_names_the_package_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "deepinv", None)
    monkeypatch.setitem(sys.modules, "deepinv.models", None)
    with pytest.raises(rk.ModelError, match=r"deepinv\S* is not installed; pip install restorekit-deepinv"):
        rk.load_prior("deepinv:drunet@weights.pth")


@pytest.fixture(scope="module")
def models():
    """The module deepinv.models; tests that need it are skipped if it is not installed."""
    return pytest.importorskip("deepinv.models")


def small_network(models, name: str, channels: int = 3) -> torch.nn.Module:
    """Return a small network with random weights."""
    torch.manual_seed(0)
    sizes = {"in_channels": channels, "out_channels": channels, "nc": (8, 8, 12, 16), "pretrained": None}
    if name == "drunet":
        return models.DRUNet(**sizes, nb=2).eval()
    if name == "gsdrunet":
        return models.GSDRUNet(**sizes, nb=1).eval()
    return models.FFDNet(n_conv_layers=4, nf=8, img_channels=channels, pretrained=None).eval()


@pytest.fixture
def saved(models, tmp_path: Path):
    """Return a function that saves the weights of a network; it returns (network, file)."""

    def call(name: str, channels: int = 3, **wrapped: object) -> tuple[torch.nn.Module, Path]:
        net = small_network(models, name, channels)
        weights = net.state_dict()
        torch.save({"state_dict": weights, **wrapped} if wrapped else weights, tmp_path / "w.pth")
        return net, tmp_path / "w.pth"

    return call


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["drunet", "gsdrunet", "ffdnet"])
def test_loaded_prior_returns_the_same_as_the_network(saved, name: str, channels: int) -> None:
    net, file = saved(name, channels)
    prior = rk.load_prior(f"deepinv:{name}@{file}")
    assert isinstance(prior, rk.Denoiser)
    assert prior.info.channels == channels
    x, sigma = photo(32, 40, channels), torch.tensor([0.2])
    with torch.no_grad():
        expected = 2 * net((x + 1) / 2, sigma / 2) - 1
        torch.testing.assert_close(prior(x, sigma), expected)
    check_prior(prior, trained=False)


def test_checkpoints_of_deepinvs_trainer_are_accepted(saved) -> None:
    net, file = saved("drunet", epoch=3, loss=[0.5])
    prior = rk.load_prior(f"deepinv:drunet@{file}")
    for name, value in net.state_dict().items():
        torch.testing.assert_close(prior.net.state_dict()[name], value)


def test_sigma_is_in_the_unit_of_the_image(models) -> None:
    """A network that returns u - s gives x - sigma: 2 (u - s) - 1 with u = (x + 1) / 2 and s = sigma / 2."""

    class Subtracts(torch.nn.Module):
        def forward(self, u: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
            return u - s.reshape(-1, 1, 1, 1)

    prior = rd.prior_of(Subtracts(), channels=3, sigma_max=1.0)
    x = photo(7, 9).repeat(2, 1, 1, 1)
    expected = x - torch.tensor([0.1, 0.3]).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(prior(x, torch.tensor([0.1, 0.3])), expected)
    assert rd.KINDS["drunet"].sigma_max * 2 / 255 == pytest.approx(0.392, abs=1e-3)


def test_command_line_denoises_a_file(saved, tmp_path: Path) -> None:
    from PIL import Image

    _, file = saved("ffdnet")
    Image.fromarray(((photo(30, 33)[0].permute(1, 2, 0) + 1) * 127.5).byte().numpy()).save(tmp_path / "a.png")
    options = ("--model", f"deepinv:ffdnet@{file}", "--sigma", 25, "-o", tmp_path / "b.png")
    code, _, err = run_command("denoise", tmp_path / "a.png", *options)
    assert code == 0, err
    with Image.open(tmp_path / "b.png") as result:
        assert result.size == (33, 30)


def test_invalid_files_are_reported(saved, models, tmp_path: Path) -> None:
    _, file = saved("ffdnet")
    with pytest.raises(rk.ModelError, match="the weights are not those of drunet"):
        rk.load_prior(f"deepinv:drunet@{file}")
    with pytest.raises(rk.ModelError, match=r"nowhere\.pth: no such file"):
        rk.load_prior("deepinv:drunet@nowhere.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(rk.ModelError, match=r"text\.pth: not a weights file"):
        rk.load_prior(f"deepinv:drunet@{tmp_path / 'text.pth'}")


def test_failed_download_is_reported_in_one_line(models, monkeypatch) -> None:
    from deepinv.utils import DownloadError

    def refuse(*args: object, **options: object) -> None:
        raise DownloadError("no\nnetwork")

    monkeypatch.setattr("deepinv.models.drunet.load_state_dict_from_url", refuse)
    with pytest.raises(rk.ModelError, match=r"deepinv:drunet: no network; deepinv:drunet@FILE.pth takes a file"):
        rk.load_prior("deepinv:drunet")


def test_total_variation_passes_the_checks_of_solvers(models) -> None:
    check_solver(plugin_named("deepinv").solvers[0])


def test_total_variation_agrees_with_scikit_image(models) -> None:
    sigma = 0.2
    y = photo(40, 44)
    y = y + sigma * rk.ImageNoise([0]).like(y)
    found = rd.solve_tv(None, rk.Identity(), y, sigma, None, steps=30)  # type: ignore[arg-type]
    channels = [c.double().numpy() for c in y[0]]
    expected = [denoise_tv_chambolle(c, 0.8 * sigma, eps=1e-7, max_num_iter=1000) for c in channels]
    torch.testing.assert_close(
        found[0].double(), torch.stack([torch.from_numpy(c) for c in expected]), rtol=0, atol=0.02
    )


def test_total_variation_reduces_the_error_in_a_hole(models) -> None:
    x = photo(48, 48)
    known = torch.ones(1, 1, 48, 48, dtype=torch.bool)
    known[..., 20:28, 20:28] = False
    operator = rk.Masking(known)
    found = rd.solve_tv(None, operator, operator.forward(x), 0.0, None, steps=100)  # type: ignore[arg-type]
    hole = ~known.expand_as(x)
    assert (found - x)[hole].square().mean() < 0.2 * x[hole].square().mean()
