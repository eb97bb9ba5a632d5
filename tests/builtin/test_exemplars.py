"""Texture that is copied from the photo into wide holes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.builtin.exemplars import TEXTURE_WEIGHT, copy_texture, has_exemplars
from restorekit.builtin.exemplars import _texture as texture_of
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


def test_texture_is_continued_from_a_smooth_estimate() -> None:
    """Both halves of the image have the mean 0; by colours alone, the hole in the rough one would become smooth."""
    y, hole = torch.zeros(1, 3, 160, 240), torch.zeros(1, 1, 160, 240, dtype=torch.bool)
    coarse_noise = torch.randn(1, 1, 80, 60, generator=torch.Generator().manual_seed(0))
    y[..., 120:] = 0.4 * F.interpolate(coarse_noise, (160, 120), mode="bilinear").clamp(-2, 2)
    hole[..., 64:96, 164:196] = True
    coarse = torch.zeros(1, 3, 80, 120)
    result = copy_texture(unknown_as(0.0, y, hole), hole, coarse, [(80, 120), (160, 240)], noise())
    assert result[..., 70:90, 170:190].std() > 0.5 * y[..., 120:].std()


def test_texture_is_the_mean_difference_of_known_neighbours() -> None:
    columns = torch.arange(32.0) % 2 * 0.1
    y, hole = columns.expand(1, 3, 32, 32).clone(), box(32, 20, 32)
    horizontal, vertical = texture_of(unknown_as(9.0, y, hole), hole, 1)[0] / TEXTURE_WEIGHT
    known = ~hole[0, 0]
    torch.testing.assert_close(horizontal[known], torch.full_like(horizontal[known], 0.1))
    torch.testing.assert_close(vertical[known], torch.zeros_like(vertical[known]))


def test_pixels_are_copied_in_the_last_step() -> None:
    """Every pixel of the hole is one of the four colours of the image, changed by at most `MAX_SHIFT`."""
    palette = torch.tensor([[-0.8, -0.8, 0.8], [0.8, -0.8, 0.0], [0.0, 0.8, -0.8], [0.7, 0.7, 0.7]])
    choice = torch.randint(4, (64, 64), generator=torch.Generator().manual_seed(2))
    y, hole = palette[choice].permute(2, 0, 1)[None], box(64, 24, 40)
    result = copy_texture(unknown_as(0.0, y, hole), hole, torch.zeros_like(y), [(64, 64)], noise())
    pixels = result[hole.expand_as(y)].reshape(3, -1).T
    nearest = (pixels[:, None] - palette).abs().amax(-1).amin(1)
    assert nearest.max() < MAX_SHIFT + 1e-4


def test_wide_hole_has_the_texture_of_the_photo() -> None:
    """The prior knows nothing of the pattern."""
    y, hole = pattern(160, 160), box(160, 60, 100)
    prior = GaussianPrior(0.0, 0.3)
    auto, photo, prior_only = (run(prior, y, hole, texture=t, steps=4) for t in ("auto", "photo", "prior"))
    sampled = run(prior, y, hole, mode="sample", steps=4)
    assert torch.equal(auto, photo)
    assert torch.equal(prior_only, sampled), "mode sample is a sample of the prior"
    assert (photo - y)[hole.expand_as(y)].abs().mean() < 0.03
    assert (sampled - y)[hole.expand_as(y)].abs().mean() > 0.3


def test_narrow_parts_are_filled_like_a_narrow_hole() -> None:
    """Also those that touch the grid by which parts are separated."""
    y, wide, narrow = pattern(192, 192), box(192, 40, 80), box(192, 144, 154)
    prior = GaussianPrior(0.0, 0.3)
    result = run(prior, y, wide | narrow, steps=4)
    selected = narrow.expand_as(y)
    assert torch.equal(result[selected], run(prior, y, narrow, mode="mean", steps=4)[selected])


def test_wide_part_within_the_extent_of_another_one_is_filled_too() -> None:
    y, hole = pattern(640, 640), torch.zeros(1, 1, 640, 640, dtype=torch.bool)
    hole[..., 20:40, 20:600] = True
    hole[..., 20:600, 20:40] = True
    hole[..., 400:430, 400:430] = True
    prior = GaussianPrior(0.0, 0.3)
    result = run(prior, y, hole, steps=1)
    assert len(prior.seen) == 2, "each part is sampled once, at its smallest size"
    assert (result - y)[hole.expand_as(y)].abs().mean() < 0.2


def test_distant_wide_parts_are_filled_in_turn_and_close_ones_together() -> None:
    y = pattern(448, 448)
    boxes = torch.zeros(1, 1, 448, 448, dtype=torch.bool)
    for row, column in ((40, 40), (40, 70), (70, 40), (380, 380)):
        boxes[..., row : row + 20, column : column + 20] = True
    prior = GaussianPrior(0.0, 0.3)
    result = run(prior, y, boxes, steps=2)
    assert len(prior.seen) == 2 * 2, "two groups, each in two steps"
    assert (result - y)[boxes.expand_as(y)].abs().mean() < 0.2


@pytest.mark.parametrize(("scales", "sides"), [("auto", [40]), (1, [128]), (2, [80]), (3, [40])])
def test_prior_fills_only_the_smallest_size(scales: int | str, sides: list[int]) -> None:
    prior = GaussianPrior(0.0, 0.3)
    run(prior, pattern(160, 160), box(160, 60, 100), texture="photo", scales=scales, steps=2)
    assert [shape[-1] for shape in prior.seen] == sides * 2


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("place", ["corner", "side", "band"])
def test_holes_at_the_sides_of_grey_and_transparent_photos(channels: int, place: str) -> None:
    y = pattern(101, 118)[:, [0, 1, 2, 0][:channels]]
    hole = torch.zeros(1, 1, 101, 118, dtype=torch.bool)
    part = {
        "corner": (slice(35), slice(83, 118)),
        "side": (slice(40, 75), slice(88, 118)),
        "band": (slice(40, 70), slice(118)),
    }
    hole[(..., *part[place])] = True
    prior = GaussianPrior(0.0, 0.3, channels=channels)
    result = run(prior, y, hole, steps=1)
    assert torch.isfinite(result).all()
    if channels == 4:
        assert (result - y)[hole.expand_as(y)].abs().mean() < 0.1
    assert torch.equal(result, run(prior, unknown_as(0.9, y, hole), hole, steps=1)), (
        "the values of the hole are ignored"
    )


@pytest.mark.parametrize("frame", [8, 12])
def test_too_little_known_leaves_the_hole_to_the_prior(frame: int) -> None:
    y, hole = pattern(96, 96), torch.ones(1, 1, 96, 96, dtype=torch.bool)
    hole[..., :frame, :] = False
    assert not has_exemplars(hole, [(96, 96)])
    prior = GaussianPrior(0.0, 0.3)
    expected = run(prior, y, hole, texture="prior", steps=3)
    assert torch.equal(run(prior, y, hole, steps=3), expected)
    with pytest.warns(RestorekitWarning, match="texture photo: too little of the photo is known near a hole"):
        assert torch.equal(run(prior, y, hole, texture="photo", steps=3), expected)


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
