"""Tests of the installed plugin: command, Python function, files and the quantisation constraint."""

from __future__ import annotations

import io
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.fft import dctn
from torch import Tensor

import restorekit as rk
from restorekit.testing import check_recipe, photo, run_command

plugin = pytest.importorskip("restorekit_dejpeg", reason="not installed: pip install ./plugins/restorekit-dejpeg")

# JFIF (ITU-T T.871).
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
SIZE = 53, 45


class Smooth:
    """A blind prior: the mean of 5 x 5 pixels."""

    def __init__(self, channels: int = 3) -> None:
        self.info = rk.PriorInfo(channels, None, 0.1, 1.0, blind=True)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return F.avg_pool2d(F.pad(x, [2] * 4, mode="reflect"), 5, 1)


class Told(Smooth):
    """The same with classes; notes the labels that it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.info = rk.PriorInfo(3, None, 0.1, 1.0, blind=True, classes=("other", "jpeg"), no_label=2)
        self.labels: list[Tensor | None] = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.labels.append(label)
        return super().__call__(x, sigma)


def saved(path: Path | io.BytesIO, channels: int = 3, **options: Any) -> Any:
    """Save a crop of a photo, as JPEG of quality 20 and with full chroma by default."""
    values = ((photo(*SIZE, channels)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    Image.fromarray(values.squeeze()).save(path, **({"format": "JPEG", "quality": 20, "subsampling": 0} | options))
    return path


def opened(channels: int = 3, **options: Any) -> Image.Image:
    return Image.open(saved(io.BytesIO(), channels, **options))


def decoded(image: Image.Image) -> Tensor:
    values = np.array(image)
    values = values.reshape(*values.shape[:2], -1)
    return torch.from_numpy(values).permute(2, 0, 1)[None].float() / 127.5 - 1


def steps(image: Any, half_chroma: bool = False) -> Tensor:
    tables = [image.quantization[table] for *_, table in image.layer]
    tables = [tables[0], *([0] * 64 if half_chroma else t for t in tables[1:]), *[[0] * 64] * (3 - len(tables))]
    return torch.tensor(tables, dtype=torch.float32).reshape(1, 3, 8, 8)


def spectrum(difference: Tensor) -> np.ndarray:
    """Return the coefficients (planes, rows, columns, 8, 8) of the complete blocks, in grey levels."""
    values = difference[0].double().numpy() * 127.5
    planes = np.tensordot(YCBCR, values, 1) if len(values) == 3 else values
    planes = planes[:, :48, :40].reshape(-1, 6, 8, 5, 8).transpose(0, 1, 3, 2, 4)
    return dctn(planes, axes=(-2, -1), norm="ortho")


def command(*words: object) -> tuple[int, str, str]:
    """Run `restorekit dejpeg ...` with a blind prior; return exit code, standard output and standard error."""
    return run_command("dejpeg", *words, prior=Smooth())


def test_entry_point_is_registered() -> None:
    (entry,) = entry_points(group="restorekit", name="dejpeg")
    assert (entry.value, entry.dist and entry.dist.name) == ("restorekit_dejpeg", "restorekit-dejpeg")


@pytest.mark.parametrize("channels", [1, 3])
def test_no_coefficient_changes_by_more_than_half_a_step_and_the_tolerance(channels: int) -> None:
    image = opened(channels, quality=80)
    y = decoded(image)
    got = rk.dejpeg(y, Smooth(channels), quality=steps(image))
    limit = steps(image)[0, :channels].numpy()[:, None, None] / 2 + 1
    before, after = (np.abs(spectrum(x - y)) for x in (Smooth(channels)(y, torch.ones(1)), got))
    assert (after <= limit + 1e-3).all()
    np.testing.assert_allclose(after, np.minimum(before, limit), atol=1e-3, err_msg="and no more than necessary")
    for plane, far in enumerate((before > limit).mean((1, 2, 3, 4))):
        assert 0.005 < far < 0.9, f"plane {plane}: the prior alone violates the constraint"


def test_no_plane_has_a_larger_error_than_with_the_prior_alone() -> None:
    image, clean = opened(quality=80), photo(*SIZE)
    y = decoded(image)
    got = rk.dejpeg(y, Smooth(), quality=steps(image))
    errors = [np.square(spectrum(x - clean)).mean((1, 2, 3, 4)) for x in (got, Smooth()(y, torch.ones(1)))]
    assert (errors[0] < 0.95 * errors[1]).all()


def test_planes_without_steps_and_incomplete_blocks_are_those_of_the_prior() -> None:
    image = opened(subsampling=2)
    y = decoded(image)
    estimate = Smooth()(y, torch.ones(1))
    got = rk.dejpeg(y, Smooth(), quality=steps(image, half_chroma=True))
    np.testing.assert_allclose(spectrum(got - y)[1:], spectrum(estimate - y)[1:], atol=1e-3)
    torch.testing.assert_close(got[..., 48:, :], estimate[..., 48:, :])
    torch.testing.assert_close(got[..., 40:], estimate[..., 40:])
    assert not torch.allclose(got[..., :48, :40], estimate[..., :48, :40], atol=0.01)


def test_photos_smaller_than_a_block_are_those_of_the_prior() -> None:
    y = photo(7, 5)
    torch.testing.assert_close(rk.dejpeg(y, Smooth(), quality=10), Smooth()(y, torch.ones(1)))


def test_strength_is_the_fraction_of_the_correction() -> None:
    y = decoded(opened())
    full, half, none = (rk.dejpeg(y, Smooth(), quality=20, strength=strength) for strength in (1, 0.5, 0))
    torch.testing.assert_close(half, (y + full) / 2)
    assert torch.equal(none, y)


def test_tensors_without_tables_are_corrected_by_the_prior_alone_with_a_note() -> None:
    y = decoded(opened())
    with pytest.warns(rk.RestorekitWarning, match="no quantisation tables in the file; the correction is not limited"):
        got = rk.dejpeg(y, Smooth())
    torch.testing.assert_close(got, Smooth()(y, torch.ones(1)))


def test_a_prior_with_the_class_jpeg_is_told() -> None:
    prior, y = Told(), decoded(opened()).expand(3, -1, -1, -1)
    got = rk.dejpeg(y, prior, quality=20)
    torch.testing.assert_close(got, rk.dejpeg(y, Smooth(), quality=20))
    (label,) = prior.labels
    assert label is not None
    assert label.tolist() == [1, 1, 1]


def test_every_photo_of_a_batch_has_its_own_tables() -> None:
    images = [opened(quality=quality) for quality in (10, 60)]
    y, tables = torch.cat([decoded(image) for image in images]), torch.cat([steps(image) for image in images])
    got = rk.dejpeg(y, Smooth(), quality=tables)
    for i, image in enumerate(images):
        torch.testing.assert_close(got[i : i + 1], rk.dejpeg(y[i : i + 1], Smooth(), quality=steps(image)))


def test_recipe_passes_the_checks() -> None:
    check_recipe(plugin.dejpeg, **plugin.examples()["dejpeg"])


@pytest.mark.parametrize(
    ("options", "half_chroma"),
    [({}, False), ({"progressive": True}, False), ({"subsampling": 2}, True), ({"subsampling": 1}, True)],
)
def test_command_reads_the_tables_of_the_file(tmp_path: Path, options: dict[str, Any], half_chroma: bool) -> None:
    path = saved(tmp_path / "a.jpg", **options)
    code, out, err = command(path, "-o", tmp_path / "b.png")
    assert (code, out, err) == (0, f"dejpeg: 1 restored to {tmp_path / 'b.png'}\n", "")
    with Image.open(path) as image, Image.open(tmp_path / "b.png") as result:
        want = rk.dejpeg(decoded(image), Smooth(), quality=steps(image, half_chroma)).clamp(-1, 1)
        torch.testing.assert_close(decoded(result), want, rtol=0, atol=0.6 / 127.5)


def test_quality_is_that_of_a_photo_that_was_saved_again_in_another_format(tmp_path: Path) -> None:
    with Image.open(saved(tmp_path / "a.jpg", subsampling=2)) as image:
        image.save(tmp_path / "b.png")
    for name, words in (("a.jpg", ()), ("b.png", ("--quality", 20))):
        assert command(tmp_path / name, "-o", tmp_path / f"out-{name}.png", *words)[::2] == (0, "")
    results = [Image.open(tmp_path / f"out-{name}.png").tobytes() for name in ("a.jpg", "b.png")]
    assert results[0] == results[1]


def test_photos_without_tables_are_restored_with_a_note(tmp_path: Path) -> None:
    with Image.open(saved(tmp_path / "a.jpg")) as image:
        image.save(tmp_path / "b.png")
        image.convert("CMYK").save(tmp_path / "c.jpg")
    code, out, err = command(tmp_path / "b.png", tmp_path / "c.jpg", "-o", tmp_path / "out")
    assert (code, out) == (0, f"dejpeg: 2 restored to {tmp_path / 'out'}\n")
    note = "no quantisation tables in the file; the correction is not limited (--quality sets the tables)"
    notes = [f"{tmp_path / 'b.png'}: {note}", f"{tmp_path / 'c.jpg'}: CMYK was converted to RGB"]
    assert err.splitlines() == [f"note: {line}" for line in (*notes, f"{tmp_path / 'c.jpg'}: {note}")]


@pytest.mark.parametrize("quality", ["0", "101", "30.5", "high"])
def test_invalid_quality_fails_with_one_line(tmp_path: Path, quality: str) -> None:
    code, out, err = command(saved(tmp_path / "a.jpg"), "--quality", quality)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'--quality'" in err
    assert "allowed: an integer from 1 to 100, or auto" in err


def test_readme_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| `--")}
    defaults = {"--" + p.name: str(p.default).removesuffix(".0") for p in plugin.dejpeg.parameters}
    assert rows == defaults
