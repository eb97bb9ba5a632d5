from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from restorekit.training import camera_noise as cameras
from restorekit.training.camera_noise import Camera

COUNT = 16


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def camera(count: int = COUNT, **values: float | bool) -> Camera:
    """Random cameras, with these values in all of them."""
    sampled = cameras.sample_cameras(count, seeded())
    return replace(sampled, **{name: torch.full_like(getattr(sampled, name), value) for name, value in values.items()})


def plain(count: int = COUNT, **values: float | bool) -> Camera:
    """Cameras without noise reduction and sharpening."""
    return camera(count, **{"luma_reduction": 0.0, "chroma_reduction": 0.0, "sharpening": 0.0, **values})


def constant(value: float, count: int = COUNT, side: int = 32) -> Tensor:
    return torch.full((count, 3, side, side), value)


def white_noise(count: int = COUNT, side: int = 48) -> Tensor:
    return torch.randn(count, 3, side, side, generator=seeded(1))


def luma(noise: Tensor) -> Tensor:
    return cameras.apply_matrix(noise, cameras.RGB_TO_YCBCR)[:, :1]


def chroma(noise: Tensor) -> Tensor:
    return cameras.apply_matrix(noise, cameras.RGB_TO_YCBCR)[:, 1:]


def test_sampled_cameras_have_the_documented_distribution() -> None:
    many = cameras.sample_cameras(2000, seeded())
    torch.testing.assert_close(many.matrix.sum(2), torch.ones(2000, 3), rtol=0, atol=1e-5)
    assert many.shot.min() >= cameras.MIN_SHOT
    assert many.shot.max() <= cameras.MAX_SHOT
    middle = (cameras.MIN_SHOT * cameras.MAX_SHOT) ** 0.5
    assert (many.shot < middle).float().mean() == pytest.approx(0.5, abs=0.04)
    scatter = many.read.log() - cameras.READ_SLOPE * many.shot.log() - cameras.READ_OFFSET
    assert scatter.mean() == pytest.approx(0, abs=0.03)
    assert scatter.std() == pytest.approx(cameras.READ_DEVIATION, rel=0.1)
    ratio = many.gains / many.gains[:, 1:2]
    assert 1.9 <= ratio[:, 0].min() < ratio[:, 0].max() <= 2.4 + 1e-5
    assert 1.5 <= ratio[:, 2].min() < ratio[:, 2].max() <= 1.9 + 1e-5
    assert (1 / many.gains[:, 1]).mean() == pytest.approx(0.8, abs=0.01)
    for share, where in [
        (0.75, many.tone),
        (0.5, many.gradient_corrected),
        (0.9, many.chroma_reduction > 0),
        (0.4, many.sharpening > 0),
    ]:
        assert where.float().mean() == pytest.approx(share, abs=0.04)
    assert torch.equal(many.luma_reduction > 0, many.chroma_reduction > 0)
    reduced = many.chroma_reduction > 0
    assert many.luma_reduction[reduced].median() == pytest.approx(0.5**0.5, abs=0.03)
    assert many.chroma_reduction[reduced].median() == pytest.approx(0.5 ** (1 / 20), abs=0.005)


def test_rendering_inverts_linearization() -> None:
    photo = torch.linspace(0, 1, 256).expand(COUNT, 3, 1, 256)
    sampled = camera()
    assert sampled.tone.any()
    assert not sampled.tone.all()
    linear = cameras.linearize(photo, sampled)
    assert linear.diff(dim=3).min() >= 0
    torch.testing.assert_close(cameras.render(linear, sampled), photo, rtol=0, atol=2e-3)
    torch.testing.assert_close(linear[~sampled.tone.flatten()][0, 0, 0, 128], torch.tensor(0.21586), rtol=0, atol=1e-4)


def test_curves_without_a_tone_curve_are_those_of_srgb() -> None:
    values = torch.tensor([0.0, 0.04, 0.5, 1.0]).expand(1, 3, 1, 4)
    expected = torch.tensor([0.0, 0.04 / 12.92, 0.2140411, 1.0])
    torch.testing.assert_close(cameras.linearize(values, plain(1, tone=False))[0, 0, 0], expected)


def test_raw_colours_are_inverted_inside_the_gamut() -> None:
    sampled = camera()
    # Colours of low saturation are inside the gamut of every camera; highlights would keep their value.
    grey, tint = torch.rand(2, COUNT, 3, 6, 6, generator=seeded(1))
    photo = 0.15 + 0.5 * grey[:, :1] + 0.1 * tint
    raw = cameras.to_raw(photo, sampled)
    assert raw.max() < 0.9
    torch.testing.assert_close(cameras.from_raw(raw, sampled), photo, rtol=0, atol=1e-4)
    assert (raw[:, 1] > raw[:, 0]).float().mean() > 0.9


def test_white_stays_clipped_and_black_stays_black() -> None:
    sampled = camera()
    # The few exposures below 1 darken white.
    sampled = replace(sampled, gains=sampled.gains.clamp(min=1))
    for value in (0.0, 1.0):
        raw = cameras.to_raw(constant(value), sampled)
        torch.testing.assert_close(raw, constant(value), rtol=0, atol=1e-5)
        torch.testing.assert_close(cameras.from_raw(raw, sampled), constant(value), rtol=0, atol=1e-3)


def test_white_balance_is_inverted_below_the_highlights() -> None:
    sampled = camera()
    torch.testing.assert_close(
        cameras.remove_white_balance(constant(0.89), sampled) * sampled.gains, constant(0.89), rtol=0, atol=1e-5
    )


DEMOSAICING = pytest.mark.parametrize("method", [cameras.demosaic_bilinear, cameras.demosaic_gradient_corrected])


def mosaic_of(image: Tensor) -> tuple[Tensor, Tensor]:
    return cameras.SENSOR.forward(image), cameras.SENSOR.pattern_mask(image)


@DEMOSAICING
def test_demosaicing_keeps_constant_colours(method) -> None:
    image = torch.tensor([0.2, 0.5, 0.7]).reshape(1, 3, 1, 1).expand(1, 3, 12, 10)
    torch.testing.assert_close(method(*mosaic_of(image)), image, rtol=0, atol=1e-6)


@DEMOSAICING
def test_demosaicing_keeps_linear_ramps_in_the_interior(method) -> None:
    row, column = torch.meshgrid(torch.arange(14.0), torch.arange(12.0), indexing="ij")
    image = (0.1 + 0.02 * row + 0.03 * column).expand(1, 3, 14, 12)
    torch.testing.assert_close(method(*mosaic_of(image))[..., 2:-2, 2:-2], image[..., 2:-2, 2:-2])


@DEMOSAICING
def test_demosaicing_keeps_measured_samples(method) -> None:
    image = torch.rand(2, 3, 10, 12, generator=seeded())
    mosaic, pattern = mosaic_of(image)
    result = method(mosaic, pattern)
    torch.testing.assert_close(result * pattern, image * pattern)
    assert not torch.allclose(result, image, atol=0.1)


def test_gradient_correction_restores_the_pixel_response_of_the_paper() -> None:
    """The red estimate at a blue sample is (6 B - 1.5 sum B_2) / 8 + 2 sum R / 8 (Malvar et al. 2004, figure 2)."""
    mosaic = torch.zeros(1, 1, 12, 12)
    mosaic[0, 0, 5, 5] = 8
    pattern = cameras.SENSOR.pattern_mask(mosaic)
    red, green, blue = cameras.demosaic_gradient_corrected(mosaic, pattern)[0]
    assert pattern[2, 5, 5] == 1
    assert (red[5, 5], green[5, 5], blue[5, 5]) == (6, 4, 8)
    assert (red[5, 7], green[5, 7]) == (-1.5, -1)
    assert (blue[5, 6], red[5, 6], blue[4, 4], green[4, 4]) == (4, 0, 2, 0)


def test_each_camera_demosaics_with_its_method_and_clips() -> None:
    sampled = camera(2, gradient_corrected=False)
    sampled.gradient_corrected[1] = True
    mosaic = torch.rand(2, 1, 12, 12, generator=seeded()) * 1.5 - 0.25
    pattern = cameras.SENSOR.pattern_mask(mosaic)
    result = cameras.demosaic(mosaic, pattern, sampled)
    assert torch.equal(result[0], cameras.demosaic_bilinear(mosaic, pattern)[0].clamp(0, 1))
    assert torch.equal(result[1], cameras.demosaic_gradient_corrected(mosaic, pattern)[1].clamp(0, 1))


@pytest.mark.parametrize("signal", [0.0, 0.2, 0.6])
def test_variance_of_raw_noise_is_linear_in_the_signal(signal: float) -> None:
    raw = torch.full((1, 1, 300, 300), signal)
    noise = cameras.add_noise(raw, camera(1, shot=4e-3, read=1e-4), seeded()) - raw
    assert noise.var() == pytest.approx(4e-3 * signal + 1e-4, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=1e-3)


def test_raw_noise_is_clipped_at_the_white_level_only() -> None:
    sampled = camera(1, shot=0.01, read=0.01)
    assert cameras.add_noise(constant(1, 1), sampled, seeded()).max() == 1
    assert cameras.add_noise(constant(0, 1), sampled, seeded()).min() < 0


def test_photo_without_raw_noise_has_no_camera_noise() -> None:
    photo = torch.rand(COUNT, 3, 24, 24, generator=seeded())
    for scale in (0.7, 1.0, 1.6):
        noise = cameras.camera_noise(photo, camera(shot=0.0, read=0.0), scale, seeded())
        assert torch.equal(noise, torch.zeros_like(photo))


@pytest.mark.parametrize("deviation", [0.5, 2.0])
def test_blur_keeps_constants_and_has_the_standard_deviation(deviation: float) -> None:
    width = torch.full((2, 1, 1, 1), deviation)
    torch.testing.assert_close(cameras.blur(constant(0.4, 2), width), constant(0.4, 2))
    point = torch.zeros(2, 3, 33, 33)
    point[..., 16, 16] = 1
    response = cameras.blur(point, width)[0, 0]
    place = torch.arange(33) - 16.0
    assert response.sum() == pytest.approx(1)
    assert (response.sum(0) * place**2).sum() == pytest.approx(deviation**2, rel=0.15)
    torch.testing.assert_close(response, response.T)


def test_noise_reduction_keeps_low_frequencies_and_lowers_the_variance() -> None:
    sampled = camera(luma_reduction=0.5, chroma_reduction=1.0, luma_blur=1.0, chroma_blur=2.0)
    torch.testing.assert_close(cameras.reduce_noise(constant(0.2), sampled), constant(0.2), rtol=0, atol=1e-5)
    noise = white_noise()
    reduced = cameras.reduce_noise(noise, sampled)
    torch.testing.assert_close(reduced.mean((2, 3)), noise.mean((2, 3)), rtol=0, atol=0.02)
    assert 0.2 < luma(reduced).var() / luma(noise).var() < 0.5
    assert chroma(reduced).var() / chroma(noise).var() < 0.05


def test_camera_without_noise_reduction_and_sharpening_keeps_the_noise() -> None:
    noise = white_noise()
    torch.testing.assert_close(cameras.reduce_noise(noise, plain()), noise, rtol=0, atol=1e-5)
    assert torch.equal(cameras.sharpen(noise, plain()), noise)


def test_sharpening_raises_the_variance_and_keeps_the_mean() -> None:
    sampled = camera(sharpening=1.0, sharpening_blur=1.0)
    noise = white_noise()
    assert cameras.sharpen(noise, sampled).var() > 2 * noise.var()
    torch.testing.assert_close(cameras.sharpen(constant(0.2), sampled), constant(0.2))


def correlation(a: Tensor, b: Tensor) -> float:
    return float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())


def test_camera_noise_is_correlated_in_space() -> None:
    noise = cameras.camera_noise(constant(0.5), plain(shot=1e-3, read=1e-6), 1.0, seeded())
    assert correlation(noise[..., 1:], noise[..., :-1]) > 0.2
    assert correlation(noise[..., 1:, :], noise[..., :-1, :]) > 0.2
    assert abs(correlation(noise[..., 8:], noise[..., :-8])) < 0.05


def test_camera_noise_depends_on_brightness() -> None:
    sampled = plain(tone=True, shot=1e-3, read=1e-6)
    levels = [cameras.camera_noise(constant(x), sampled, 1.0, seeded()).std() for x in (0.02, 0.3, 0.95)]
    assert levels[1] > 1.5 * levels[0]
    assert levels[1] > 1.5 * levels[2]


@pytest.mark.parametrize("scale", [0.67, 1.0, 2.0])
def test_camera_noise_has_the_size_of_the_photo_and_little_bias(scale: float) -> None:
    photo = torch.full((COUNT, 3, 33, 26), 0.5)
    noise = cameras.camera_noise(photo, plain(shot=1e-3, read=1e-6), scale, seeded())
    assert noise.shape == photo.shape
    assert noise.isfinite().all()
    assert abs(float(noise.mean())) < 0.1 * float(noise.std())


def test_small_raw_data_gives_coarse_noise() -> None:
    parts = [cameras.camera_noise(constant(0.5), plain(shot=1e-3), scale, seeded()) for scale in (0.67, 1.0, 2.0)]
    coarse, same, fine = (correlation(noise[..., 2:], noise[..., :-2]) for noise in parts)
    assert coarse > same > fine


def test_sampled_noise_depends_only_on_the_generator() -> None:
    photo = torch.rand(6, 3, 24, 24, generator=seeded())
    first = cameras.sample_camera_noise(photo, seeded(3))
    torch.rand(5)
    assert torch.equal(cameras.sample_camera_noise(photo, seeded(3)), first)
    assert not torch.equal(cameras.sample_camera_noise(photo, seeded(4)), first)
    assert first.shape == photo.shape


def test_groups_of_photos_have_scales_in_the_documented_range(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, float]] = []

    def record(photo: Tensor, camera: Camera, scale: float, generator: torch.Generator) -> Tensor:
        seen.append((len(photo), scale))
        return photo

    monkeypatch.setattr(cameras, "camera_noise", record)
    cameras.sample_camera_noise(torch.zeros(402, 3, 4, 4), seeded())
    counts, scales = zip(*seen, strict=True)
    assert counts == (cameras.GROUP,) * 100 + (2,)
    assert 30 < scales.count(1.0) < 70
    assert cameras.MIN_SCALE <= min(scales) < 1 < max(scales) <= cameras.MAX_SCALE
