from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.training import degradations
from restorekit.training.degradation_plan import MARGIN, DegradationPlan
from restorekit.training.degradations import (
    degrade,
    enlarge,
    rescale,
    round_to_8_bits,
    sample_kinds,
    save_as_jpeg,
    to_grey,
)
from tests.training.plans import blind_plan, tiny_plan

SIDE = 48
NONE = {
    "camera_share": 0,
    "correlated_share": 0,
    "gaussian_share": 0,
    "jpeg_share": 0,
    "grey_share": 0,
    "reduced_share": 0,
    "enlarged_share": 0,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plan(**values: object) -> DegradationPlan:
    """A plan without any degradation but these."""
    return DegradationPlan.model_validate({**NONE, **values})


def photos(count: int = 8, side: int = SIDE) -> Tensor:
    """Smooth colour photos of 8 bits, different at every place."""
    small = torch.rand(count, 3, 8, 8, generator=seeded(5)) * 1.2 - 0.6
    return round_to_8_bits(F.interpolate(small, (side, side), mode="bicubic"))


def is_8_bit(x: Tensor) -> bool:
    values = (x + 1) * 127.5
    return bool((values - values.round()).abs().max() < 1e-3)


def test_crops_are_cut_and_have_the_range_of_photos() -> None:
    degraded, clean = degrade(DegradationPlan(), photos(32), seeded())
    assert degraded.shape == clean.shape == (32, 3, SIDE - MARGIN, SIDE - MARGIN)
    assert degraded.dtype == torch.float32
    assert clean.abs().max() <= 1
    assert degraded.isfinite().all()


def test_degradations_depend_only_on_the_generator() -> None:
    first = degrade(DegradationPlan(), photos(), seeded(3))
    torch.rand(7)
    state = torch.get_rng_state()
    again = degrade(DegradationPlan(), photos(), seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(degrade(DegradationPlan(), photos(), seeded(4))[0], first[0])


def test_argument_is_not_changed() -> None:
    clean = photos()
    degrade(DegradationPlan(), clean, seeded())
    assert torch.equal(clean, photos())


def test_clean_crops_are_parts_of_the_photos() -> None:
    whole = photos(16)
    degraded, clean = degrade(plan(), whole, seeded())
    assert torch.equal(degraded, clean)
    corners = set()
    for crop, photo in zip(clean, whole, strict=True):
        windows = photo.unfold(1, SIDE - MARGIN, 1).unfold(2, SIDE - MARGIN, 1)
        found = (windows == crop[:, None, None]).all(-1).all(-1).all(0).nonzero().tolist()
        assert len(found) == 1
        corners.add(tuple(found[0]))
    assert len(corners) > 8
    assert all(0 <= top <= 14 and 0 <= left <= 14 for top, left in corners)


@pytest.mark.parametrize("level", [2.0, 25.0])
def test_white_noise_has_the_level_and_is_not_clipped(level: float) -> None:
    white = torch.ones(32, 3, SIDE, SIDE)
    degraded, clean = degrade(plan(gaussian_share=1, gaussian_sigma=(level, level)), white, seeded())
    noise = degraded - clean
    assert noise.std() == pytest.approx(level * GREY_LEVEL, rel=0.02)
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean() / noise.var())) < 0.02
    assert degraded.max() > 1
    assert not is_8_bit(degraded)


def test_levels_of_white_noise_are_uniform_in_the_logarithm() -> None:
    degraded, clean = degrade(plan(gaussian_share=1, gaussian_sigma=(1, 64)), torch.zeros(400, 3, 24, 24), seeded())
    levels = (degraded - clean).std((1, 2, 3)) / GREY_LEVEL
    assert levels.min() > 0.8
    assert levels.max() < 75
    assert (levels < 8).float().mean() == pytest.approx(0.5, abs=0.08)


def test_clean_photos_are_saved_like_those_with_camera_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degradations, "SAVED_SHARE", 1.0)
    monkeypatch.setattr(degradations, "sample_camera_noise", lambda photo, generator: torch.zeros_like(photo))
    rough = round_to_8_bits(torch.rand(8, 3, SIDE, SIDE, generator=seeded()) * 2 - 1)
    degraded, clean = degrade(plan(camera_share=1, camera_quality=(60, 60)), rough, seeded())
    assert torch.equal(degraded, clean)
    monkeypatch.setattr(degradations, "SAVED_SHARE", 0.0)
    _, unsaved = degrade(plan(camera_share=1, camera_quality=(60, 60)), rough, seeded())
    assert (unsaved - clean).abs().mean() > 0.02


@pytest.mark.parametrize("share", ["camera_share", "correlated_share", "jpeg_share"])
def test_photos_with_camera_noise_or_compression_have_8_bits(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degradations, "SAVED_SHARE", 0.0)
    degraded, clean = degrade(plan(**{share: 1}), photos(), seeded())
    assert is_8_bit(degraded)
    assert degraded.abs().max() <= 1
    assert (degraded != clean).flatten(1).any(1).all()


def test_shares_are_those_of_the_plan() -> None:
    names = ("camera_share", "correlated_share", "gaussian_share", "jpeg_share", "known_jpeg_share")
    shares = dict(zip(names, (0.2, 0.1, 0.2, 0.15, 0.25), strict=True))
    qualities = {"jpeg_quality": (5, 5), "known_jpeg_quality": (5, 5)}
    degraded, clean = degrade(plan(**shares, **qualities), photos(400, 24), seeded())
    changed = (degraded != clean).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.9, abs=0.05)
    sampled = sample_kinds(plan(**shares), 4000, seeded())
    kinds = [sampled.camera, sampled.correlated, sampled.white, sampled.jpeg, sampled.known_jpeg]
    assert torch.stack(kinds).sum(0).max() == 1
    assert torch.equal(sampled.photographed, sampled.camera | sampled.correlated)
    for kind, share in zip(kinds, shares.values(), strict=True):
        assert kind.float().mean() == pytest.approx(share, abs=0.03)


def test_grey_crops_have_equal_channels() -> None:
    for kind in ("camera_share", "gaussian_share", "jpeg_share"):
        for x in degrade(plan(grey_share=1, **{kind: 1}), photos(), seeded()):
            assert torch.equal(x[:, :1].expand_as(x), x)


def test_luma_has_the_weights_of_bt_601() -> None:
    colours = torch.eye(3).reshape(3, 3, 1, 1)
    assert to_grey(colours)[:, 0].flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_degraded_and_clean_crops_are_aligned() -> None:
    for kind in ("camera_share", "gaussian_share", "jpeg_share"):
        values = {"gaussian_sigma": (1, 3), "jpeg_quality": (80, 90), kind: 1}
        degraded, clean = degrade(plan(**values), photos(12), seeded())
        inner = clean[..., 1:-1, 1:-1]
        errors = {
            (dy, dx): (degraded[..., 1 + dy : degraded.shape[2] - 1 + dy, 1 + dx : degraded.shape[3] - 1 + dx] - inner)
            .square()
            .mean()
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        }
        assert min(errors, key=lambda shift: errors[shift]) == (0, 0)


def test_blocks_of_jpeg_start_anywhere() -> None:
    degraded, _ = degrade(plan(jpeg_share=1, jpeg_quality=(3, 3)), photos(24), seeded())
    jumps = (degraded[..., 1:] - degraded[..., :-1]).abs().mean((1, 2))
    offsets = torch.stack([jumps[:, start::8].mean(1) for start in range(8)], dim=1).argmax(1)
    assert len(offsets.unique()) > 3


def reference_jpeg(x: Tensor, quality: int, subsampling: str) -> Tensor:
    file = io.BytesIO()
    pixels = ((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 127.5 - 1


def test_compression_is_that_of_pillow_and_touches_only_the_chosen_photos() -> None:
    x = photos(3)
    qualities, half = torch.tensor([30.0, 30.0, 70.4]), torch.tensor([True, False, False])
    saved = save_as_jpeg(x, qualities, half, torch.tensor([True, False, True]))
    torch.testing.assert_close(saved[0], reference_jpeg(x[0], 30, "4:2:0"))
    assert torch.equal(saved[1], x[1])
    torch.testing.assert_close(saved[2], reference_jpeg(x[2], 70, "4:4:4"))


def test_compression_clips() -> None:
    saved = save_as_jpeg(torch.full((1, 3, 8, 8), 1.5), torch.tensor([90.0]), torch.ones(1) > 0, torch.ones(1) > 0)
    assert saved.max() <= 1
    assert saved.min() > 0.95


def test_most_known_compression_has_a_block_at_the_corner() -> None:
    def share(**shares: float) -> float:
        qualities = {"jpeg_quality": (1, 1), "known_jpeg_quality": (1, 1)}
        degraded, _ = degrade(plan(**shares, **qualities), photos(300, 24 + MARGIN), seeded())
        steps = (degraded[..., 1:] - degraded[..., :-1]).abs().mean((1, 2))
        # 7 is the border of the first block of eight pixels; an eighth of the other crops have it there by chance.
        border = torch.stack([steps[:, start::8].mean(1) for start in range(8)], dim=1).argmax(1)
        return float((border == 7).float().mean())

    assert share(jpeg_share=1) == pytest.approx(1 / 8, abs=0.1)
    aligned = degradations.KNOWN_ALIGNED_SHARE
    assert share(known_jpeg_share=1) == pytest.approx(aligned + (1 - aligned) / 8, abs=0.1)


def test_most_crops_with_known_compression_are_not_reduced() -> None:
    x = torch.rand(400, 3, 24, 24, generator=seeded())
    mixed = plan(known_jpeg_share=0.5, camera_share=0.5, reduced_share=0.9)
    kinds = sample_kinds(mixed, len(x), seeded())
    cut, some = (rescale(p, x, seeded(1), kinds) for p in (plan(), mixed))
    is_cut = (some == cut).flatten(1).all(1).float()
    assert float(is_cut[kinds.known_jpeg].mean()) == pytest.approx(1 - degradations.KNOWN_REDUCED_SHARE, abs=0.08)
    assert float(is_cut[kinds.camera].mean()) == pytest.approx(0.1, abs=0.08)
    assert 0.4 < kinds.known_jpeg.float().mean() < 0.6


def test_no_crop_is_reduced_more_often_than_the_plan_says() -> None:
    x = torch.rand(50, 3, 24, 24, generator=seeded())
    known = plan(known_jpeg_share=1)
    assert torch.equal(rescale(known, x, seeded(1), sample_kinds(known, len(x), seeded())), x[..., 6:18, 6:18])


def test_lower_quality_has_a_larger_error() -> None:
    clean = photos(16)
    errors = []
    for quality in (5, 20, 50, 90):
        degraded, cut = degrade(plan(jpeg_share=1, jpeg_quality=(quality, quality)), clean, seeded())
        errors.append(float((degraded - cut).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 4 * errors[-1]


def test_enlarged_photos_are_smoother_and_centred() -> None:
    x = torch.rand(3, 3, SIDE, SIDE, generator=seeded()) * 2 - 1
    result = enlarge(x, torch.tensor([1.0, 1.5, 2.0]))
    assert torch.equal(result[0], x[0])
    roughness = (result[..., 1:] - result[..., :-1]).square().mean((1, 2, 3))
    assert roughness[0] > 1.5 * roughness[1] > 1.5 * roughness[2]
    assert result.abs().max() <= 1
    ramp = torch.linspace(-0.8, 0.8, SIDE).expand(1, 3, SIDE, SIDE)
    doubled = enlarge(ramp, torch.tensor([2.0]))
    torch.testing.assert_close(doubled[..., 4:-4], ramp[..., 4:-4] / 2, rtol=0, atol=0.01)


def test_photos_are_scaled_down_or_cut_to_half_their_size() -> None:
    x = torch.rand(2, 3, 48, 40, generator=seeded()) * 2 - 1
    cut = rescale(plan(reduced_share=0), x, seeded(1))
    assert torch.equal(cut, x[..., 12:36, 10:30])
    reduced = rescale(plan(reduced_share=1), x, seeded(1))
    torch.testing.assert_close(reduced, F.interpolate(x, (24, 20), mode="bicubic", antialias=True).clamp(-1, 1))
    enlarged = rescale(plan(reduced_share=1, enlarged_share=1), x, seeded(1))
    assert (enlarged[..., 1:] - enlarged[..., :-1]).abs().mean() < 0.7 * (
        reduced[..., 1:] - reduced[..., :-1]
    ).abs().mean()


def test_shares_of_rescaled_photos_are_those_of_the_plan() -> None:
    x = torch.rand(300, 3, 24, 24, generator=seeded())
    cut, reduced = (rescale(plan(reduced_share=share), x, seeded(1)) for share in (0, 1))
    some = rescale(plan(reduced_share=0.5, enlarged_share=0.4), x, seeded(1))

    def share(other: Tensor) -> float:
        return float((some == other).flatten(1).all(1).float().mean())

    assert share(cut) == pytest.approx(0.5, abs=0.08)
    assert share(reduced) == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"camera_share": 0.5, "gaussian_share": 0.4, "jpeg_share": 0.2}, r"sum 1\.1; allowed: 1 or less"),
        ({"gaussian_sigma": (5, 2)}, r"degradation\.gaussian_sigma is \[5, 2\]; allowed: \[smallest, largest\]"),
        ({"jpeg_quality": (50, 20)}, r"degradation\.jpeg_quality is \[50, 20\]"),
        ({"camera_quality": (90, 80)}, r"degradation\.camera_quality is \[90, 80\]"),
        ({"jpeg_quality": (0, 20)}, "greater than or equal to 1"),
        ({"gaussian_sigma": (0, 20)}, "greater than or equal to 0.01"),
        ({"grey_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_inconsistent_degradations_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DegradationPlan.model_validate(values)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"degradation": {"camera_share": 0.1, "known_jpeg_share": 0.2}},
            r"degradation\.known_jpeg_share is 0\.2, but model\.classes is None; allowed: both or neither",
        ),
        (
            {"degradation": None},
            r"degradation is not given, but model\.net\.noise_estimator is given; allowed: both or",
        ),
        ({"model": {}}, r"degradation is given, but model\.net\.noise_estimator is null"),
        ({"data": {"crop": 32}}, r"data\.crop is 32, allowed with degradation: multiples of 4 above 32"),
        ({"data": {"crop": 66}}, r"data\.crop is 66, allowed with degradation: multiples of 4 above 32"),
        ({"noise": {"uniform_share": 0.1}}, "noise is given, but the model is blind"),
        ({"loss": {"norm": "l1"}}, "loss is given, but the model is blind; allowed: degradation only"),
        ({"data": {"dequantize": True}}, r"data\.dequantize is true, but the model is blind"),
    ],
)
def test_plans_inconsistent_with_a_blind_prior_are_refused(
    tmp_path: Path, sections: dict[str, dict[str, object] | None], message: str
) -> None:
    assert blind_plan(tmp_path).degradation == DegradationPlan()
    if "model" in sections:
        sections = {"model": {"net": tiny_plan(tmp_path).model.net.model_dump()}}
    with pytest.raises(ValueError, match=message):
        blind_plan(tmp_path, **sections)


def test_blind_priors_for_grey_photos_are_refused(tmp_path: Path) -> None:
    net = blind_plan(tmp_path).model.net.model_dump()
    grey = {"channels": 1, "net": {**net, "in_channels": 1, "out_channels": 1}}
    with pytest.raises(ValueError, match=r"model\.channels is 1, allowed with degradation: 3"):
        blind_plan(tmp_path, model=grey)
