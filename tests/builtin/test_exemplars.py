"""Texture that is copied from the photo into wide holes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.builtin.exemplars import MIN_PATCHES, copy_texture, has_exemplars
from restorekit.builtin.holes import downsample
from restorekit.builtin.patch_match import MAX_SHIFT, SIDE, PatchMatches, known_patches
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.errors import RestorekitWarning
from restorekit.testing import GaussianPrior
from tests.builtin.test_inpaint import box, run

PERIOD = 16


def pattern(height: int, width: int, seed: int = 0) -> Tensor:
    """A periodic image (1, 3, H, W) of random smooth tiles in [-0.8, 0.8]."""
    tile = torch.rand(1, 3, PERIOD, PERIOD, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
    rows, columns = (torch.arange(side) % PERIOD for side in (height, width))
    return tile[..., rows, :][..., columns]


def noise(seed: int = 0) -> ImageNoise:
    return ImageNoise([seed])


def unknown_as(value: float, y: Tensor, hole: Tensor) -> Tensor:
    return y.masked_fill(hole, value)


def test_periodic_pattern_is_continued_exactly() -> None:
    y, hole = pattern(128, 112), box(128, 40, 80)[..., :112]
    small, small_hole = downsample(y, hole, (64, 56))
    coarse = small.masked_fill(small_hole, 0.0)
    result = copy_texture(unknown_as(1.0, y, hole), hole, coarse, [(64, 56), (128, 112)], noise())
    assert (result - y).abs().max() < 0.05


def test_change_of_brightness_is_followed() -> None:
    """The hole is lighter than all other places: patches that are only copied are too dark by 0.06 on average."""
    distance = (torch.arange(128) - 63.5).square()
    bump = 0.2 * (-(distance[:, None] + distance) / (2 * 25**2)).exp()
    y, hole = 0.5 * pattern(128, 128) + bump, box(128, 52, 76)
    coarse = downsample(y, hole & False, (64, 64))[0]
    result = copy_texture(unknown_as(-1.0, y, hole), hole, coarse, [(64, 64), (128, 128)], noise())
    error = (result - y)[hole.expand_as(y)]
    assert error.mean().abs() < 0.03
    assert torch.equal(result[~hole.expand_as(y)], y[~hole.expand_as(y)])


def test_known_patches_contain_no_pixel_of_the_hole() -> None:
    hole = box(20, 8, 12)
    known = known_patches(hole)
    overlaps = F.conv2d(hole.float(), torch.ones(1, 1, SIDE, SIDE), padding=SIDE // 2) > 0
    inside = torch.zeros_like(hole)
    inside[..., 3:-3, 3:-3] = True
    assert torch.equal(known, inside & ~overlaps)
    assert not known_patches(box(6, 2, 3)).any(), "an image that is smaller than a patch"


def brute_force(image: Tensor, hole: Tensor) -> Tensor:
    """Squared distances of the best matches, with the change of brightness that PatchMatches allows."""
    padded = F.pad(image, (SIDE // 2,) * 4, mode="reflect")
    patches = F.unfold(padded, SIDE)[0].T.reshape(-1, image.shape[1], SIDE**2)
    overlapping = (F.max_pool2d(hole.float(), SIDE, 1, SIDE // 2) > 0).flatten()
    targets, sources = patches[overlapping], patches[known_patches(hole).flatten()]
    best = []
    for target in targets:
        difference = target - sources
        mean = difference.mean(-1)
        shift = mean.clamp(-MAX_SHIFT, MAX_SHIFT)
        distances = (difference - shift[..., None]).square().sum((1, 2)) + 0.5 * SIDE**2 * shift.square().sum(1)
        best.append(distances.min())
    return torch.stack(best)


def test_matches_are_almost_those_of_an_exhaustive_search() -> None:
    smooth = F.interpolate(
        torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1)), (48, 48), mode="bicubic"
    )
    hole = box(48, 18, 30)
    matches = PatchMatches(smooth, hole, 3)
    matches.start_at_random(noise())
    before = matches.distances.mean()
    for _ in range(8):
        matches.improve(noise(2))
    best = brute_force(smooth, hole)
    assert (matches.distances >= best - 1e-3).all()
    assert matches.distances.mean() < best.mean() + 0.05 * (before - best.mean())


def test_wide_hole_has_the_texture_of_the_photo() -> None:
    """The prior knows nothing of the pattern."""
    y, hole = pattern(160, 160), box(160, 60, 100)
    prior = GaussianPrior(0.0, 0.3)
    errors = {
        texture: (run(prior, y, hole, texture=texture, steps=4) - y)[hole.expand_as(y)].abs().mean()
        for texture in ("auto", "photo", "prior")
    }
    assert errors["auto"] == errors["photo"] < 0.1
    assert errors["prior"] > 0.3


def test_narrow_parts_are_filled_like_a_narrow_hole() -> None:
    y, wide, narrow = pattern(192, 192), box(192, 40, 80), box(192, 140, 148)
    prior = GaussianPrior(0.0, 0.3)
    result = run(prior, y, wide | narrow, steps=4)
    selected = narrow.expand_as(y)
    assert torch.equal(result[selected], run(prior, y, narrow, mode="mean", steps=4)[selected])


def test_too_little_known_leaves_the_hole_to_the_prior() -> None:
    y, hole = pattern(64, 64), torch.ones(1, 1, 64, 64, dtype=torch.bool)
    hole[..., :8, :8] = False
    assert not has_exemplars(hole)
    prior = GaussianPrior(0.0, 0.3)
    expected = run(prior, y, hole, texture="prior", mode="sample", steps=3)
    assert torch.equal(run(prior, y, hole, mode="sample", steps=3), expected)
    with pytest.warns(RestorekitWarning, match="texture photo: too little of the photo is known"):
        assert torch.equal(run(prior, y, hole, texture="photo", mode="sample", steps=3), expected)
    hole[..., : SIDE + 7, : SIDE + 7] = False
    assert int(known_patches(hole).sum()) == MIN_PATCHES
    assert has_exemplars(hole)


def test_samples_differ_by_seed_and_not_by_batch() -> None:
    y = torch.cat([pattern(96, 96), 0.6 * torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(3))])
    hole, prior = box(96, 36, 60), GaussianPrior(0.0, 0.3)
    both = run(prior, y, hole, steps=3, seeds=[4, 5])
    torch.testing.assert_close(both[1:], run(prior, y[1:], hole, steps=3, seeds=[5]), rtol=0, atol=1e-6)
    assert not torch.equal(both[1:], run(prior, y[1:], hole, steps=3, seeds=[6]))


def test_priors_of_large_windows_and_langevin_dynamics_sample_texture_unless_asked() -> None:
    y, hole = pattern(192, 192), box(192, 76, 116)
    levels = tuple(geometric_ladder(2, 0.02, 5)[:-1].tolist())
    for prior in (
        GaussianPrior(0.0, 0.3, size=128),
        GaussianPrior(0.0, 0.3, levels=levels, sigma_min=0.02, sigma_max=2.0),
    ):
        options = {"mode": "sample", "steps": 2, "inner_steps": 1}
        assert torch.equal(run(prior, y, hole, **options), run(prior, y, hole, texture="prior", **options))
        copied = run(prior, y, hole, texture="photo", **options)
        assert (copied - y)[hole.expand_as(y)].abs().mean() < 0.2
