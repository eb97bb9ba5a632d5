from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restorekit.errors import ImageError, OptionError, RestorekitWarning
from restorekit.evaluation import baselines, denoising, inpainting
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.run.engine import make_engine
from restorekit.testing import GaussianPrior

ENGINE = make_engine("cpu", "float32")
METHODS = "GaussianPrior sample", "GaussianPrior sample, mean of 8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo = data.astronaut()
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo[60:124, 180:260]).save(tmp_path / "photos" / "a.png")
    Image.fromarray(photo[200:264, 180:260]).save(tmp_path / "photos" / "b.png")
    return tmp_path / "photos"


def test_psnr_and_ssim_of_known_differences() -> None:
    a = torch.rand(3, 32, 32) * 2 - 1
    assert psnr(a, a) == math.inf
    assert psnr(a + 0.02, a) == pytest.approx(10 * math.log10(4 / 0.02**2), abs=1e-4)
    half = torch.zeros(1, 32, 32, dtype=torch.bool)
    half[:, :16] = True
    b = a.clone()
    b[:, 16:] += 1
    assert psnr(b, a, half) == math.inf
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(b, a) < 0.9


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_psnr_and_ssim_accept_the_images_that_recipes_return(metric) -> None:
    pixels = data.astronaut()[:40, :32], data.astronaut()[1:41, :32]
    tensors = [torch.from_numpy(a.copy()).permute(2, 0, 1).double() / 127.5 - 1 for a in pixels]
    expected = pytest.approx(metric(*tensors), rel=1e-5)
    assert metric(*pixels) == expected
    assert metric(*(a.astype(np.uint16) * 257 for a in pixels)) == expected
    assert metric(*(a / 255 for a in pixels)) == expected
    assert metric(*map(Image.fromarray, pixels)) == expected
    assert metric(*(x[None] for x in tensors)) == expected
    assert metric(Image.fromarray(pixels[0]), tensors[1]) == expected
    with pytest.warns(RestorekitWarning, match=r"converts \[-1, 1\]"):
        metric(2 * pixels[0] / 255 - 1, pixels[1])


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_psnr_and_ssim_refuse_what_is_no_pair_of_images(metric) -> None:
    pixels = data.astronaut()[:40, :32]
    with pytest.raises(OptionError, match=r"image: found a tensor of torch.uint8, allowed: floats .*; x / 127\.5 - 1"):
        metric(torch.from_numpy(pixels), pixels)
    with pytest.raises(OptionError, match=r"found images \(3, 40, 32\) and \(3, 39, 32\), allowed: of equal shape"):
        metric(pixels, pixels[1:])
    with pytest.raises(OptionError, match="target: found int, allowed: "):
        metric(pixels, 3)


def test_ssim_refuses_batches_and_images_smaller_than_its_window() -> None:
    for shape in ((2, 3, 16, 16), (3, 16, 10), (16, 16)):
        with pytest.raises(OptionError, match=r"^ssim: found images .*, allowed: \(C, H, W\), H and W at least 11"):
            ssim(torch.zeros(shape), torch.zeros(shape))


def test_denoising_evaluation_measures_prior_and_baselines(folder: Path) -> None:
    lines: list[str] = []
    table = denoising.evaluate(folder, [50, 25], GaussianPrior(0.0, 0.5), ENGINE, write_line=lines.append)
    assert table.mean("25", "noisy")[0] == pytest.approx(20 * math.log10(255 / 25), abs=0.1)
    for sigma in ("25", "50"):
        noisy = table.mean(sigma, "noisy")[0]
        for method in ("GaussianPrior", "NLM", "TV", "wavelet"):
            assert table.mean(sigma, method)[0] > noisy + (0.1 if method == "GaussianPrior" else 2)
    assert len(lines) == 3, "the header, then the rows of each sigma"
    assert lines[0].startswith("| sigma | method | PSNR (dB)")
    assert [len(text.splitlines()) for text in lines] == [2, 5, 5]
    assert lines[1].startswith("| 25 | noisy |")


def test_denoising_is_evaluated_with_an_estimated_sigma(folder: Path) -> None:
    prior = GaussianPrior(0.0, 0.5)
    told = denoising.evaluate(folder, [25], prior, ENGINE, baselines=False).mean("25", "GaussianPrior")
    options = {"sigma": "auto", "noise": "gaussian"}
    with pytest.warns(RestorekitWarning, match="white noise of sigma 2"):
        found = denoising.evaluate(folder, [25], prior, ENGINE, options=options, baselines=False)
    assert found.mean("25", "GaussianPrior")[0] == pytest.approx(told[0], abs=0.3)
    assert found.mean("25", "GaussianPrior")[0] != told[0]


def test_noise_is_determined_by_seed_name_and_sigma() -> None:
    clean = torch.zeros(3, 20, 20)
    a = denoising.degrade(clean, "a", 25, 0)
    assert torch.equal(a, denoising.degrade(clean, "a", 25, 0))
    for name, sigma, seed in (("b", 25, 0), ("a", 50, 0), ("a", 25, 1)):
        other = denoising.degrade(clean, name, sigma, seed)
        assert not torch.allclose(a / 25, other / sigma)
        assert other.std().item() == pytest.approx(sigma * 2 / 255, rel=0.1)


def test_inpainting_evaluation_measures_prior_and_baselines(folder: Path, tmp_path: Path) -> None:
    mask = np.zeros((64, 80), np.uint8)
    mask[20:26, 30:60] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "bar-80x64.png")
    table = inpainting.evaluate(folder, [tmp_path / "masks"], ["mean"], GaussianPrior(0.0, 0.5), ENGINE)
    assert table.mean("bar", "biharmonic")[0] > 20
    assert {method for _, method in table.rows} >= {"GaussianPrior mean", "biharmonic"}


def test_the_mean_of_samples_is_closer_to_the_mean_than_one_sample(folder: Path, tmp_path: Path) -> None:
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, 30:50] = 255
    Image.fromarray(mask).save(tmp_path / "box-80x64.png")
    prior = GaussianPrior(0.0, 0.5)
    tables = [
        inpainting.evaluate(
            folder, [tmp_path / "box-80x64.png"], ["sample", "mean"], prior, ENGINE, baselines=False, samples=samples
        )
        for samples in (1, 8)
    ]
    one, several = (table.mean("box", method)[0] for table, method in zip(tables, METHODS, strict=True))
    assert one + 0.5 < several < tables[1].mean("box", "GaussianPrior mean")[0]
    assert len(tables[1].rows["box", METHODS[1]]) == 2


def test_baselines_of_inpainting_change_only_the_hole() -> None:
    cv2 = pytest.importorskip("cv2")
    assert cv2
    clean = torch.from_numpy(data.astronaut()[:64, :64].copy()).permute(2, 0, 1) / 127.5 - 1
    hole = torch.zeros(1, 64, 64, dtype=torch.bool)
    hole[:, 30:34, 10:50] = True
    for name in ("Telea", "Navier-Stokes", "biharmonic"):
        filled = baselines.fillers()[name](torch.where(hole, -torch.ones(1), clean), hole)
        torch.testing.assert_close(filled[:, ~hole[0]], clean[:, ~hole[0]], rtol=0, atol=1e-3)
        assert psnr(filled, clean, hole) > 20


def test_invalid_arguments_are_reported(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "m-8x8.png")
    with pytest.raises(OptionError, match="unknown option 'stepz'"):
        inpainting.evaluate(folder, [tmp_path], ["mean"], GaussianPrior(), ENGINE, options={"stepz": "3"})
    with pytest.raises(OptionError, match="--sigma"):
        denoising.evaluate(folder, [300], GaussianPrior(), ENGINE)
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no image in this folder"):
        denoising.evaluate(tmp_path / "none", [25], GaussianPrior(), ENGINE)
    mask = tmp_path / "m-9x9.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(mask)
    with pytest.raises(ImageError, match="--mask m: no mask has the size of a, 80 x 64"):
        inpainting.evaluate(folder, [mask], ["mean"], GaussianPrior(), ENGINE)


def test_baselines_accept_grey_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(data.camera()[60:124, 180:260]).save(tmp_path / "photos" / "a.png")
    mask = np.zeros((64, 80), np.uint8)
    mask[20:26, 30:60] = 255
    Image.fromarray(np.dstack([np.full_like(mask, 255), mask])).save(tmp_path / "bar-80x64.png")
    prior = GaussianPrior(0.0, 0.5, channels=1)
    table = denoising.evaluate(tmp_path / "photos", [25], prior, ENGINE)
    assert all(table.mean("25", method)[0] > 25 for method in ("NLM", "TV", "wavelet"))
    table = inpainting.evaluate(tmp_path / "photos", [tmp_path / "bar-80x64.png"], ["mean"], prior, ENGINE)
    assert table.mean("bar", "biharmonic")[0] > 15


def test_masks_are_read_like_those_of_the_command(tmp_path: Path) -> None:
    marks = np.zeros((6, 5), np.uint8)
    marks[2] = 1
    Image.fromarray(marks).save(tmp_path / "line-5x6.png")
    with pytest.warns(RestorekitWarning, match="line-5x6.png: --mask: the values are 0 and 1"):
        masks = inpainting.read_masks([tmp_path])
    assert masks["line"][6, 5][0].tolist() == (marks == 1).tolist()
    Image.fromarray(data.astronaut()[:6, :5]).save(tmp_path / "photo-5x6.png")
    with pytest.raises(ImageError, match=r"photo-5x6\.png: --mask: "):
        inpainting.read_masks([tmp_path / "photo-5x6.png"])
