"""Images of Python callers: what is accepted and refused, and that the same kind comes back."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.errors import ImageError, ModelError, OptionError, RestorekitWarning
from restorekit.run import restoration
from restorekit.run.api import python_function, restore
from restorekit.run.images import write_photo
from restorekit.run.photo import Photo
from restorekit.testing import GaussianPrior
from tests.run.test_folder import save
from tests.run.test_runner import fill, speckle

# D is the image itself, except for rounding.
PRIOR = GaussianPrior(std=1e6)


@rk.recipe("keep")
def keep(y, prior, noise):
    """Return the image."""
    return y.clone()


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 2), (6, 5, 3), (6, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.filterwarnings("ignore:grey image")
def test_arrays_of_integers_come_back_as_they_are(shape: tuple[int, ...], dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    result = restore(keep, image, PRIOR)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:grey image")
def test_arrays_of_floats_are_in_0_to_1(shape: tuple[int, ...], dtype: type) -> None:
    image = np.random.default_rng(0).random(shape).astype(dtype)
    result = restore(keep, image, PRIOR)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, image, atol=1e-6 if dtype is not np.float16 else 1e-3)
    noisy = np.array([[[-0.2] * 3, [1.3] * 3]] + 5 * [[[0.5] * 3] * 2], dtype)
    assert [restore(keep, noisy, PRIOR).min(), restore(keep, noisy, PRIOR).max()] == [0, 1]


def test_recipe_receives_an_array_in_minus_1_to_1() -> None:
    seen = []

    @rk.recipe("look")
    def look(y, prior, noise):
        """Store the image."""
        seen.append(y)
        return y

    restore(look, np.dstack([np.zeros((2, 2)), np.ones((2, 2)), np.full((2, 2), 0.5)]), PRIOR)
    restore(look, np.full((2, 2, 3), 255, np.uint8), PRIOR)
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-1.0, 1.0, 0.0]))
    torch.testing.assert_close(seen[1], torch.ones(1, 3, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_tensors_keep_their_dtype(dtype: torch.dtype) -> None:
    y = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4).to(dtype)
    result = restore(keep, y, PRIOR)
    assert result.dtype == dtype
    torch.testing.assert_close(result, y)


@pytest.mark.parametrize("mode", ["I;16", "I"])
@pytest.mark.filterwarnings("ignore:grey image")
def test_pil_images_of_16_bits_come_back(mode: str) -> None:
    values = np.arange(30, dtype=np.uint16).reshape(5, 6) * 2000
    image = Image.fromarray(values).convert(mode) if mode == "I" else Image.fromarray(values)
    assert image.mode == mode
    result = restore(keep, image, PRIOR)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), values)


def test_pil_images_that_are_not_supported_are_refused() -> None:
    with pytest.raises(ImageError, match="mode F: floating-point pixels; allowed: 8 or 16 bits"):
        restore(keep, Image.fromarray(np.zeros((4, 4), np.float32)), PRIOR)


def test_a_path_of_16_bits_in_colour_names_what_stores_it(tmp_path: Path) -> None:
    write_photo(Photo(np.zeros((4, 4, 3), np.uint16)), tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"16 bits; allowed: rk.restore_folder, which writes a file, or a NumPy array"):
        restore(keep, tmp_path / "a.png", PRIOR)


def test_a_folder_names_the_function_for_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"found a folder, allowed: an image file; rk.restore_folder restores folders"):
        restore(keep, tmp_path, PRIOR)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
            r"torch.uint8, allowed: floats in \[-1, 1\]; x / 127.5 - 1 converts",
        ),
        (torch.zeros(1, 3, 4, 4, dtype=torch.complex64), "complex64, allowed: floats"),
        (
            torch.linspace(0.02, 251.5, 48).reshape(1, 3, 4, 4),
            r"from 0.02 to 251.5, allowed: about \[-1, 1\]; x / 127.5 - 1",
        ),
        (torch.linspace(0, 65535, 48).reshape(1, 3, 4, 4), r"x / 32767.5 - 1 converts 0 to 65535"),
        (torch.zeros(3, 4, 4), r"found a tensor \(3, 4, 4\), allowed: .*; x\[None\] adds N"),
        (torch.full((1, 3, 4, 4), torch.nan), "not finite"),
        (np.zeros((4, 4, 3), np.int64), "int64, allowed: uint8, uint16, or floats in"),
        (np.zeros((4, 4), bool), "bool, allowed: uint8, uint16"),
        (np.linspace(0, 255, 48).reshape(4, 4, 3), r"from 0 to 255, allowed: about \[0, 1\]; x / 255 converts"),
        (np.full((4, 4), np.inf), "not finite"),
        (np.zeros((4, 4, 4)), "floats with alpha"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"an array \(2, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "an empty array"),
        (np.zeros((3, 8, 8), np.uint8), r"x.transpose\(1, 2, 0\) moves C to the end"),
        (object(), "found object, allowed: a tensor"),
        (7, "found int"),
    ],
)
def test_images_that_are_not_allowed_are_refused(image: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"^keep: .*{message}"):
        restore(keep, image, PRIOR)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(1, 3, 8, 8), r"no value is below 0 .* 2 \* x - 1 converts \[0, 1\]"),
        (np.linspace(-1, 1, 48).reshape(4, 4, 3), r"50% of the values are below 0.* \(x \+ 1\) / 2 converts \[-1, 1\]"),
    ],
)
def test_values_of_another_range_are_reported_at_the_line_of_the_caller(image: Any, message: str) -> None:
    function = python_function(keep)
    with pytest.warns(RestorekitWarning, match=message) as found:
        function(image, PRIOR)
    assert found[0].filename == __file__


def test_arrays_of_12_bits_are_reported() -> None:
    image = np.linspace(0, 4095, 48).reshape(4, 4, 3).astype(np.uint16)
    with pytest.warns(RestorekitWarning, match=r"no value is above 4095, but arrays of uint16 are in \[0, 65535\]"):
        restore(keep, image, PRIOR)


def test_urls_name_the_function_that_reads_them() -> None:
    with pytest.raises(ImageError, match=r"^s3://a/b.png: found a URL, .* rk.restore_folder reads URLs"):
        restore(keep, "s3://a/b.png", PRIOR)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": torch.float32}, "keep precision: found torch.float32, allowed: 'auto', 'float32' or 'bfloat16'"),
        ({"tile": "64"}, "keep tile: found '64', allowed: an integer >= 1, or None"),
        ({"tile": 3}, "^tile: found 3"),
        ({"device": "gpu"}, "^device: unknown device 'gpu'"),
        ({"model": "ddpm-photo"}, "keep: unknown option 'model'; allowed: prior=..., the second argument"),
        ({"sed": 3}, "keep: unknown option 'sed'. Did you mean 'seed'?"),
    ],
)
def test_messages_name_the_arguments_of_python(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as found:
        restore(keep, torch.zeros(1, 3, 4, 4), PRIOR, **options)
    assert message.lstrip("^") in str(found.value)
    assert not message.startswith("^") or str(found.value).startswith(message[1:])


def test_iterators_are_lists() -> None:
    images = [np.full((4, 4, 3), value, np.uint8) for value in (1, 2)]
    assert [result[0, 0, 0] for result in restore(keep, iter(images), PRIOR)] == [1, 2]


@pytest.mark.parametrize("image", [torch.zeros(1, 3, 8, 8), torch.randn(1, 3, 8, 8) * 1.5, np.zeros((8, 8, 3))])
def test_usual_values_are_not_reported(image: Any) -> None:
    restore(keep, image, PRIOR)


def test_lists_give_lists_with_the_noise_of_each_file(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.png", 6, 5 + i, 3) for i, name in enumerate("ab")]
    results = restore(speckle, paths, PRIOR)
    for path, result in zip(paths, results, strict=True):
        assert result.tobytes() == restore(speckle, path, PRIOR).tobytes()
    y = torch.zeros(3, 3, 4, 4)
    together = restore(speckle, y, PRIOR)
    for i, result in enumerate(restore(speckle, list(y.split(1)), PRIOR)):
        assert torch.equal(result[0], together[i])
    mixed = restore(speckle, (paths[0], np.zeros((4, 4, 3), np.uint8), y), PRIOR, samples=2)
    assert [type(item).__name__ for item in mixed] == ["list", "ndarray", "Tensor"]
    assert (mixed[1].shape, mixed[2].shape) == ((2, 4, 4, 3), (2, 3, 3, 4, 4))
    assert restore(speckle, [], PRIOR) == []


MASK = np.zeros((6, 5), np.uint8)
MASK[:, 2] = 255


@pytest.mark.parametrize(
    "mask",
    [
        MASK,
        MASK > 0,
        MASK / 255,
        MASK.astype(np.uint16) * 257,
        np.dstack([MASK] * 3),
        torch.tensor(MASK[None, None] > 0),
    ],
)
def test_masks_may_be_arrays(mask: Any) -> None:
    image = np.full((6, 5, 3), 100, np.uint8)
    want = np.where(MASK[..., None] > 0, 255, image)
    np.testing.assert_array_equal(restore(fill, image, PRIOR, mask=mask), want)
    np.testing.assert_array_equal(restore(fill, [image, image], PRIOR, mask=[mask, mask]), [want, want])
    inverted = np.where(MASK[..., None] > 0, image, 255)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RestorekitWarning)  # most of the pixels are marked
        np.testing.assert_array_equal(restore(fill, image, PRIOR, mask=mask, invert_mask=True), inverted)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (MASK.astype(np.int32), "int32, allowed: bool, uint8, uint16, or floats"),
        (MASK * 1.0, "found values from 0 to 255, allowed: "),
        (torch.tensor(MASK[None, None]), "torch.uint8, allowed: bool, or floats"),
        (MASK[None, None], "found an array"),
        ([MASK, MASK], "found list"),
        (MASK[:-1] > 0, r"5 x 5, allowed: 5 x 6.*resize_mask|5 x 5, allowed: 5 x 6"),
        (np.linspace(0, 1, 30).reshape(6, 5), "most pixels are neither black nor white"),
        (np.full((6, 5), np.nan), "found values from nan"),
    ],
)
def test_masks_that_are_not_allowed_are_refused(mask: Any, message: str) -> None:
    with pytest.raises((OptionError, ImageError), match=message):
        restore(fill, np.zeros((6, 5, 3), np.uint8), PRIOR, mask=mask)


def test_an_option_that_is_misspelled_names_the_nearest_one() -> None:
    with pytest.raises(OptionError, match=r"fill: unknown option 'mask_chanel'. Did you mean 'mask_channel'\?"):
        restore(fill, np.zeros((6, 5, 3), np.uint8), PRIOR, mask=MASK, mask_chanel="red")


def test_number_of_masks_of_a_list_is_checked() -> None:
    with pytest.raises(OptionError, match="fill mask: found 3 images, allowed: 1 or 2"):
        restore(fill, [np.zeros((6, 5, 3), np.uint8)] * 2, PRIOR, mask=[MASK] * 3)


@pytest.mark.parametrize("seed", [-1, [1], "abc", 1.5, True, np.float64(2)])
def test_seeds_other_than_integers_are_refused(seed: Any) -> None:
    with pytest.raises(OptionError, match=r"speckle seed: found .*, allowed: an integer >= 0, or None for a new one"):
        restore(speckle, torch.zeros(1, 3, 4, 4), PRIOR, seed=seed)


def test_a_new_seed_is_reported_and_reproduces_the_result() -> None:
    y = torch.zeros(1, 3, 4, 4)
    with pytest.warns(RestorekitWarning, match=r"speckle: seed=\d+") as found:
        first, second = (restore(speckle, y, PRIOR, seed=None) for _ in range(2))
    assert not torch.equal(first, second)
    seed = int(str(found[0].message).partition("=")[2])
    assert torch.equal(restore(speckle, y, PRIOR, seed=np.int64(seed)), first)
    assert not torch.equal(restore(speckle, y, PRIOR, seed=2**70), restore(speckle, y, PRIOR, seed=2**71))


def test_other_arguments_than_a_prior_are_refused() -> None:
    with pytest.raises(ModelError, match=r"the prior is a int \(25\), .* options are passed by name, such as sigma=25"):
        restore(speckle, torch.zeros(1, 3, 4, 4), 25)  # type: ignore[arg-type]


def test_samples_require_a_recipe_with_samples() -> None:
    with pytest.raises(OptionError, match="keep samples: found 2, allowed: 1, since keep has no samples"):
        restore(keep, torch.zeros(1, 3, 4, 4), PRIOR, samples=2)
    assert "samples" not in python_function(keep).__signature__.parameters  # type: ignore[attr-defined]


def test_large_photos_are_restored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    @rk.recipe("striped", strips=lambda sample, info, options: {})
    def striped(y, prior, noise):
        """Store the size."""
        seen.append(y.shape[-2])
        return y.clone()

    monkeypatch.setattr(restoration, "MAX_PIXELS", 64 * 128 * 8)
    monkeypatch.setattr(
        restoration.restore_photo, "__defaults__", (*restoration.restore_photo.__defaults__[:-1], 64 * 128)
    )
    image = np.random.default_rng(0).integers(0, 255, (512, 128, 3), np.uint8)
    np.testing.assert_array_equal(restore(striped, image, PRIOR), image)
    assert max(seen[1:]) < 512
