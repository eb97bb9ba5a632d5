from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.training import correlated_noise as module
from restorekit.training.correlated_noise import correlated_noise

COUNT, SIDE = 64, 48


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey_photos(value: float = 0.5) -> Tensor:
    return torch.full((COUNT, 3, SIDE, SIDE), value)


def neighbour_correlation(noise: Tensor) -> Tensor:
    """Correlation of horizontal neighbours of the luma of each photo, (N,)."""
    luma = noise.mean(1)
    return (luma[..., 1:] * luma[..., :-1]).mean((1, 2)) / luma.square().mean((1, 2))


def test_root_mean_square_is_sigma() -> None:
    sigma = torch.linspace(0.005, 0.1, COUNT)
    ramp = torch.linspace(0, 1, SIDE).expand(COUNT, 3, SIDE, SIDE)
    noise = correlated_noise(ramp, sigma, seeded())
    torch.testing.assert_close(noise.square().mean((1, 2, 3)).sqrt(), sigma)
    assert torch.equal(noise, correlated_noise(ramp, sigma, seeded()))
    assert noise.dtype == torch.float32


def test_correlation_of_pixels_and_channels_varies() -> None:
    noise = correlated_noise(grey_photos(), torch.full((COUNT,), 0.02), seeded())
    spatial = neighbour_correlation(noise)
    assert spatial.min() < 0.1
    assert spatial.max() > 0.8
    red, green = noise[:, 0].flatten(1), noise[:, 1].flatten(1)
    channels = (red * green).mean(1) / (red.square().mean(1) * green.square().mean(1)).sqrt()
    assert channels.min() < 0.4
    assert channels.max() > 0.9


def test_without_blur_pixels_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLURRED_SHARE", 0.0)
    noise = correlated_noise(grey_photos(), torch.full((COUNT,), 0.02), seeded())
    assert neighbour_correlation(noise).abs().max() < 0.1


def test_noise_is_stronger_in_the_dark_midtones_on_average() -> None:
    ramp = torch.linspace(0, 1, SIDE).expand(COUNT, 3, SIDE, SIDE)
    noise = correlated_noise(ramp, torch.full((COUNT,), 0.02), seeded())
    by_brightness = noise.square().mean((0, 1, 2)).reshape(6, -1).mean(1).sqrt()
    assert by_brightness.argmax() in (1, 2)
    assert by_brightness[-1] < 0.6 * by_brightness.max()
