from __future__ import annotations

import pytest
import torch

from restorekit.nets.noise_estimator import LARGEST, SMALLEST, NoiseEstimator


def photos() -> torch.Tensor:
    return torch.rand(3, 3, 17, 22, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("bias", "limit"), [(-50.0, SMALLEST), (50.0, LARGEST)])
def test_estimates_are_limited(bias: float, limit: float) -> None:
    estimator = NoiseEstimator(3, 8)
    torch.nn.init.constant_(estimator.layers[-1].bias, bias)
    torch.testing.assert_close(estimator(photos()), torch.full((3,), limit))


def test_estimate_does_not_depend_on_brightness() -> None:
    estimator = NoiseEstimator(3, 8)
    torch.testing.assert_close(estimator(photos() - 0.5), estimator(photos()))


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (5, 2)])
def test_images_of_any_size_have_an_estimate(size: tuple[int, int]) -> None:
    assert SMALLEST <= NoiseEstimator(3, 8)(torch.rand(1, 3, *size)).item() <= LARGEST


def test_estimate_is_float32_under_autocast() -> None:
    estimator = NoiseEstimator(3, 8)
    expected = estimator(photos())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = estimator(photos())
    assert torch.equal(found, expected)
    assert len(expected.unique()) == 3
