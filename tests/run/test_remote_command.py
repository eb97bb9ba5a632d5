"""Remote files on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from restorekit.testing import GaussianPrior, run_command
from tests.run.remote import MEMORY, find, png, put, white

pytestmark = pytest.mark.usefixtures("stores")
DENOISE = ["denoise", "--sigma", "15"]
IN, OUT = "memory://bucket/in", "memory://bucket/out"


def command(*words: object) -> tuple[int, str, str]:
    return run_command(*words, prior=GaussianPrior())


def test_a_folder_is_restored_and_resumed(tmp_path: Path) -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1))
    code, out, err = command(*DENOISE, IN, "-o", OUT)
    assert (code, out, err) == (0, f"denoise: 2 restored to {OUT}\n", "")
    code, out, _ = command(*DENOISE, IN, "-o", OUT)
    assert (code, "2 skipped" in out) == (0, True)
    MEMORY.get("/bucket/in", str(tmp_path / "in"), recursive=True)
    command(*DENOISE, f"file://{tmp_path}/in", "-o", f"file://{tmp_path}/out")
    assert (tmp_path / "out" / "b.png").read_bytes() == MEMORY.cat_file("/bucket/out/b.png")


def test_reports_name_urls(tmp_path: Path) -> None:
    MEMORY.pipe_file("/bucket/in/damaged.png", b"no image")
    put(bucket_in_a=png())
    code, out, err = command(*DENOISE, IN, "-o", OUT)
    assert (code, out) == (1, f"denoise: 1 restored to {OUT}/a.png, 1 failed\n")
    assert err.startswith(f"failed: {IN}/damaged.png: ")
    assert err.count("memory://") == 1
    code, out, _ = command(*DENOISE, IN, "-o", OUT, "--json", "--overwrite")
    assert json.loads(out)["restored"] == [{"source": f"{IN}/a.png", "outputs": [f"{OUT}/a.png"]}]
    assert json.loads(out)["failed"][0]["source"] == f"{IN}/damaged.png"
    assert "mirror" not in out + MEMORY.cat_file("/bucket/out/.restorekit.jsonl").decode()


def test_a_dry_run_names_urls_and_states() -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1))
    command(*DENOISE, f"{IN}/a.png", "-o", OUT)
    before = find("bucket")
    code, out, _ = command(*DENOISE, IN, "-o", OUT, "--dry-run")
    assert (code, find("bucket")) == (0, before)
    assert f"done  {IN}/a.png -> {OUT}/a.png\nnew  {IN}/b.png -> {OUT}/b.png\n" in out
    code, out, _ = command(*DENOISE, IN, "-o", OUT, "--dry-run", "--json")
    assert [photo["outputs"] for photo in json.loads(out)["photos"]] == [[f"{OUT}/a.png"], [f"{OUT}/b.png"]]


def test_masks_may_be_remote(tmp_path: Path) -> None:
    put(bucket_in_a=png(), bucket_masks_a=white())
    (tmp_path / "a.png").write_bytes(png())
    words = ["--mask", "memory://bucket/masks", "--mode", "mean", "--steps", "1"]
    code, out, err = command("inpaint", tmp_path / "a.png", *words, "-o", f"{OUT}/filled.png")
    assert (code, out) == (0, f"inpaint: 1 restored to {OUT}/filled.png\n"), err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([*DENOISE, "unknown://bucket/in"], 2, "error: unknown://bucket/in: Protocol not known: unknown"),
        ([*DENOISE, IN, "-o", IN], 2, f"error: --output: {IN}/a.png is an input; originals are never overwritten"),
        ([*DENOISE, IN, "-o", f"{OUT}.png"], 2, f"error: --output: {OUT}.png is the name of a file, but the input"),
        (["inpaint", IN, "--mask", f"{IN}/none.png"], 1, f"error: --mask: {IN}/none.png: no such file or folder"),
        ([*DENOISE, f"{IN}/none.png", "-o", "-"], 1, f"error: {IN}/none.png: no such file or folder"),
        (["verify", OUT], 2, f"error: {OUT}: found a URL, allowed: a file or folder of this machine"),
        (["replay", f"{OUT}/a.png"], 2, f"error: {OUT}/a.png: found a URL, allowed"),
        (["replay", "a.png", "-o", OUT], 2, f"error: {OUT}: found a URL, allowed"),
    ],
)
def test_errors_are_one_line_with_the_url(words: list[str], code: int, message: str) -> None:
    put(bucket_in_a=png())
    found, out, err = command(*words)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(message)
