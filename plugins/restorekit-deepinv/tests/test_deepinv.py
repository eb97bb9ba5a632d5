"""deepinv's denoisers through restorekit, with random weights: two toolkits agree on one network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import restorekit_deepinv as rd
import torch
from skimage.restoration import denoise_tv_chambolle

import restorekit as rk
from restorekit.plugins import plugin_named
from restorekit.testing import check_prior, check_solver, photo


def test_the_plugin_is_registered() -> None:
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
def test_an_unknown_denoiser_names_the_near_ones(text: str, message: str) -> None:
    with pytest.raises(rk.ModelError, match=message):
        rk.load_prior(f"deepinv:{text}")


def test_without_deepinv_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "deepinv", None)
    monkeypatch.setitem(sys.modules, "deepinv.models", None)
    with pytest.raises(rk.ModelError, match=r"deepinv\S* is not installed; pip install restorekit-deepinv"):
        rk.load_prior("deepinv:drunet@weights.pth")


@pytest.fixture(scope="module")
def models():
    """deepinv's networks; the tests that need them are left out where it is not installed."""
    return pytest.importorskip("deepinv.models")


def made(models, name: str, channels: int = 3) -> torch.nn.Module:
    """A small network with random weights."""
    torch.manual_seed(0)
    sizes = {"in_channels": channels, "out_channels": channels, "nc": (8, 8, 12, 16), "pretrained": None}
    if name == "drunet":
        return models.DRUNet(**sizes, nb=2).eval()
    if name == "gsdrunet":
        return models.GSDRUNet(**sizes, nb=1).eval()
    return models.FFDNet(n_conv_layers=4, nf=8, img_channels=channels, pretrained=None).eval()


@pytest.fixture
def saved(models, tmp_path: Path):
    """A network and a file of its weights: (network, file)."""

    def call(name: str, channels: int = 3, **wrapped: object) -> tuple[torch.nn.Module, Path]:
        net = made(models, name, channels)
        weights = net.state_dict()
        torch.save({"state_dict": weights, **wrapped} if wrapped else weights, tmp_path / "w.pth")
        return net, tmp_path / "w.pth"

    return call


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["drunet", "gsdrunet", "ffdnet"])
def test_a_file_becomes_the_same_network_in_our_unit(saved, name: str, channels: int) -> None:
    net, file = saved(name, channels)
    prior = rk.load_prior(f"deepinv:{name}@{file}")
    assert isinstance(prior, rk.Denoiser)
    assert prior.channels == channels
    x, sigma = photo(32, 40, channels), torch.tensor([0.2])
    with torch.no_grad():
        wanted = 2 * net((x + 1) / 2, sigma / 2) - 1
        torch.testing.assert_close(prior(x, sigma), wanted)
    check_prior(prior, trained=False)


def test_a_checkpoint_of_deepinvs_trainer_is_a_file_as_well(saved) -> None:
    net, file = saved("drunet", epoch=3, loss=[0.5])
    prior = rk.load_prior(f"deepinv:drunet@{file}")
    for name, value in net.state_dict().items():
        torch.testing.assert_close(prior.net.state_dict()[name], value)


def test_sigma_is_in_the_unit_of_the_image(models) -> None:
    """One that is told sigma subtracts it: 2 (u - s) - 1 with u = (x + 1) / 2, s = sigma / 2 is x - sigma."""

    class Subtracts(torch.nn.Module):
        def forward(self, u: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
            return u - s.reshape(-1, 1, 1, 1)

    prior = rd.prior_of(Subtracts(), channels=3, sigma_max=1.0)
    x = photo(7, 9).repeat(2, 1, 1, 1)
    wanted = x - torch.tensor([0.1, 0.3]).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(prior(x, torch.tensor([0.1, 0.3])), wanted)
    assert rd.KINDS["drunet"].sigma_max * 2 / 255 == pytest.approx(0.392, abs=1e-3)


def test_it_denoises_a_file_from_the_command_line(saved, tmp_path: Path, monkeypatch) -> None:
    from PIL import Image

    from restorekit import cli

    _, file = saved("ffdnet")
    Image.fromarray(((photo(30, 33)[0].permute(1, 2, 0) + 1) * 127.5).byte().numpy()).save(tmp_path / "a.png")
    words = [
        "denoise",
        tmp_path / "a.png",
        "--model",
        f"deepinv:ffdnet@{file}",
        "--sigma",
        25,
        "-o",
        tmp_path / "b.png",
    ]
    monkeypatch.setattr("sys.argv", ["restorekit", *map(str, words), "--sigma", "25"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    with Image.open(tmp_path / "b.png") as back:
        assert back.size == (33, 30)


def test_wrong_files_are_named(saved, models, tmp_path: Path) -> None:
    _, file = saved("ffdnet")
    with pytest.raises(rk.ModelError, match="the weights are not those of drunet"):
        rk.load_prior(f"deepinv:drunet@{file}")
    with pytest.raises(rk.ModelError, match=r"nowhere\.pth: there is no such file"):
        rk.load_prior("deepinv:drunet@nowhere.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(rk.ModelError, match=r"text\.pth: not a file of weights"):
        rk.load_prior(f"deepinv:drunet@{tmp_path / 'text.pth'}")


def test_a_download_that_fails_is_one_line(models, monkeypatch) -> None:
    from deepinv.utils import DownloadError

    def refuse(*args: object, **options: object) -> None:
        raise DownloadError("no\nnetwork")

    monkeypatch.setattr("deepinv.models.drunet.load_state_dict_from_url", refuse)
    with pytest.raises(rk.ModelError, match=r"deepinv:drunet: no network; deepinv:drunet@FILE.pth takes a file"):
        rk.load_prior("deepinv:drunet")


def test_total_variation_is_a_solver(models) -> None:
    check_solver(plugin_named("deepinv").solvers[0])


def test_total_variation_agrees_with_scikit_image(models) -> None:
    sigma = 0.2
    y = photo(40, 44)
    y = y + sigma * rk.ImageNoise([0]).like(y)
    found = rd.solve_tv(None, rk.Identity(), y, sigma, None, steps=30)  # type: ignore[arg-type]
    wanted = [denoise_tv_chambolle(c.double().numpy(), 0.8 * sigma, eps=1e-7, max_num_iter=1000) for c in y[0]]
    torch.testing.assert_close(found[0].double(), torch.stack([torch.from_numpy(c) for c in wanted]), rtol=0, atol=0.02)


def test_total_variation_fills_a_hole_better_than_nothing(models) -> None:
    x = photo(48, 48)
    known = torch.ones(1, 1, 48, 48, dtype=torch.bool)
    known[..., 20:28, 20:28] = False
    operator = rk.Masking(known)
    found = rd.solve_tv(None, operator, operator.forward(x), 0.0, None, steps=100)  # type: ignore[arg-type]
    hole = ~known.expand_as(x)
    assert (found - x)[hole].square().mean() < 0.2 * x[hole].square().mean()
