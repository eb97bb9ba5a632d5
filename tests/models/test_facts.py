"""`restorekit models info`: facts, memory, and the metadata of the bundled cards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import PriorInfo
from restorekit.core.family import PriorFamily
from restorekit.core.reserved import BUNDLED
from restorekit.models.cards import card_facts, measured_values, training_data
from restorekit.models.config import EpsilonConfig, ScoreConfig
from restorekit.models.facts import model_facts
from restorekit.models.files import CARD, WEIGHTS
from restorekit.models.hub import fetch
from restorekit.models.memory import _PeakMemory, evaluation_bytes, evaluation_side, parameter_count
from restorekit.models.registry import bundled_models, load_model
from tests.models.fake_hub import FakeHub
from tests.models.importers.test_diffusers import LAYOUTS, write_folder
from tests.models.small import CLASSIFIER, CONDITIONAL, CONFIG, small_model

UPSAMPLER = EpsilonConfig.model_validate(
    {**CONFIG.model_dump(), "net": {**CONFIG.net.model_dump(), "low_res": True}, "low_res_factor": 4}
)


@pytest.mark.parametrize("name", ["ddpm-photo", "guided-scenes", "ncsn-photo", "classifier-patches"])
def test_facts_of_bundled_models_are_those_of_the_loaded_ones(name: str) -> None:
    facts, model = model_facts(name), load_model(name)
    assert facts["kind"] == ("classifier" if name.startswith("classifier") else "prior")
    assert facts["parameters"] == sum(value.numel() for value in model.parameters())
    assert facts["dtypes"] == ["F16"]
    assert (facts["licence"], facts["sha256"]) == ("apache-2.0", facts["recorded_sha256"])
    assert facts["architecture"]["network"]
    assert "levels in [0, 1]" in facts["architecture"] or "schedule" in facts["architecture"]["process"]
    assert facts["training_data"].startswith(("BSDS500 train and test", "Intel image classification set"))
    assert "\n" not in facts["training_data"]
    assert facts["measured"]
    if facts["kind"] == "prior":
        info = model.info
        assert facts["sigmas"] == [info.sigma_min, info.sigma_max]
        assert facts["any_size"] == (info.size is None)
        assert facts["classes"] == (None if info.classes is None else list(info.classes))
    assert facts["memory"]["weights"] == 4 * facts["parameters"]


def test_facts_of_a_repository_include_its_commit_and_card(hub: FakeHub, tmp_path: Path) -> None:
    weights = (small_model(tmp_path / "m") / WEIGHTS).read_bytes()
    card = b"---\nlicense: mit\ndatasets:\n- bsds500\n- cbsd68\n---\n# small\n"
    commit = hub.add("org/name", {WEIGHTS: weights, CARD: card})
    fetch("hf://org/name")
    facts = model_facts("hf://org/name")
    assert (facts["commit"], facts["licence"], facts["training_data"]) == (commit, "mit", "bsds500, cbsd68")
    assert (facts["measured"], facts["recorded_sha256"]) == ([], facts["sha256"])


def test_facts_of_a_pipeline_of_diffusers_include_its_card(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", LAYOUTS["ho"], pipeline=True)
    (folder / CARD).write_text("---\nlicense: mit\n---\n")
    facts = model_facts(str(folder))
    assert (facts["licence"], facts["size"], facts["dtypes"]) == ("mit", 16, None)


def test_facts_of_a_prior_of_a_plugin_are_those_of_its_info(monkeypatch) -> None:
    class Flat:
        info = PriorInfo(3, None, 0.01, 80.0)

        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            return x

    family = PriorFamily("flat", lambda text: Flat(), "Any text.")
    for place in ("registry", "facts"):
        monkeypatch.setattr(f"restorekit.models.{place}.family_of", lambda source: (family, "grey"))
    facts = model_facts("flat:grey")
    assert (facts["family"], facts["parameters"], facts["sigmas"]) == ("flat", None, [0.01, 80.0])
    assert facts["memory"] is None


@pytest.mark.parametrize("config", [CONFIG, CONDITIONAL, ScoreConfig(), CLASSIFIER, UPSAMPLER])
def test_memory_is_counted_for_every_kind_of_network(config) -> None:
    assert parameter_count(config) == sum(value.numel() for value in config.build_net().parameters())
    side = evaluation_side(config)
    # At least one map of features and one more exist at the same time.
    assert evaluation_bytes(config) > 2 * 4 * config.channels * side * side


def test_memory_grows_with_the_window() -> None:
    sizes = [evaluation_bytes(CONFIG.model_copy(update={"size": side})) for side in (32, 64)]
    assert sizes[1] == pytest.approx(4 * sizes[0], rel=0.05)
    assert evaluation_side(CONFIG.model_copy(update={"size": 17})) == 18


def test_peak_is_that_of_tensors_that_exist_at_the_same_time() -> None:
    with torch.device("meta"), torch.no_grad(), _PeakMemory() as memory:
        x = torch.zeros(1000)
        for _ in range(5):
            x = x + 1
        view = x.relu_().view(10, 100).t()
        assert memory.now == 4000
        del x, view
        assert (memory.now, memory.peak) == (0, 8000)


@pytest.mark.parametrize("name", [model.name for model in bundled_models()])
def test_values_in_the_metadata_of_bundled_cards_are_those_of_their_text(name: str) -> None:
    card = BUNDLED / name / CARD
    text = card.read_text(encoding="utf-8").split("\n---\n", 1)[1]
    values = measured_values(card_facts(card))
    assert values
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    for value in values:
        found = re.match(r"(sigma|mask|JPEG quality) ([\w.]+)", value["setting"])
        if value["metric"] == "accuracy":
            sigmas, accuracies = rows[0], rows[2]
            assert accuracies[sigmas.index(found[2])] == f"{100 * value['value']:.1f} %", value
        elif found is not None:
            assert any(row[0] == found[2] and f"{value['value']:g}" in " ".join(row) for row in rows), value
        else:
            assert re.search(rf"\b{value['value']:g}\b", text), value
    metrics = {metric["type"] for r in card_facts(card)["model-index"][0]["results"] for metric in r["metrics"]}
    assert set(card_facts(card)["metrics"]) == metrics
    assert card_facts(card)["model-index"][0]["name"] == name


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("datasets: {a: b}", "{'a': 'b'}"),
        ("datasets: 5", "5"),
        ("datasets: [bsds500, 5, 2026-01-02]", "bsds500, 5, 2026-01-02"),
        ('datasets: ["a\\e[2J\\nb"]', r"a\x1b[2J\nb"),
        ("datasets: &a [*a]", "[[[[[[[...]]]]]]]"),
        ("datasets: 2026-13-45", None),
        ("datasets: " + "[" * 5000, None),
    ],
)
def test_training_data_of_unusual_metadata_are_text(tmp_path: Path, line: str, found: str | None) -> None:
    (tmp_path / CARD).write_text(f"---\n{line}\n---\n")
    assert training_data(tmp_path / CARD) == found


def test_texts_of_cards_have_no_terminal_escapes(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    card = """---
license: "a\\e[31m"
model-index:
- results:
  - task: {type: a, name: "t\\e[1m"}
    dataset: {name: "d\\e[1m", config: "c\\e[1m"}
    metrics:
    - {type: psnr, name: "m\\e[1m", value: "v\\e[1m"}
    - {type: date, value: 2026-01-02}
    - {type: list, value: [1]}
    - {type: infinite, value: .nan}
    - {type: ssim, value: 0.5}
---
- Training data: x\x1b[2Jy
"""
    (folder / CARD).write_text(card)
    facts = model_facts(str(folder))
    assert (facts["licence"], facts["training_data"]) == (r"a\x1b[31m", r"x\x1b[2Jy")
    about = {"task": r"t\x1b[1m", "data": r"d\x1b[1m", "setting": r"c\x1b[1m"}
    first, second = {"metric": r"m\x1b[1m", "value": r"v\x1b[1m"}, {"metric": "ssim", "value": 0.5}
    assert facts["measured"] == [{**about, **first}, {**about, **second}]


def test_number_of_levels_is_a_fact() -> None:
    levels = model_facts("ncsn-photo")["architecture"]["levels in [0, 1]"]
    assert re.match(r"\d+: [\d.]+, ", levels)


def test_results_that_were_written_by_hand_may_be_wrong(tmp_path: Path) -> None:
    for index in (3, [3], [{"results": [{}]}], [{"results": [{"task": 1, "dataset": {}, "metrics": []}]}]):
        assert measured_values({"model-index": index}) == []
    assert measured_values({}) == []
    (tmp_path / CARD).write_text("---\ndatasets: bsds500\n---\n")
    assert training_data(tmp_path / CARD) == "bsds500"
    assert training_data(tmp_path / "none") is None
