"""The code on the pages on Python and on operators runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def blocks(name: str, heading: str = "") -> str:
    """Return the code blocks of a page after a heading."""
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    section = re.split(r"^##", page.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0] if heading else page
    return "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


@pytest.mark.filterwarnings("ignore::restorekit.RestorekitWarning")
@pytest.mark.parametrize(("page", "heading"), [("python", ""), ("solvers", "### Your own operator")])
def test_code_blocks_run(page: str, heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(100, 20, (40, 48, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    mask = Image.new("L", (48, 40))
    mask.paste(255, (10, 20, 30, 22))
    mask.save(tmp_path / "mask.png")
    (tmp_path / "photos").mkdir()
    Image.fromarray(noise).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    code = blocks(page, heading)
    assert "import restorekit as rk" in code
    exec(compile(code, f"docs/{page}.md", "exec"), {"__name__": "page"})
    if page == "python":
        assert (tmp_path / "restored" / "a.png").is_file()
