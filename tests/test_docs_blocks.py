"""The code blocks of the README and of all pages run, in order, in a folder with small photos.

A block is `sh`, `bash` or `python`. One that other tests run, or that cannot run here, has a comment before it:

    <!-- run by: tests/test_python_page.py -->
    <!-- not run: needs several machines -->

A comment after the title of a page is for all its blocks of a language:

    <!-- sh blocks are run by: tests/plugins/test_tutorial.py -->
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.plugins.discovery import plugins
from tests.models.fake_hub import FakeHub
from tests.models.small import small_model

ROOT = Path(__file__).parents[1]
PACKAGES = sorted((ROOT / "plugins").glob("*/README.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *PACKAGES]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*?) -->\n)?^(`{3,})(sh|bash|python)\n(.*?)^\2$", re.MULTILINE | re.DOTALL)
ALL_BLOCKS = re.compile(r"^<!-- (sh|bash|python) blocks are run by: (.*?) -->$", re.MULTILINE)
# Options that make a command short. An option that is repeated has its last value.
SHORT = {
    "complete": ["--steps", "1"],
    "inpaint": ["--steps", "2"],
    "superres": ["--steps", "2"],
    "deblur": ["--steps", "2"],
    "colorize": ["--steps", "1"],
    "sample": ["--steps", "2", "--size", "16"],
    "train": [
        word
        for setting in (
            "run.steps=1",
            "run.batch=2",
            "data.workers=0",
            "run.precision=float32",
            "model.net.channels=32",
        )
        for word in ("--set", setting)
    ],
}
# Results that a page names.
RESULTS = {
    "README": ("photos-denoise/a.jpg", "photo-inpaint.png"),
    "index": ("photos-denoise/a.jpg", "photo-inpaint.png"),
    "quickstart": (
        *("photo-denoise.jpg", "photos-denoise/a.jpg", "photos-denoise/.restorekit.jsonl", "restored/b.png"),
        *("four/photo-1.jpg", "four/photo-4.jpg", "sea.png", "weaker.png"),
    ),
    "restorekit-superres": ("photo-superres.jpg", "photos-superres/a.jpg"),
    "folders": ("out/.restorekit.jsonl", "again.jpg", "filled/a.jpg", "filled/b.png"),
}
# Blocks that no test runs. A new one needs a reason, and a larger number here.
NOT_RUN = 18


@dataclass(frozen=True)
class Block:
    """A code block of a page, and what the comment before it states."""

    language: str
    code: str
    not_run: str | None
    run_by: str | None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    tests = dict(ALL_BLOCKS.findall(text))
    found = []
    for comment, _, language, code in BLOCK.findall(text):
        kind, _, value = comment.partition(": ")
        not_run = value if kind == "not run" else None
        run_by = value if kind == "run by" else None if not_run else tests.get(language)
        found.append(Block(language, code, not_run, run_by))
    return found


def name(page: Path) -> str:
    """Return the name of a page: that of its package, or of its file."""
    return page.parent.name if page in PACKAGES else page.stem


RUN = {page: [block for block in blocks(page) if not block.not_run and not block.run_by] for page in PAGES}


def commands(code: str) -> list[tuple[list[str], str]]:
    """Return the commands of a block: words, and the file that receives standard output or the empty string."""
    lines = [line.partition(" > ") for line in code.replace("\\\n", " ").splitlines()]
    words = [(shlex.split(line, comments=True), file.strip()) for line, _, file in lines]
    return [(line, file) for line, file in words if line]


def prepare(folder: Path) -> dict[str, object]:
    """Write the photos, masks and models that the pages name; return the variables that their Python blocks use."""
    y, x = np.mgrid[:40, :48]
    clean = np.stack([120 + 60 * np.sin(x / 5), 100 + 2 * y, 3 * x + y], axis=2)
    pixels = (clean + np.random.default_rng(0).normal(0, 8, clean.shape)).clip(0, 255).astype(np.uint8)
    photo = Image.fromarray(pixels)
    files = ("photo.png", "photo.jpg", "screenshot.png", "photos/a.jpg", "photos/b.png", "PHOTOS/1.png", "PHOTOS/2.png")
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        photo.save(folder / file)
    photo.convert("L").save(folder / "grey.jpg")
    Image.fromarray(np.uint8([[0, 90, 0], [90, 255, 90], [0, 90, 0]])).save(folder / "kernel.png")
    narrow, wide = Image.new("L", photo.size), Image.new("L", photo.size)
    narrow.paste(255, (10, 20, 30, 22))
    wide.paste(255, (14, 10, 34, 30))
    (folder / "masks").mkdir()
    for file in ("mask.png", "scratches.png", "masks/a.png", "masks/b.png"):
        narrow.save(folder / file)
    wide.save(folder / "hole.png")
    small_model(folder / "adm256")
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    operator = rk.Masking(torch.rand(1, 1, 40, 48, generator=torch.Generator().manual_seed(0)) > 0.5)
    mask = torch.from_numpy(np.asarray(narrow).copy())[None, None].float() / 255
    return {
        "__name__": "page",
        "x": tensor,
        "y": tensor,
        "z": tensor,
        "mask": mask,
        "operator": operator,
        "gamma": 2.0,
    }


@pytest.mark.filterwarnings("ignore::restorekit.RestorekitWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if RUN[page]], ids=name)
def test_the_blocks_of_the_page_run(
    page: Path, tmp_path: Path, restorekit, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page in PACKAGES and name(page).removeprefix("restorekit-") not in {plugin.name for plugin in plugins()}:
        pytest.skip(f"{name(page)} is not installed")
    variables = prepare(tmp_path)
    weights = {file.name: file.read_bytes() for file in (tmp_path / "adm256").iterdir()}
    hub.add("org/name", weights, branch="v1")
    monkeypatch.chdir(tmp_path)
    for block in RUN[page]:
        if block.language == "python":
            exec(compile(block.code, str(page), "exec"), variables)
            continue
        for (program, *words), file in commands(block.code):
            if program == "pip":
                continue
            assert program == "restorekit", f"{name(page)}: {program} does not run in this test; state why in a comment"
            short = SHORT.get(words[0], []) if not {"--labels", "--list", "--new"} & set(words) else []
            code, out, err = restorekit(*words, *short)
            assert code == 0, f"{name(page)}: {' '.join(words)}: {err}"
            if file:
                Path(file).write_text(out, encoding="utf-8")

    for file in RESULTS.get(name(page), ()):
        assert (tmp_path / file).is_file(), f"{name(page)}: {file}"


def test_blocks_that_do_not_run_state_why() -> None:
    reasons = {(name(page), block.not_run) for page in PAGES for block in blocks(page) if block.not_run is not None}
    count = sum(block.not_run is not None for page in PAGES for block in blocks(page))
    assert all(len(str(reason)) > 10 for _, reason in reasons)
    assert count == NOT_RUN, "\n".join(f"{found}: {reason}" for found, reason in sorted(reasons, key=str))


def test_blocks_that_other_tests_run_are_named_there() -> None:
    named = {(page, block.run_by) for page in PAGES for block in blocks(page) if block.run_by}
    assert len(named) >= 6
    for page, test in named:
        assert re.search(rf"\b{page.stem}\b", (ROOT / str(test)).read_text(encoding="utf-8")), f"{name(page)}: {test}"


def test_all_commands_of_the_pages_are_in_blocks() -> None:
    for page in PAGES:
        text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        found = re.findall(r"^(?: {4,}|\t)(?:restorekit|python|pip|accelerate|make)\b.*", text, re.MULTILINE)
        assert not found, f"{name(page)}: {found}"


def test_every_block_has_a_language() -> None:
    for page in PAGES:
        fences = re.findall(r"^`{3,}(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) % 2 == 0, page.name
        assert all(fences[::2]), f"{name(page)}: a block without a language; allowed: text for output"
