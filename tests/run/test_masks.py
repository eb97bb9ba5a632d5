"""Masks as people draw them: each marks what was meant, with a note, or is refused with the option that helps."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from skimage import data

from restorekit.core.options import ImageOption
from restorekit.errors import ImageError, OptionError, RestorekitWarning
from restorekit.run.images import from_pillow, read_photo
from restorekit.run.side_images import Reading, fit_side_image, readings
from tests.run.test_folder import fill

SIZE = 64, 48  # width, height
MASK = ImageOption("A mask.")
PHOTO = from_pillow(Image.fromarray(data.astronaut()[:48, :64]))


def painted(mode: str, background: object, stroke: object, scale: int = 1) -> Image.Image:
    """An image with a rectangle, drawn as a stroke, of 10 x 10 pixels at (20, 10)."""
    image = Image.new(mode, (SIZE[0] * scale, SIZE[1] * scale), background)  # type: ignore[arg-type]
    ImageDraw.Draw(image).rectangle([20 * scale, 10 * scale, 30 * scale - 1, 20 * scale - 1], fill=stroke)  # type: ignore[arg-type]
    return image


EXPECTED = torch.from_numpy(np.array(painted("L", 0, 255)) > 0)


def cut_out(hole: bool) -> Image.Image:
    """The photo with a transparent hole, or only the hole of it."""
    photo = Image.fromarray(data.astronaut()[:48, :64]).convert("RGBA")
    photo.putalpha(painted("L", 255, 0) if hole else painted("L", 0, 255))
    return photo


def two_colours() -> Image.Image:
    image = painted("RGBA", (0, 0, 0, 0), (255, 0, 0, 255))
    ImageDraw.Draw(image).rectangle([40, 10, 50, 20], fill=(0, 0, 255, 255))
    return image


def strokes_on_photo() -> Image.Image:
    image = Image.fromarray(data.astronaut()[:48, :64])
    ImageDraw.Draw(image).rectangle([20, 10, 29, 19], fill=(255, 0, 0))
    return image


def as_jpeg(image: Image.Image, path: Path) -> Image.Image:
    image.save(path, quality=85)
    return Image.open(path)


def read(image: Image.Image, reading: Reading | None = None) -> tuple[torch.Tensor, list[str]]:
    """Return which pixels (H, W) are marked, and the notes."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", RestorekitWarning)
        mask = fit_side_image(from_pillow(image), MASK, PHOTO, "mask", reading or Reading())
    assert mask.shape == (1, 1, 48, 64)
    assert 0 <= mask.min() <= mask.max() <= 1
    return mask[0, 0] > 0.5, [str(warning.message) for warning in found]


@pytest.mark.parametrize(
    ("image", "note"),
    [
        (painted("L", 0, 255), ""),
        (painted("1", 0, 1), ""),
        (painted("RGB", "black", "white"), ""),
        (painted("RGBA", (0, 0, 0, 0), "white"), ""),
        (painted("RGBA", (0, 0, 0, 255), "white"), ""),
        (painted("L", 0, 1), "the values are 0 and 1; 1 counts as white"),
        (painted("L", 0, 100), "the values are 0 and 100; 100 counts as white"),
        (painted("RGB", "white", "red"), "strokes of one colour are filled (--mask-channel colour)"),
        (painted("RGB", "black", (128, 0, 0)), "strokes of one colour are filled"),
        (painted("RGB", "white", "yellow"), "strokes of one colour are filled"),
        (painted("RGBA", (0, 0, 0, 0), (255, 0, 0, 255)), "on a transparent background are filled"),
        (painted("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), "on a transparent background are filled"),
        (painted("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), "the transparent pixels are filled"),
        (painted("RGBA", (255, 0, 0, 255), (0, 0, 0, 0)), "the transparent pixels are filled"),
        (cut_out(hole=True), "the transparent pixels are filled (--mask-channel alpha fills the others)"),
    ],
)
def test_masks_mark_what_was_drawn(image: Image.Image, note: str) -> None:
    marked, notes = read(image)
    assert torch.equal(marked, EXPECTED)
    assert len(notes) == bool(note), notes
    assert all(found.startswith("--mask: ") and note in found for found in notes)


def test_masks_saved_as_jpeg_are_recognised(tmp_path: Path) -> None:
    for background, stroke in (("black", "white"), ("white", "red")):
        marked, _ = read(as_jpeg(painted("RGB", background, stroke), tmp_path / "mask.jpg"))
        assert (marked != EXPECTED).sum() < 50, (background, stroke)
    palette = painted("RGB", "white", "red").quantize(4)
    palette.save(tmp_path / "mask.png")
    assert torch.equal(read(Image.open(tmp_path / "mask.png"))[0], EXPECTED)


def test_masks_of_16_bits_are_recognised(tmp_path: Path) -> None:
    for value in (1, 65535):
        Image.fromarray(EXPECTED.numpy().astype(np.uint16) * value).save(tmp_path / "mask.png")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RestorekitWarning)
            mask = fit_side_image(read_photo(tmp_path / "mask.png"), MASK, PHOTO, "mask")
        assert torch.equal(mask[0, 0] > 0.5, EXPECTED)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            Image.fromarray(data.astronaut()[:48, :64]),
            "many colours, as a photo or strokes on a photo have; allowed: bl",
        ),
        (Image.fromarray(data.astronaut()[:48, :64]).convert("L"), "neither black nor white.*--mask-channel luminance"),
        (strokes_on_photo(), "many colours, as a photo or strokes on a photo have"),
        (painted("RGBA", (255, 255, 255, 255), (0, 0, 0, 0)), "most pixels are white and the others are transparent"),
        (cut_out(hole=False), "the opaque pixels have several colours.*--mask-channel alpha .*transparency"),
        (two_colours(), "the opaque pixels have several colours"),
        (painted("L", 1, 2), r"the values are 1 to 2; allowed: 0 and 255 \(white\), 0 and 1"),
        (painted("L", 0, 1).resize((32, 24)).convert("RGBA"), "32 x 24, allowed: 64 x 48.*; --resize-mask resizes it"),
        (painted("L", 0, 255).rotate(90, expand=True), "48 x 64, allowed: 64 x 48, the size of the upright photo$"),
    ],
)
def test_other_masks_are_refused_with_the_option_that_helps(image: Image.Image, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read(image)


@pytest.mark.parametrize(
    ("image", "channel"),
    [
        (painted("RGB", "black", "red"), "red"),
        (painted("RGB", "red", "yellow"), "green"),
        (painted("RGB", "red", "magenta"), "blue"),
        (painted("RGBA", (255, 255, 255, 0), (9, 9, 9, 255)), "alpha"),
        (painted("RGBA", (255, 255, 255, 255), (0, 0, 0, 0)), "transparency"),
        (painted("RGB", "white", (200, 0, 200)), "colour"),
        (painted("L", 90, 160), "luminance"),
    ],
)
def test_a_named_channel_is_taken_literally(image: Image.Image, channel: str) -> None:
    marked, notes = read(image, Reading(channel=channel))  # type: ignore[arg-type]
    assert torch.equal(marked, EXPECTED)
    assert not notes
    inverted, _ = read(image, Reading(inverted=True, channel=channel))  # type: ignore[arg-type]
    assert torch.equal(inverted, ~EXPECTED)


def test_a_channel_that_the_mask_does_not_have_is_refused() -> None:
    with pytest.raises(ImageError, match="no alpha channel"):
        read(painted("L", 0, 255), Reading(channel="transparency"))
    with pytest.raises(ImageError, match="no pixel is coloured"):
        read(painted("L", 0, 255), Reading(channel="colour"))
    assert readings(fill, {"mask_channel": "red", "resize_mask": True}) == {"mask": Reading(False, "red", True)}
    with pytest.raises(OptionError, match=r"--mask-channel: unknown channel 'rad'\. Did you mean 'red'"):
        readings(fill, {"mask_channel": "rad"})


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 0.5])
def test_resized_masks_mark_every_pixel_that_they_touch(scale: float, inverted: bool) -> None:
    size = round(SIZE[0] * scale), round(SIZE[1] * scale)
    image = painted("L", 0, 255).resize(size, Image.Resampling.NEAREST)
    if inverted:
        image = image.point(lambda value: 255 - value)
    marked, notes = read(image, Reading(inverted, "auto", resized=True))
    assert torch.equal(marked, EXPECTED)
    assert not notes
    thin = Image.new("L", (640, 480))
    ImageDraw.Draw(thin).line([105, 0, 105, 479], fill=255)
    assert read(thin, Reading(resized=True))[0].nonzero()[:, 1].unique().tolist() == [10]


def test_masks_with_another_aspect_ratio_are_not_resized() -> None:
    with pytest.raises(ImageError, match="64 x 64, allowed: 64 x 48, the size of the upright photo, or its aspect"):
        read(Image.new("L", (64, 64)), Reading(resized=True))


def test_masks_that_may_be_inverted_are_noted() -> None:
    marked, notes = read(painted("L", 255, 0))
    assert torch.equal(marked, ~EXPECTED)
    assert notes == ["--mask: 96.7% of the pixels are filled; --invert-mask fills the others instead"]
    _, notes = read(painted("L", 0, 255), Reading(inverted=True))
    assert notes == ["--mask: 96.7% of the pixels are filled; without --invert-mask, the others are filled instead"]
    random = np.random.default_rng(0).random((48, 64)) < 0.8
    assert not read(Image.fromarray(random))[1]
    assert not read(Image.new("L", SIZE, 255))[1]


def test_black_and_transparent_masks_are_empty() -> None:
    hidden = Image.fromarray(data.astronaut()[:48, :64])
    hidden.putalpha(0)
    for image in (Image.new("L", SIZE), Image.new("RGBA", SIZE), hidden):
        marked, notes = read(image)
        assert not marked.any()
        assert not notes
