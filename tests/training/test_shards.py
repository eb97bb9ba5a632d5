"""Streaming of images from tar files."""

from __future__ import annotations

import io
import itertools
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from restorekit.errors import TrainingError
from restorekit.testing import run_command
from restorekit.training import shards
from restorekit.training.batches import batches
from restorekit.training.data_plan import DataPlan, expand_ranges
from restorekit.training.loop import Trainer, train
from restorekit.training.plan import Plan
from restorekit.training.shards import Sample, Samples, class_index, read_shard
from tests.training.plans import tiny_plan

NET = {"channels": 32, "multipliers": [1], "blocks": 1, "norm": "layer", "middle_attention": False}


def encoded(value: int, suffix: str = "png", side: int = 16) -> bytes:
    """Return an image file of one grey level."""
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(file, {"jpg": "JPEG"}.get(suffix, suffix))
    return file.getvalue()


def write_shard(path: Path, files: dict[str, bytes]) -> None:
    """Write files to a tar file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def grey_shards(folder: Path, count: int = 4, each: int = 5) -> str:
    """Write shards of images, each of another grey level; return their pattern."""
    for i in range(count):
        files = {f"{i}-{j}.png": encoded(10 * (i * each + j)) for j in range(each)}
        write_shard(folder / f"train-{i:02d}.tar", files)
    return str(folder / f"train-{{00..{count - 1:02d}}}.tar")


def plan_of(pattern: str, **keys: object) -> DataPlan:
    return DataPlan(shards=pattern, crop=16, **{"shuffle_megabytes": 1, "workers": 2, **keys})  # type: ignore[arg-type]


def levels(plan: DataPlan, steps: int, *, process: int = 0, processes: int = 1, start: int = 0, **keys: object) -> list:
    """Return the grey levels of the crops of some steps, with batches of 4."""
    common = {"channels": 3, "seed": 3, "device": torch.device("cpu"), "count": 4, **keys}
    source = batches(plan, first=(start * processes + process) * 4, stride=4 * processes, **common)
    found = [next(source)[0] for _ in range(steps)]
    source.close()  # type: ignore[attr-defined]
    return [grey_level(crop) for crops in found for crop in crops]


def grey_level(crop: Tensor) -> int:
    return round((float(crop.mean()) + 1) * 127.5)


def test_samples_are_files_with_a_common_key(tmp_path: Path) -> None:
    files = {
        "a/1.cls": b"2",
        "a/1.jpg": b"first",
        "a/1.json": b"{}",
        "a/2.left.PNG": b"second",
        "a/2.right.png": b"of the same sample",
        "b/2.txt": b"no image",
        "b/3.webp": b"third",
        "b/4.cls": b"no image either",
        "b/.png": b"no key",
        "c.jpeg": b"last",
    }
    write_shard(tmp_path / "a.tar", files)
    found = list(read_shard(str(tmp_path / "a.tar"), pytest.fail))
    assert [(sample.image, sorted(sample.label)) for sample in found] == [
        (b"first", [".cls", ".json"]), (b"second", []), (b"third", []), (b"last", []),
    ]  # fmt: skip
    assert found[0].name == f"{tmp_path / 'a.tar'}: a/1.jpg"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_crops_are_those_of_the_images(tmp_path: Path, suffix: str) -> None:
    write_shard(tmp_path / "a.tar", {f"{i}.{suffix}": encoded(50 * i + 20, suffix) for i in range(4)})
    found = levels(plan_of(str(tmp_path / "a.tar")), 2)
    assert sorted(found[:4]) == sorted(found[4:]) == [20, 70, 120, 170]


def test_every_image_is_seen_once_per_epoch_in_another_order(tmp_path: Path) -> None:
    found = levels(plan_of(grey_shards(tmp_path)), 15)
    epochs = [found[:20], found[20:40], found[40:60]]
    assert all(sorted(epoch) == list(range(0, 200, 10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert found == levels(plan_of(grey_shards(tmp_path), workers=0), 15), "the number of threads has no effect"
    assert found != levels(plan_of(grey_shards(tmp_path)), 15, seed=4)


@pytest.mark.parametrize("start", [1, 4, 5, 6, 12, 17])
def test_a_resumed_run_continues_the_sequence(tmp_path: Path, start: int) -> None:
    plan = plan_of(grey_shards(tmp_path))
    assert levels(plan, 3, start=start) == levels(plan, start + 3)[4 * start :]


def test_skipped_epochs_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, opened = plan_of(grey_shards(tmp_path)), []
    original = shards.read_shard
    monkeypatch.setattr(shards, "read_shard", lambda url, note: opened.append(url) or original(url, note))
    stream = Samples(plan.shard_urls, "seed", 10**6).start(20 * 50 + 3)
    next(stream)
    assert len(opened) == 8, "the first epoch, which is counted, and the current one"


def test_processes_have_different_shards(tmp_path: Path) -> None:
    plan = plan_of(grey_shards(tmp_path, count=5, each=4))
    found = [set(levels(plan, 6, process=process, processes=2)) for process in (0, 1)]
    assert (len(found[0]), len(found[1])) == (12, 8)
    assert not found[0] & found[1]
    with pytest.raises(TrainingError, match="found 5 shards, allowed: at least one for each of 6 processes"):
        levels(plan, 1, processes=6)


def test_the_buffer_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path / "a.tar", {f"{i}.png": bytes(100) for i in range(200)})
    read: list[int] = []
    original = shards.read_shard

    def counted(url, note):
        for sample in original(url, note):
            read.append(len(sample.image))
            yield sample

    monkeypatch.setattr(shards, "read_shard", counted)
    stream = Samples([str(tmp_path / "a.tar")], "seed", 1000).start(0)
    for taken in range(1, 191):
        next(stream)
        # The image that exceeds the limit is taken or replaces another one.
        assert sum(read) == 1000 + 100 * taken
    assert shards.SPARES < 10


def test_labels_are_read_from_files(tmp_path: Path) -> None:
    classes = ("dark", "light")
    files: dict[str, bytes] = {}
    for i, (cls, label) in enumerate([(b"light\n", 0), (b"0", "light"), (b"1", 1)]):
        files |= {f"{i}.cls": cls, f"{i}.png": encoded(i), f"{i}.json": json.dumps({"label": label}).encode()}
    write_shard(tmp_path / "a.tar", files)
    for kind, expected in (("cls", {0: 1, 1: 0, 2: 1}), ("json", {0: 0, 1: 1, 2: 1})):
        plan = plan_of(str(tmp_path / "a.tar"), labels=kind)
        source = batches(
            plan, channels=3, seed=0, device=torch.device("cpu"), count=3, first=0, stride=3, classes=classes
        )
        crops, labels = next(source)
        assert labels is not None
        assert {grey_level(crop): int(label) for crop, label in zip(crops, labels, strict=True)} == expected


@pytest.mark.parametrize(
    ("suffix", "content", "expected"),
    [
        (".cls", b"1\n", 0),
        (".cls", b"3", 2),
        (".cls", b"0", 0),
        (".json", b'{"label": "2"}', 1),
        (".json", b'{"label": 2}', 1),
    ],
)
def test_a_name_wins_over_an_index(suffix: str, content: bytes, expected: int) -> None:
    sample = Sample("a.tar: 1.png", b"", {suffix: content})
    assert class_index(sample, suffix, ("1", "2", "3")) == expected


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("cls", b"grey"),
        ("cls", b"2"),
        ("cls", None),
        ("cls", b"\xff"),
        ("json", b"{}"),
        ("json", b"[1]"),
        ("json", b""),
    ],
)
def test_invalid_labels_are_one_line(tmp_path: Path, kind: str, content: bytes | None) -> None:
    write_shard(tmp_path / "a.tar", {"1.png": encoded(1), **({} if content is None else {f"1.{kind}": content})})
    plan = plan_of(str(tmp_path / "a.tar"), labels=kind)
    message = rf"^data\.labels: .*a\.tar: 1\.png has no valid class in \.{kind}; allowed: dark, light, or an index$"
    with pytest.raises(TrainingError, match=message):
        levels(plan, 1, classes=("dark", "light"))


def test_damaged_images_are_replaced_with_one_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{i}.png": encoded(10 * i) for i in range(12)}
    whole = dict(files)
    for i in (3, 7):
        files[f"{i}.png"] = files[f"{i}.png"][:-30]
    write_shard(tmp_path / "a.tar", files)
    write_shard(tmp_path / "whole.tar", whole)
    damaged, complete = (levels(plan_of(str(tmp_path / f"{name}.tar")), 9) for name in ("a", "whole"))
    same = [a == b for a, b in zip(damaged, complete, strict=True)]
    assert [b in (30, 70) for b in complete] == [not equal for equal in same], "the order of the others is the same"
    assert not {30, 70} & set(damaged)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(r"^train: .*a\.tar: [37]\.png cannot be read \(.+\); damaged images are skipped", lines[0])
    # The same after resumption.
    assert levels(plan_of(str(tmp_path / "a.tar")), 4, start=5) == damaged[20:]


def test_damaged_shards_end_early_with_one_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = grey_shards(tmp_path, count=2, each=5)
    first = tmp_path / "train-00.tar"
    first.write_bytes(first.read_bytes()[:2700])
    found = levels(plan_of(pattern), 6)
    assert set(range(50, 100, 10)) < set(found)
    assert 1 <= len(set(found) & set(range(0, 50, 10))) < 5
    (line,) = capsys.readouterr().err.splitlines()
    assert "train-00.tar: cannot be read to its end" in line
    first.write_text("this is no archive")
    assert set(levels(plan_of(pattern), 6)) == set(range(50, 100, 10))


def test_shards_without_a_readable_image_are_one_line(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"1.txt": b""})
    with pytest.raises(TrainingError, match=r"^data\.shards: no image in .*a\.tar and 0 other shards$"):
        levels(plan_of(str(tmp_path / "a.tar")), 1)
    write_shard(tmp_path / "a.tar", {f"{i}.png": b"no image" for i in range(20)})
    with pytest.raises(TrainingError, match=r"^data\.shards: .*png and 8 images after and before it are damaged$"):
        levels(plan_of(str(tmp_path / "a.tar")), 1)


def test_remote_shards_are_streamed(tmp_path: Path) -> None:
    import fsspec

    grey_shards(tmp_path)
    store = fsspec.filesystem("memory")
    for path in tmp_path.glob("*.tar"):
        store.pipe_file(f"/shards/{path.name}", path.read_bytes())
    found = levels(plan_of("memory://shards/train-{00..03}.tar"), 5)
    assert found == levels(plan_of(str(tmp_path / "train-{00..03}.tar")), 5)
    with pytest.raises(TrainingError, match=r"^data\.shards: memory://shards/other\.tar does not exist"):
        levels(plan_of("memory://shards/other.tar"), 1)
    with pytest.raises(TrainingError, match=r"^data\.shards: nowhere://a\.tar cannot be opened \(.*nowhere"):
        levels(plan_of("nowhere://a.tar"), 1)


class LostError(Exception):
    """An error of a store, like aiohttp.ClientPayloadError, which is no OSError."""


@pytest.mark.parametrize(
    "error", [LostError("response payload\nis not completed"), TimeoutError(), OSError(5, "fault")]
)
def test_a_lost_connection_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import fsspec
    from fsspec.implementations.memory import MemoryFile

    grey_shards(tmp_path, count=1)
    fsspec.filesystem("memory").pipe_file("/lost/a.tar", (tmp_path / "train-00.tar").read_bytes())
    read = MemoryFile.read

    def fail(self: MemoryFile, size: int) -> bytes:
        if self.tell() > 0:
            raise error
        return read(self, min(size, 2048))

    monkeypatch.setattr(MemoryFile, "read", fail)
    notes: list[str] = []
    with pytest.raises(TrainingError) as caught:
        list(read_shard("memory://lost/a.tar", notes.append))
    reason = " ".join(str(error).split()) or type(error).__name__
    line = f"data.shards: memory://lost/a.tar cannot be read to its end ({reason}); --resume continues"
    assert (str(caught.value), notes) == (line, [])


def test_ranges_are_expanded() -> None:
    assert expand_ranges("a/b.tar") == ["a/b.tar"]
    assert expand_ranges("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expand_ranges("{1..2}/{0..1}") == ["1/0", "1/1", "2/0", "2/1"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"shards": "a-{1,2}.tar"},
            r"data\.shards: found 'a-\{1,2\}\.tar', allowed: ranges such as \{000000\.\.000099\}",
        ),
        ({"shards": "a-{3..1}.tar"}, r"data\.shards: found 0 shards in .*, allowed: 1 to 1000000"),
        ({"shards": "{0..999}{0..9999}"}, r"data\.shards: found 10000000 shards in"),
        ({"shards": "a.tar", "folder": "b"}, r"data\.folder is b, but data\.shards is given; allowed: null"),
        ({"shards": "a.tar", "by_area": True}, r"data\.by_area is True, but data\.shards is given; allowed: False"),
        (
            {"shards": "a.tar", "dataset": "mnist"},
            r"data\.dataset is mnist, but data\.shards is given; allowed: folder",
        ),
        (
            {"shards": "a.tar", "labels": "folders"},
            r"data\.labels is 'folders'; allowed with data\.shards: 'cls', 'json'",
        ),
        ({"folder": "b", "labels": "cls"}, r"data\.labels is 'cls'; allowed with data\.shards"),
        ({}, r"data\.folder is missing; allowed: data\.folder or data\.shards"),
    ],
)
def test_contradictions_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataPlan(crop=16, **keys)  # type: ignore[arg-type]


def test_a_training_on_shards_resumes_identically(tmp_path: Path) -> None:
    pattern = grey_shards(tmp_path / "data")
    raw = tiny_plan(tmp_path, run={"steps": 7, "batch": 4, "weights": "float32"}, model={"net": NET}).model_dump()
    raw["data"] |= {"folder": None, "shards": pattern}
    plan = Plan.model_validate(raw)
    train(plan, tmp_path / "whole")
    part = plan.model_copy(update={"run": plan.run.model_copy(update={"steps": 3})})
    # The learning rate depends on the number of steps.
    plan_without_decay = {"optimizer": plan.optimizer.model_copy(update={"decay": "none"})}
    whole, part = (each.model_copy(update=plan_without_decay) for each in (plan, part))
    train(whole, tmp_path / "a")
    train(part, tmp_path / "b")
    train(whole, tmp_path / "b", resume=True)
    first, second = (Trainer(whole, tmp_path / name, resume=True) for name in ("a", "b"))
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)
    changed = whole.model_copy(update={"run": whole.run.model_copy(update={"accumulate": 2})})
    with pytest.raises(
        TrainingError, match=r"differs from that of .* in run\.accumulate: checkpoint 1, plan 2; allowed:"
    ):
        Trainer(changed, tmp_path / "a", resume=True)


def test_missing_shards_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        '[card]\nname = "a"\ndata = "b"\n[data]\nshards = "none/a-{0..1}.tar"\n[run]\nsteps = 1\n'
    )
    code, _, err = run_command("train", tmp_path / "plan.toml", "-o", tmp_path / "out")
    assert code == 1
    assert re.search(r"^error: data\.shards: none/a-0\.tar does not exist \(in .*\)$", err.strip())
    code, _, err = run_command("train", tmp_path / "plan.toml", "--set", "model.classes=folders")
    assert (code, err.count("\n")) == (2, 1)
    assert "model.classes is 'folders', but data.shards is given; allowed: the names in a list" in err


def test_shards_of_webdataset_are_read(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for i in range(4):
            writer.write({"__key__": f"sample{i}", "png": encoded(50 * i), "cls": i})
    assert sorted(levels(plan_of(str(tmp_path / "a.tar")), 1)) == [0, 50, 100, 150]
    found = itertools.islice(read_shard(str(tmp_path / "a.tar"), pytest.fail), 4)
    assert [sample.label[".cls"] for sample in found] == [b"0", b"1", b"2", b"3"]
