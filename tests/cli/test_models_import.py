"""`restorekit models import`, and restoring with a folder of diffusers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests import golden
from tests.models.importers.test_diffusers import LAYOUTS, write_folder
from tests.models.importers.test_guided import ADDITIVE


def photo_and_mask(folder: Path) -> tuple[str, str]:
    pixels = np.random.default_rng(0).integers(0, 256, (18, 20, 3), dtype=np.uint8)
    mask = np.zeros((18, 20), dtype=np.uint8)
    mask[6:9, 7:11] = 255
    Image.fromarray(pixels).save(folder / "photo.png")
    Image.fromarray(mask).save(folder / "mask.png")
    return str(folder / "photo.png"), str(folder / "mask.png")


def test_folder_of_diffusers_and_its_import_restore_identically(restorekit, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", LAYOUTS["training-script"], pipeline=True)
    code, out, _ = restorekit("models", "import", str(source), "-o", str(tmp_path / "model"))
    assert (code, out.strip().endswith("1.0 million parameters, 16 px")) == (0, True)
    photo, mask = photo_and_mask(tmp_path)
    results = []
    for model in (source, tmp_path / "model"):
        output = tmp_path / f"out-{model.name}"
        words = ("inpaint", photo, "--mask", mask, "--model", str(model), "--steps", "2", "-o", str(output))
        assert restorekit(*words)[0] == 0
        results.append(np.asarray(Image.open(output / "photo.png")))
    assert np.array_equal(*results)


def test_checkpoint_is_imported_with_flags(restorekit, tmp_path: Path) -> None:
    torch.save(golden.load("gd_unet_uncond_additive").weights, tmp_path / "m.pt")
    code, out, _ = restorekit(
        "models", "import", str(tmp_path / "m.pt"), "-o", str(tmp_path / "m"), "--flags", ADDITIVE
    )
    assert (code, "A network of guided-diffusion" in out) == (0, True)
    assert "16 x 16 pixels" in (tmp_path / "m" / "README.md").read_text()


def test_failed_import_is_one_line(restorekit, tmp_path: Path) -> None:
    code, _, err = restorekit("models", "import", str(tmp_path / "none.pt"), "-o", str(tmp_path / "m"))
    assert code == 1
    assert err.count("\n") == 1
    assert "no such file or folder" in err
    assert not (tmp_path / "m").exists()
