"""Networks for images of any size and number of channels."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.core.network import ImageNetwork, NetworkInfo
from restorekit.errors import ModelError, RestorekitWarning
from restorekit.priors.network import NetworkDenoiser, TiledNetwork


class Convolutions(nn.Module):
    """A network that sees `radius` pixels around a pixel; with scale 2 it enlarges."""

    def __init__(self, radius: int, channels: int = 3, scale: int = 1, **facts: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        inputs = channels + facts.get("receives_mask", False)
        self.first = nn.Conv2d(inputs, 8, 2 * radius + 1, padding=radius, padding_mode="reflect")
        self.last = nn.Conv2d(8, channels * scale**2, 1)
        self.info = NetworkInfo(channels, scale, name="Convolutions", **facts)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        return F.pixel_shuffle(self.last(self.first(x).relu()), self.info.scale)


def tiled(network: ImageNetwork, tile: int | None = None, **options: Any) -> TiledNetwork:
    return TiledNetwork(NetworkDenoiser(network), network.info, tile, **options)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("size", [(300, 70), (120, 371), (256, 256)])
@torch.no_grad()
def test_tiles_equal_the_whole_image_for_a_network_that_sees_few_pixels(scale: int, size: tuple[int, int]) -> None:
    network, x = Convolutions(12, scale=scale), random(2, 3, *size)
    whole = network(x)
    network.seen.clear()
    result = tiled(network, 256)(x)
    assert len(network.seen) == 2 * (2 if max(size) > 256 else 1) or network.seen == [tuple(x.shape)]
    assert max(max(shape[-2:]) for shape in network.seen) <= 256
    torch.testing.assert_close(result, whole, rtol=0, atol=2e-5)


@torch.no_grad()
def test_tiles_have_no_seams_for_a_network_that_sees_more_pixels() -> None:
    class Flat(Convolutions):
        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(tuple(x.shape))
            return torch.full((len(x), 3, 2 * x.shape[2], 2 * x.shape[3]), float(len(self.seen) % 2))

    result = tiled(Flat(0, scale=2), 64)(torch.zeros(1, 3, 64, 200))
    assert {float(result.min()), float(result.max())} == {0.0, 1.0}
    assert result.diff(dim=-1).abs().max() < 0.1


@torch.no_grad()
def test_sides_of_tiles_are_multiples_of_those_of_the_network() -> None:
    network = Convolutions(1, multiple=32)
    tiled(network, 128)(random(1, 3, 150, 300))
    assert all(shape[2] % 32 == 0 and shape[3] % 32 == 0 for shape in network.seen)
    network = Convolutions(1, multiple=24)
    tiled(network, 128)(random(1, 3, 130, 20))
    assert {shape[2] for shape in network.seen} == {88}, "a tile that is no multiple is padded by the network"


@pytest.mark.parametrize(("tiles", "window"), [("allowed", 512), ("discouraged", 1024), ("never", None)])
def test_default_size_of_tiles(tiles: Any, window: int | None) -> None:
    network = Convolutions(0, tiles=tiles)
    assert tiled(network).window == window
    assert tiled(network, 48).window == 48


@pytest.mark.parametrize("tiles", ["allowed", "discouraged", "never"])
@torch.no_grad()
def test_a_note_reports_tiles_that_are_discouraged(tiles: Any) -> None:
    network = Convolutions(0, tiles=tiles)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        tiled(network, 64)(random(1, 3, 64, 64))
        tiled(network)(random(1, 3, 20, 600))
        assert not found
        tiled(network, 64)(random(1, 3, 64, 65))
    assert len(found) == (tiles != "allowed")
    for warning in found:
        assert warning.category is RestorekitWarning
        assert str(warning.message).startswith(
            "evaluated in tiles of 64 pixels, which are discouraged for Convolutions"
        )


@torch.no_grad()
def test_grey_images_through_a_colour_network() -> None:
    network, x = Convolutions(2, scale=2), random(2, 1, 20, 30)
    expected = network(x.expand(-1, 3, -1, -1)).mean(1, keepdim=True)
    torch.testing.assert_close(tiled(network)(x), expected)


@torch.no_grad()
def test_colour_images_through_a_grey_network() -> None:
    network, x = Convolutions(2, channels=1, scale=2), random(2, 3, 20, 30)
    expected = torch.cat([network(x[:, i : i + 1]) for i in range(3)], 1)
    torch.testing.assert_close(tiled(network)(x), expected)


@pytest.mark.parametrize(("channels", "inputs"), [(3, 3), (3, 1), (1, 3)])
@torch.no_grad()
def test_masks_are_the_last_channel(channels: int, inputs: int) -> None:
    network, x = Convolutions(2, channels=channels, receives_mask=True), random(2, inputs, 20, 30)
    mask = (random(2, 1, 20, 30) > 0).float()
    result = tiled(network)(x, mask)
    assert result.shape == x.shape
    for i in range(2):
        images = [x[i : i + 1, c : c + 1] for c in range(inputs)] if channels < inputs else [x[i : i + 1]]
        parts = [network(torch.cat([j.expand(-1, channels, -1, -1), mask[i : i + 1]], 1)) for j in images]
        expected = torch.cat(parts, 1)
        expected = expected.mean(1, keepdim=True) if inputs < channels else expected
        torch.testing.assert_close(result[i : i + 1], expected)
    one = tiled(network)(x, mask[:1])
    torch.testing.assert_close(one[1:], tiled(network)(x[1:], mask[:1]))


def test_masks_for_other_networks_are_refused() -> None:
    x, mask = random(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    with pytest.raises(ModelError, match="Convolutions receives no mask"):
        tiled(Convolutions(0))(x, mask)
    with pytest.raises(ModelError, match="Convolutions receives a mask"):
        tiled(Convolutions(0, receives_mask=True))(x)


@torch.no_grad()
def test_windows_are_reported_and_evaluated_in_batches() -> None:
    reports: list[tuple[int, int]] = []
    network = Convolutions(0)
    fast = tiled(network, 64, batch=lambda side: 2 if side == 64 else 0)
    fast.reporting(lambda done, total: reports.append((done, total)))(random(1, 3, 64, 150))
    assert reports == [(2, 3), (3, 3)] or reports == [(2, 4), (4, 4)]
    assert network.seen[0][0] == 2
    fast(random(1, 3, 64, 150))
    assert len(reports) == 2, "the original is unchanged"
