from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restorekit.errors import ImageError, OptionError
from restorekit.evaluation import baselines, denoising, inpainting
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.run.engine import make_engine
from restorekit.testing import GaussianPrior

ENGINE = make_engine("cpu", "float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo = data.astronaut()
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo[60:124, 180:260]).save(tmp_path / "photos" / "a.png")
    Image.fromarray(photo[200:264, 180:260]).save(tmp_path / "photos" / "b.png")
    return tmp_path / "photos"


def test_metrics() -> None:
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


def test_denoising_table(folder: Path) -> None:
    said: list[str] = []
    table = denoising.evaluate(folder, [50, 25], GaussianPrior(0.0, 0.5), ENGINE, say=said.append)
    assert table.mean("25", "noisy")[0] == pytest.approx(20 * math.log10(255 / 25), abs=0.1)
    for sigma in ("25", "50"):
        noisy = table.mean(sigma, "noisy")[0]
        for method in ("GaussianPrior", "NLM", "TV", "wavelet"):
            assert table.mean(sigma, method)[0] > noisy + (0.1 if method == "GaussianPrior" else 2)
    assert len(said) == 3, "the header, and the rows of each sigma as soon as they are measured"
    assert said[0].startswith("| sigma | method | PSNR (dB)")
    assert [len(lines.splitlines()) for lines in said] == [2, 5, 5]
    assert said[1].startswith("| 25 | noisy |")


def test_noise_of_a_photo_is_always_the_same() -> None:
    clean = torch.zeros(3, 20, 20)
    a = denoising.degrade(clean, "a", 25, 0)
    assert torch.equal(a, denoising.degrade(clean, "a", 25, 0))
    assert not torch.equal(a, denoising.degrade(clean, "b", 25, 0))
    assert a.abs().max() > 25 * 2 / 255 * 2.5


def test_inpainting_table(folder: Path, tmp_path: Path) -> None:
    marks = np.zeros((64, 80), np.uint8)
    marks[20:26, 30:60] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(marks).save(tmp_path / "masks" / "bar-80x64.png")
    table = inpainting.evaluate(folder, [tmp_path / "masks"], ["mean"], GaussianPrior(0.0, 0.5), ENGINE)
    assert table.mean("bar", "biharmonic")[0] > 20
    assert {method for _, method in table.rows} >= {"GaussianPrior mean", "biharmonic"}


def test_opencv_baselines_fill_the_hole_alone() -> None:
    cv2 = pytest.importorskip("cv2")
    assert cv2
    clean = torch.from_numpy(data.astronaut()[:64, :64].copy()).permute(2, 0, 1) / 127.5 - 1
    hole = torch.zeros(1, 64, 64, dtype=torch.bool)
    hole[:, 30:34, 10:50] = True
    for name in ("Telea", "Navier-Stokes", "biharmonic"):
        filled = baselines.fillers()[name](torch.where(hole, -torch.ones(1), clean), hole)
        torch.testing.assert_close(filled[:, ~hole[0]], clean[:, ~hole[0]], rtol=0, atol=1e-3)
        assert psnr(filled, clean, hole) > 20


def test_what_cannot_be_measured_is_said(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "m-8x8.png")
    with pytest.raises(OptionError, match="unknown option 'stepz'"):
        inpainting.evaluate(folder, [tmp_path], ["mean"], GaussianPrior(), ENGINE, options={"stepz": "3"})
    with pytest.raises(OptionError, match="--sigma"):
        denoising.evaluate(folder, [300], GaussianPrior(), ENGINE)
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no image below it"):
        denoising.evaluate(tmp_path / "none", [25], GaussianPrior(), ENGINE)
    mask = tmp_path / "m-9x9.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(mask)
    with pytest.raises(ImageError, match="--mask m: none is 80 x 64"):
        inpainting.evaluate(folder, [mask], ["mean"], GaussianPrior(), ENGINE)


def test_grey_photos_are_measured_beside_all_baselines(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(data.camera()[60:124, 180:260]).save(tmp_path / "photos" / "a.png")
    marks = np.zeros((64, 80), np.uint8)
    marks[20:26, 30:60] = 255
    Image.fromarray(np.dstack([np.full_like(marks, 255), marks])).save(tmp_path / "bar-80x64.png")
    prior = GaussianPrior(0.0, 0.5, channels=1)
    table = denoising.evaluate(tmp_path / "photos", [25], prior, ENGINE)
    assert all(table.mean("25", method)[0] > 25 for method in ("NLM", "TV", "wavelet"))
    table = inpainting.evaluate(tmp_path / "photos", [tmp_path / "bar-80x64.png"], ["mean"], prior, ENGINE)
    assert table.mean("bar", "biharmonic")[0] > 15
