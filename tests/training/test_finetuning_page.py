"""The commands of docs/finetuning.md run, on generated images."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from accelerate.commands.config.config_args import load_config_from_file
from PIL import Image

from restorekit.training.plan_file import read_plan
from restorekit.training.plan_library import find_plan

DOCS = Path(__file__).parents[2] / "docs"
# Short enough for a test.
SHORT = ("run.steps=2", "run.batch=2", "data.workers=0", "run.precision=float32")


def commands(page: str) -> list[list[str]]:
    """Return the commands in the bash blocks of a page."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def scans(folder: Path, count: int) -> None:
    """Write grey images of dots, one of them in colour."""
    folder.mkdir()
    y, x = np.mgrid[:64, :72]
    for i in range(count):
        dots = 127 + 100 * np.sin(x / (2 + i)) * np.sin(y / 3)
        image = Image.fromarray(dots.astype(np.uint8))
        (image.convert("RGB") if i == 0 else image).save(folder / f"{i}.png")


@pytest.mark.filterwarnings("ignore::restorekit.RestorekitWarning")
def test_the_commands_of_the_page_run(tmp_path: Path, restorekit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my_photos", "my_validation", "my_scans"):
        scans(tmp_path / name, 2)
    found = commands("finetuning.md")
    assert [words[1] for words in found] == ["evaluate", "train", "evaluate", "denoise"]
    rows = []
    for program, *words in found:
        assert program == "restorekit"
        short = [word for override in SHORT for word in ("--set", override)] if words[0] == "train" else []
        code, out, err = restorekit(*words, *short)
        assert code == 0, err
        rows += [line for line in out.splitlines() if line.startswith("| 15 ")]
    assert [row.split("|")[2].strip() for row in rows] == ["noisy", "ddpm-photo", "noisy", "runs/finetune_photo"]
    assert (tmp_path / "runs" / "finetune_photo" / "model.safetensors").is_file()
    assert sorted(path.name for path in (tmp_path / "restored").glob("*.png")) == ["0.png", "1.png"]


def test_all_weights_of_the_bundled_prior_fit() -> None:
    tuned, photo = (read_plan(find_plan(name)) for name in ("finetune_photo", "ddpm_photo"))
    assert tuned.model == photo.model
    assert tuned.noise == photo.noise
    assert tuned.optimizer.lr == pytest.approx(0.3 * photo.optimizer.lr)


def test_settings_of_the_page_exist() -> None:
    page = (DOCS / "finetuning.md").read_text(encoding="utf-8")
    settings = sorted(set(re.findall(r"`(?:--set )?((?:data|run|optimizer)\.\w+) ?= ?(\S+?)`", page)))
    assert len(settings) >= 5
    read_plan(find_plan("finetune_photo"), [f"{key}={value.split('`')[0]}" for key, value in settings])
    plan = read_plan(find_plan("finetune_photo"))
    assert f"`optimizer.lr = {plan.optimizer.lr:.0e}`".replace("e-0", "e-") in page
    assert f"`run.ema = {plan.run.ema:g}`" in page
    assert f"for {plan.run.steps} steps of {plan.run.batch} crops of\n{plan.data.crop} x {plan.data.crop}" in page


def test_the_licence_of_the_weights_is_that_of_the_user() -> None:
    page = (DOCS / "finetuning.md").read_text(encoding="utf-8")
    assert read_plan(find_plan("finetune_photo")).card.license == "unknown"
    (example,) = re.findall(r"`(--set card\.data=.*?)`", page)
    card = read_plan(find_plan("finetune_photo"), shlex.split(example)[1::2]).card
    assert (card.data, card.license) == ("Scans of our own negatives. Initialised from ddpm-photo.", "cc-by-4.0")


def test_all_measured_figures_are_in_the_table_of_the_example() -> None:
    page = (DOCS / "finetuning.md").read_text(encoding="utf-8")
    text = "\n".join(line for line in page.splitlines() if not line.startswith("|"))
    assert re.findall(r"\d+\.\d+ (?:dB|/)", text) == ["0.1 dB"], "0.1 dB is the limit of the section on stopping"


def test_the_configuration_of_accelerate_is_valid(tmp_path: Path) -> None:
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "accelerate.yaml").write_text(block)
    config = load_config_from_file(str(tmp_path / "accelerate.yaml"))
    assert (config.distributed_type.value, config.num_processes, config.mixed_precision) == ("MULTI_GPU", 8, "no")
