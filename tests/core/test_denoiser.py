from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch

from restorekit.core.denoiser import PriorInfo, denoise_at, denoise_at_with_variance, per_image
from restorekit.errors import OptionError
from restorekit.testing import GaussianPrior


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 0}, "channels is 0, allowed: 1 or more"),
        ({"sigma_min": 0.0}, "found sigma_min 0.0, sigma_max 2.0; allowed: 0 < sigma_min <= sigma_max"),
        ({"sigma_max": 0.01}, "allowed: 0 < sigma_min <= sigma_max"),
        ({"levels": (0.1, 2.0)}, "levels is .*, allowed: positive numbers, decreasing, or None"),
        ({"levels": ()}, "levels is .*, allowed: positive numbers"),
        ({"levels": (2.0, 0.0)}, "levels is .*, allowed: positive numbers"),
        ({"supports_holes": True}, "supports_holes is true, but partial_noise is false"),
    ],
)
def test_invalid_facts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PriorInfo(**{"channels": 3, "size": None, "sigma_min": 0.1, "sigma_max": 2.0} | changes)


def test_prior_info_is_immutable() -> None:
    info = GaussianPrior().info
    with pytest.raises(FrozenInstanceError):
        info.size = 16  # type: ignore[misc]


def test_one_sigma_is_expanded_to_the_batch() -> None:
    prior, x = GaussianPrior(0.2, 0.3), torch.randn(3, 3, 4, 4)
    expected = prior(x, torch.full((3,), 0.5))
    assert torch.equal(denoise_at(prior, x, 0.5), expected)
    assert torch.equal(denoise_at(prior, x, torch.tensor(0.5, dtype=torch.float64)), expected)
    denoised, weight = denoise_at_with_variance(prior, x, 0.5)
    assert torch.equal(denoised, expected)
    assert weight is None


def test_values_per_image_are_broadcast_and_maps_keep_their_shape() -> None:
    x = torch.zeros(2, 3, 4, 4)
    assert per_image(torch.ones(2, dtype=torch.float64), x).shape == (2, 1, 1, 1)
    assert per_image(torch.ones(2, dtype=torch.float64), x).dtype == torch.float32
    assert per_image(torch.ones(2, 1, 4, 4), x).shape == (2, 1, 4, 4)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"channels": "3"}, "channels is '3', allowed: an integer"),
        ({"channels": True}, "channels is True, allowed: an integer"),
        ({"size": 64.0}, "size is 64.0, allowed: an integer or None"),
        ({"sigma_min": "low"}, "sigma_min is 'low', allowed: a number"),
        ({"sigma_max": None}, "sigma_max is None, allowed: a number"),
        ({"levels": [2.0, 1.0]}, r"levels is \[2.0, 1.0\], allowed: a tuple of numbers or None"),
        ({"classes": "sea"}, "classes is 'sea', allowed: a tuple of strings or None"),
        ({"no_label": 1.0}, "no_label is 1.0, allowed: an integer or None"),
        ({"blind": 1}, "blind is 1, allowed: true or false"),
    ],
)
def test_facts_of_a_wrong_type_are_refused(facts, message: str) -> None:
    valid = {"channels": 3, "size": None, "sigma_min": 0.1, "sigma_max": 2.0}
    with pytest.raises(TypeError, match=f"PriorInfo: {message}"):
        PriorInfo(**valid | facts)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), "0.1", None])
def test_sigmas_that_are_no_number_or_negative_are_refused(sigma) -> None:
    with pytest.raises(OptionError, match=r"^sigma: found .*, allowed: a number >= 0, or a tensor"):
        denoise_at(GaussianPrior(), torch.zeros(1, 3, 4, 4), sigma)
