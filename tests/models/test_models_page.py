"""The commands of docs/models.md, run as printed; its section on importing needs published checkpoints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.models.files import CARD, WEIGHTS
from tests.models.fake_hub import FakeHub
from tests.models.importers.test_diffusers import LAYOUTS, write_folder
from tests.models.small import small_model
from tests.run.test_folder import save

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
IMPORT = "## Importing a published checkpoint"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.filterwarnings("ignore:Use 'content=")
@pytest.mark.skipif(not PAGE.is_file(), reason="requires the repository: docs/ is not in the package")
def test_the_commands_of_the_page_run(restorekit, hub: FakeHub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "my-ddpm", LAYOUTS["ho"])
    hub.add("google/ddpm-celebahq-256", files_in(tmp_path / "my-ddpm"))
    card = b"---\nlicense: mit\n---\n"
    (small_model(tmp_path / "runs" / "photo") / CARD).write_bytes(card)
    weights = (tmp_path / "runs" / "photo" / WEIGHTS).read_bytes()
    for revision in ("main", "v1", "3f1c0d2"):
        hub.add("org/name", {WEIGHTS: weights, CARD: card}, branch=revision)
    save(tmp_path / "photo.png", 16, 16, 3)
    Image.fromarray(np.uint8([[0] * 8 + [255] * 8] * 16)).save(tmp_path / "m.png")
    save(tmp_path / "CBSD68" / "a.png", 16, 16, 3)
    page = PAGE.read_text(encoding="utf-8")
    lines = [line for block in BLOCK.findall(page.split(IMPORT)[0]) for line in block.splitlines()]
    assert len(lines) >= 10
    for line in lines:
        command, _, file = line.partition(" > ")
        program, *words = shlex.split(command, comments=True)
        assert program == "restorekit"
        code, out, err = restorekit(*words)
        assert code == 0, f"{line}: {err}"
        if file:
            Path(file).write_text(out, encoding="utf-8")
    assert (tmp_path / "models" / "name" / WEIGHTS).read_bytes() == weights
    pushed = hub.repositories["org/name"]
    assert b"model-index" in pushed.commits[pushed.branches["main"]][CARD]
