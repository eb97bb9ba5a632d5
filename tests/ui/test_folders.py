"""The folder tab does what the command does."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restorekit.errors import ImageError, OptionError
from restorekit.plugins.discovery import recipes
from restorekit.ui.access import Access, make_access
from restorekit.ui.folder_tab import MAX_ROWS, outcome
from restorekit.ui.folders import FolderOrder, FolderReport, Planned, plan_folder, restore_folder
from restorekit.ui.jobs import Job
from restorekit.ui.order import Order
from restorekit.ui.visitor import Visitors
from tests.models.small import small_model
from tests.run.test_folder import save, save_mask

SECONDS = 120
LOCAL = make_access("127.0.0.1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def order(tmp_path: Path, model: str) -> FolderOrder:
    """A folder with two photos, one of them in a subfolder, and a damaged one."""
    save(tmp_path / "in" / "a.png", 40, 30, 3)
    save(tmp_path / "in" / "sub" / "b.jpg", 40, 30, 3)
    (tmp_path / "in" / "c.png").write_text("damaged")
    return FolderOrder(Order(recipes()["denoise"], {"sigma": 25}, model=model), str(tmp_path / "in"))


def run(
    visitors: Visitors, order: FolderOrder, access: Access = LOCAL, on_change: Callable[[Job], None] = lambda job: None
) -> Job:
    """The job at its end."""
    job, done = Job(lambda job: restore_folder(job, order, access, "cpu")), threading.Event()
    job._listeners.add(lambda: on_change(job))
    visitors.queue.add(job)
    job.when_finished(done.set)
    assert done.wait(SECONDS)
    return job


def test_a_plan_writes_nothing(order: FolderOrder, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    planned = plan_folder(order, LOCAL, "cpu")
    source, target = tmp_path / "in", tmp_path / "in-denoise"
    names = ("a.png", "c.png", "sub/b.jpg")
    assert planned.rows == tuple(("new", str(source / name), str(target / name)) for name in names)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_results_are_those_of_the_command(restorekit, visitors, order, model, tmp_path) -> None:
    texts: list[str] = []
    job = run(visitors, order, on_change=lambda job: texts.append(job.progress.text))
    assert job.state == "done"
    found: FolderReport = job.result
    assert found.text == "2 restored, 1 failed of 3 photos"
    assert len(found.failures) == 1
    assert found.failures[0].startswith(f"{tmp_path}/in/c.png: not a readable image")
    assert "1 of 3 photos" in texts
    assert any("a.png: step 1, window 1 of" in text for text in texts)
    command = ["denoise", tmp_path / "in", "--sigma", "25", "--model", model, "-o", tmp_path / "out", "--device", "cpu"]
    assert restorekit(*command)[0] == 1
    for name in ("a.png", "sub/b.jpg"):
        assert (tmp_path / "in-denoise" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert run(visitors, order).result.text == "0 restored, 2 skipped because results exist, 1 failed of 3 photos"
    assert [row[0] for row in plan_folder(order, LOCAL, "cpu").rows] == ["done", "new", "done"]


def test_a_stopped_run_resumes(visitors: Visitors, model: str, tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / "in" / f"{number}.png", 40, 30, 3)
    order = FolderOrder(Order(recipes()["denoise"], {"sigma": 25}, model=model), str(tmp_path / "in"))

    def stop(job: Job) -> None:
        if job.progress.text == "1 of 12 photos":
            job.stop()

    job = run(visitors, order, on_change=stop)
    assert job.state == "stopped"
    match = re.fullmatch(r"(\d+) restored of 12 photos; stopped, Restore resumes", job.result.text)
    assert match is not None, job.result.text
    done = int(match[1])
    assert 1 <= done < 12
    expected = f"{12 - done} restored, {done} skipped because results exist of 12 photos"
    assert run(visitors, order).result.text == expected


def test_masks_are_paths(visitors: Visitors, model: str, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 40, 30, 3)
    save_mask(tmp_path / "m.png", 40, 30)
    options = {"mask": str(tmp_path / "m.png"), "mode": "mean", "steps": 2}
    order = FolderOrder(Order(recipes()["inpaint"], options, model=model), str(tmp_path / "in"))
    assert run(visitors, order).result.text == "1 restored of 1 photos"
    missing = replace(order, order=replace(order.order, options={**options, "mask": str(tmp_path / "none.png")}))
    with pytest.raises(ImageError, match=r"none\.png"):
        plan_folder(missing, LOCAL, "cpu")


@pytest.mark.parametrize(("source", "message"), [(" ", "source: no folder"), ("/nowhere", "/nowhere: no such file")])
def test_wrong_folders(order: FolderOrder, source: str, message: str) -> None:
    with pytest.raises((OptionError, ImageError), match=message):
        plan_folder(replace(order, source=source), LOCAL, "cpu")


def test_only_allowed_folders(order: FolderOrder, tmp_path: Path, visitors: Visitors) -> None:
    outside = save(tmp_path / "private" / "p.png", 40, 30, 3)
    access = make_access("0.0.0.0", "a token of enough length", [tmp_path / "in"])
    inside = replace(order, target=str(tmp_path / "in" / "results"))
    assert len(plan_folder(inside, access, "cpu").rows) == 3
    wrong: list[FolderOrder] = [
        replace(inside, source=str(outside.parent)),
        replace(inside, source=f"{tmp_path}/in/../private"),
        replace(inside, source="s3://bucket/photos"),
        replace(inside, target=str(tmp_path / "out")),
        order,  # its default target is next to the source
    ]
    options = {"mask": str(outside), "mode": "mean"}
    wrong.append(replace(inside, order=Order(recipes()["inpaint"], options)))
    for found in wrong:
        with pytest.raises(OptionError, match="is outside the folders of --folders"):
            plan_folder(found, access, "cpu")
        assert run(visitors, found, access).state == "failed"
    (tmp_path / "in" / "link.png").symlink_to(outside)
    with pytest.raises(OptionError, match=r"source: .*link\.png is outside the folders of --folders"):
        plan_folder(inside, access, "cpu")


def test_the_table_is_limited_and_escaped() -> None:
    rows = tuple(("new", f"<b>{number}.png", "out") for number in range(MAX_ROWS + 3))
    job: Any = Job(lambda job: None)
    job.result, job.state = Planned(rows, "1 broken link"), "done"
    status, table = outcome(job)
    assert "left out: 1 broken link" in status
    assert f"{MAX_ROWS + 3} photos; nothing was written" in status
    assert table.count("<tr>") == MAX_ROWS + 1
    assert "and 3 more" in table
    assert "<b>" not in table
