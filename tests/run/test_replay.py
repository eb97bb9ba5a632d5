"""Results reproduced from their records, and compared with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from restorekit.run.manifest import MANIFEST, digest
from tests.models.small import small_model
from tests.run.test_folder import save

RECIPE = '''
from typing import Annotated
import restorekit as rk

@rk.recipe("scatter", samples=True)
def scatter(y, prior, noise, *, amount: Annotated[float, rk.Option("Amount.", min=0)] = 0.1):
    """Add noise."""
    return y + amount * noise.like(y)
'''


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


@pytest.fixture
def out(tmp_path: Path, restorekit, model: Path) -> Path:
    """A folder with two samples of two photos, by a recipe in a file, with a mask for nothing."""
    (tmp_path / "scatter.py").write_text(RECIPE)
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "in" / name, 16, 20, 3)
    words = "--samples", "2", "--seed", "4", "--amount", "0.3", "--model", model, "-o", tmp_path / "out"
    assert restorekit("run", tmp_path / "scatter.py", tmp_path / "in", *words)[0] == 0
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["a-1.png", "a-2.png", "b-1.jpg", "b-2.jpg"])
def test_replay_reproduces_a_result(out: Path, restorekit, name: str) -> None:
    code, text, err = restorekit("replay", out / name)
    target = out / name.replace(".", "-replay.")
    assert (code, text, err) == (0, f"replay: {target} is identical to the recorded result\n", "")
    assert target.read_bytes() == (out / name).read_bytes()


def test_replay_of_a_deleted_result(out: Path, restorekit) -> None:
    expected = digest(out / "a-1.png")
    (out / "a-1.png").unlink()
    code, text, _ = restorekit("replay", out / "a-1.png", "-o", out / "a-1.png", "--json")
    assert code == 0
    assert json.loads(text) == {"result": str(out / "a-1.png"), "output": str(out / "a-1.png"), "identical": True}
    assert digest(out / "a-1.png") == expected


def test_replay_uses_the_inversion_the_options_and_the_encoding_of_the_record(
    tmp_path: Path, restorekit, model: Path
) -> None:
    photo, mask = save(tmp_path / "a.png", 16, 20, 3), tmp_path / "m.png"
    image = Image.new("L", (20, 16), 255)
    image.paste(0, (4, 4, 8, 8))
    image.save(mask)
    target = tmp_path / "out" / "a.webp"
    words = "--mask", mask, "--invert-mask", "--steps", "2", "--output-quality", "40", "--no-lossless"
    assert restorekit("inpaint", photo, *words, "--model", model, "-o", target)[0] == 0
    code, text, _ = restorekit("replay", target)
    assert (code, "is identical" in text) == (0, True)


@pytest.mark.parametrize("name", ["in/a.png", "scatter.py", "model/model.safetensors"])
def test_replay_requires_unchanged_inputs(out: Path, restorekit, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    kind = {"in/a.png": "source", "scatter.py": "recipe_file", "model/model.safetensors": "models"}[name]
    if kind == "models":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    else:
        file.write_bytes(file.read_bytes() + b"\n")
    code, _, err = restorekit("replay", out / "a-1.png")
    assert code == 1
    assert err == f"error: {out / 'a-1.png'}: cannot be reproduced; changed since: {kind}\n"
    assert not (out / "a-1-replay.png").exists()


def test_replay_overwrites_nothing_by_default(out: Path, restorekit) -> None:
    save(out / "a-1-replay.png", 1, 1, 3)
    before = (out / "a-1-replay.png").read_bytes()
    code, _, err = restorekit("replay", out / "a-1.png")
    assert (code, err) == (1, f"error: {out / 'a-1-replay.png'}: exists; --overwrite replaces it\n")
    assert (out / "a-1-replay.png").read_bytes() == before
    assert restorekit("replay", out / "a-1.png", "--overwrite")[0] == 0


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize("kind", ["photo", "link", "hard link", "mask"])
def test_replay_never_replaces_a_file_of_the_record(
    tmp_path: Path, restorekit, model: Path, kind: str, options: tuple[str, ...]
) -> None:
    photo, mask, link = save(tmp_path / "a.png", 16, 20, 3), tmp_path / "m.png", tmp_path / "link.png"
    Image.new("L", (20, 16), 255).save(mask)
    words = "--mask", mask, "--steps", "2", "--model", model
    assert restorekit("inpaint", photo, *words, "-o", tmp_path / "out" / "a.png")[0] == 0
    if kind == "link":
        link.symlink_to(photo)
    elif kind == "hard link":
        os.link(photo, link)
    target = {"photo": photo, "mask": mask}.get(kind, link)
    before = digest(photo), digest(mask)
    code, _, err = restorekit("replay", tmp_path / "out" / "a.png", "-o", target, *options)
    assert (code, err) == (1, f"error: {target}: the result is made from this file; allowed: another file\n")
    assert (digest(photo), digest(mask)) == before
    assert link.is_symlink() == (kind == "link")


def test_replay_never_replaces_the_model_or_the_recipe(out: Path, restorekit, tmp_path: Path) -> None:
    for name in ("scatter.py", "model/model.safetensors"):
        # A link with the suffix of an image passes the check of the format.
        os.link(tmp_path / name, tmp_path / "link.png")
        code, _, err = restorekit("replay", out / "a-1.png", "-o", tmp_path / "link.png", "--overwrite")
        assert (code, "the result is made from this file" in err) == (1, True)
        assert (tmp_path / "link.png").samefile(tmp_path / name)
        (tmp_path / "link.png").unlink()


def test_replay_keeps_the_format(out: Path, restorekit, tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    code, _, err = restorekit("replay", out / "a-1.png", "-o", target)
    assert (code, err) == (1, f"error: {target}: found another format than that of the result, allowed: .png\n")
    assert restorekit("replay", out / "b-1.jpg", "-o", tmp_path / "b.jpeg")[0] == 0


@pytest.mark.parametrize("name", ["file/x.png", "/proc/x.png", "folder.png"])
def test_target_that_cannot_be_written(out: Path, restorekit, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    code, text, err = restorekit("replay", out / "a-1.png", "-o", tmp_path / name, "--overwrite")
    assert (code, text, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"error: {tmp_path / name}: ")


def change_record(folder: Path, name: str, **values: Any) -> None:
    """Change the record of a result; `request` and `engine` are updated, other values are replaced."""
    lines = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]
    for line in lines:
        if line["output"] == name:
            for key, value in values.items():
                line[key] = line[key] | value if key in ("request", "engine") and value else value
    (folder / MANIFEST).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    "values",
    [
        {"request": {}},
        {"request": {"sample": -1}},
        {"request": {"sample": "0"}},
        {"request": {"options": []}},
        {"request": {"side_images": {"mask": 3}}},
        {"request": {"encoding": {"quality": 0}}},
        {"request": {"models": {}}},
        {"request": {"recipe_file": None}},
        {"engine": {}},
        {"engine": {"precision": "half"}},
        {"files": {}},
        {"models": {}},
    ],
    ids=str,
)
def test_replay_of_a_damaged_record(out: Path, restorekit, values: dict[str, Any]) -> None:
    change_record(out, "a-1.png", **values)
    code, _, err = restorekit("replay", out / "a-1.png")
    assert (code, err) == (1, f"error: {out / 'a-1.png'}: cannot be reproduced; the record is damaged\n")


@pytest.mark.parametrize(
    "values",
    [{"request": {"options": {"amount": {"x": 1}}}}, {"request": {"sample": 10**12}}, {"request": {"seed": -1}}],
    ids=str,
)
def test_replay_of_a_changed_record_fails_in_one_line(out: Path, restorekit, values: dict[str, Any]) -> None:
    change_record(out, "a-1.png", **values)
    code, text, err = restorekit("replay", out / "a-1.png")
    assert code in (1, 2)
    assert len((err or text).splitlines()) == 1


def test_a_changed_recipe_file_is_not_run(out: Path, restorekit, tmp_path: Path) -> None:
    with (tmp_path / "scatter.py").open("a") as file:
        file.write(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")
    code, _, err = restorekit("replay", out / "a-1.png")
    assert (code, "changed since: recipe_file" in err) == (1, True)
    assert not (tmp_path / "was_run").exists()


def test_exception_of_a_recipe_is_one_line(tmp_path: Path, restorekit, model: Path) -> None:
    file, photo = tmp_path / "scatter.py", save(tmp_path / "a.png", 16, 20, 3)
    flag = tmp_path / "flag"
    file.write_text(
        RECIPE.replace("    return", f"    if __import__('os').path.exists({str(flag)!r}): [][1]\n    return")
    )
    assert restorekit("run", file, photo, "--model", model, "-o", tmp_path / "b.png")[0] == 0
    flag.touch()
    code, _, err = restorekit("replay", tmp_path / "b.png")
    assert code == 1
    start = f"error: {tmp_path / 'b.png'}: cannot be reproduced; IndexError: list index out of range ({file}, line"
    assert err.startswith(start)
    assert (len(err.splitlines()), "--debug" in err) == (1, False)


def test_models_are_relative_to_the_folder_of_the_result(out: Path, restorekit, tmp_path: Path) -> None:
    change_record(out, "a-1.png", models={"model": "../model"})
    assert "is identical" in restorekit("replay", out / "a-1.png")[1]


def test_replay_of_a_result_from_standard_input(out: Path, restorekit) -> None:
    change_record(
        out, "a-1.png", request={"name": "standard-input.png"}, files={"source": "no.png", "recipe": "../scatter.py"}
    )
    code, _, err = restorekit("replay", out / "a-1.png")
    reason = "cannot be reproduced; the photo was standard input, which is not kept"
    assert (code, err) == (1, f"error: {out / 'a-1.png'}: {reason}\n")


def test_replay_requires_a_record(out: Path, restorekit, tmp_path: Path) -> None:
    code, _, err = restorekit("replay", tmp_path / "in" / "a.png")
    assert code == 1
    assert "no record in" in err


@pytest.mark.parametrize("command", ["replay", "verify"])
@pytest.mark.parametrize("name", ["", "a-1.png"])
def test_manifest_that_cannot_be_read(
    out: Path, restorekit, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    opened = Path.open

    def refuse(self: Path, *arguments: Any, **kwargs: Any) -> Any:
        if self.name == MANIFEST:
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    code, _, err = restorekit(command, out / name)
    assert (code, len(err.splitlines())) == (1, 1)
