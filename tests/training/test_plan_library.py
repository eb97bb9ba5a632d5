"""The training plans that ship with restorekit, and `restorekit train NAME`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from restorekit.training.plan_library import FIELDS, PLANS, find_plan, plan_headers, plan_paths

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.toml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plans_of_a_checkout_are_found_by_name() -> None:
    assert PLANS == ROOT / "recipes"
    assert list(plan_paths()) == NAMES
    assert find_plan("ddpm_photo") == find_plan("ddpm-photo") == ROOT / "recipes" / "ddpm_photo.toml"


def test_the_wheel_contains_the_plans() -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'restorekit[dev]'")
    from hatchling.builders.wheel import WheelBuilder

    files = {Path(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    # `PLANS` in an installed package: beside restorekit/training.
    assert {file.stem for file in files if file.parent == Path("restorekit/recipes")} >= set(NAMES)
    assert Path("restorekit/training/plan_library.py") in files


def test_a_file_wins_over_a_name(folder: Path) -> None:
    (folder / "ddpm_photo").mkdir()
    assert find_plan("ddpm_photo") == PLANS / "ddpm_photo.toml"
    (folder / "ddpm_photo").rmdir()
    (folder / "ddpm_photo").write_text("")
    assert find_plan("ddpm_photo") == Path("ddpm_photo")


@pytest.mark.parametrize("header", plan_headers(), ids=lambda header: header.name)
def test_headers_are_complete(header) -> None:
    path = PLANS / f"{header.name}.toml"
    text = path.read_text(encoding="utf-8")
    comment = text.split("\n\n[card]")[0]
    assert all(f"\n# {field}: " in comment for field in FIELDS)
    assert all(len(line) <= 123 for line in comment.splitlines())
    assert header.summary.endswith(".")
    assert f"#   restorekit train {header.name} " in comment
    # The paper is named with its arXiv number, or the bundled weights.
    assert re.search(
        r"arXiv \d{4}\.\d{5}|bundled (class-conditional )?prior|guides|classifier of scenes", header.summary
    )


def test_plans_are_listed(restorekit) -> None:
    code, out, err = restorekit("train", "--list")
    assert (code, err) == (0, "")
    header, *rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert header == ["name", "summary", "data", "result", "hardware"]
    assert [row[0] for row in rows] == NAMES
    assert all(len(row) == 5 for row in rows)
    code, out, _ = restorekit("train", "--list", "--json")
    assert code == 0
    assert [list(record.values()) for record in json.loads(out)] == rows
    cifar = next(record for record in json.loads(out) if record["name"] == "ncsn_cifar10")
    assert "FID 25.32" in cifar["result"]
    assert cifar["data"].startswith("CIFAR-10")


def test_a_plan_is_trained_by_name(folder: Path, restorekit) -> None:
    code, out, _ = restorekit("train", "ddpm-photo", "--dry-run", "--set", "run.steps=7")
    assert code == 0
    assert json.loads(out)["card"]["name"] == "ddpm-photo"
    assert json.loads(out)["run"]["steps"] == 7
    code, _, err = restorekit("train", "ddpm_photo", "--set", "data.folder=none")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "data.folder: none is not a folder" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ddpm",), rf"train: unknown plan 'ddpm'\. Did you mean 'ddpm_fill'\? Allowed: {', '.join(NAMES)}\.$"),
        (("",), rf"train: unknown plan ''\. Allowed: {', '.join(NAMES)}\.$"),
        (("ddpm.toml",), r"train: ddpm\.toml does not exist \(in .*\); --list prints the names of shipped plans$"),
        (("plans/ddpm",), r"train: plans/ddpm does not exist"),
        (("--list", "ddpm_photo"), "train: --list lists the shipped plans; allowed with it: only --json$"),
        (("--list", "--resume"), "train: --list lists the shipped plans; allowed with it: only --json$"),
        (("--list", "--new", "a.toml"), "train: --list lists the shipped plans; allowed with it: only --json$"),
        (("ddpm_photo", "--json"), "train: --list lists the shipped plans; allowed with it: only --json$"),
    ],
)
def test_errors_are_one_line(folder: Path, restorekit, words: tuple[str, ...], message: str) -> None:
    code, out, err = restorekit("train", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert re.search(message, err.strip())
    assert list(folder.iterdir()) == []
