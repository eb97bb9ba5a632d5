"""Uploads to a local fake of the Hugging Face Hub, and the metadata of the card."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from PIL import Image

import restorekit
from restorekit.cli.terminal import TableOutput
from restorekit.errors import ModelError, OptionError
from restorekit.evaluation.classification import evaluate
from restorekit.models.cards import card_facts
from restorekit.models.files import CARD, WEIGHTS, save_weights
from restorekit.models.hub import fetch
from restorekit.models.push import measured, push_model
from restorekit.run.engine import make_engine
from tests.models.fake_hub import FakeHub
from tests.models.small import CONFIG, small_classifier, small_model

STARTER = Path(restorekit.__file__).parent / "training" / "starter_plan.toml"

# huggingface_hub 2.4 passes the file by an argument that its HTTP library has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

RESULT = """
- name: small
  results:
  - task: {type: image-to-image, name: Denoising}
    dataset: {type: cbsd68, name: CBSD68, config: sigma 25}
    metrics:
    - {type: psnr, value: 30.5, name: PSNR (dB)}
"""


def files_of(hub: FakeHub, branch: str = "main") -> dict[str, bytes]:
    repository = hub.repositories["org/name"]
    return repository.commits[repository.branches[branch]]


def metadata_of(hub: FakeHub) -> dict:
    return yaml.safe_load(files_of(hub)[CARD].decode().split("---\n")[1])


def test_weights_configuration_and_card_are_uploaded_in_one_commit(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    (folder / "checkpoint.pt").write_bytes(b"not uploaded")
    pushed = push_model(folder, "org/name")
    repository = hub.repositories["org/name"]
    assert pushed.commit == repository.branches["main"]
    assert pushed.url == f"{hub.url}/org/name/commit/{pushed.commit}"
    assert not repository.is_private
    assert len(repository.commits) == 2
    files = files_of(hub)
    assert sorted(files) == [".gitattributes", CARD, "config.json", WEIGHTS]
    assert files[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    assert json.loads(files["config.json"]) == CONFIG.model_dump(mode="json")
    assert metadata_of(hub) == {"license": "apache-2.0", "library_name": "restorekit", "pipeline_tag": "image-to-image"}
    assert files[CARD].endswith(b"# small\n")
    assert fetch("hf://org/name").commit == pushed.commit


def test_unchanged_weights_are_not_uploaded_again(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    first = push_model(folder, "org/name")
    assert push_model(folder, "org/name").commit == first.commit
    (folder / CARD).write_text("---\nlicense: mit\n---\n# other\n")
    assert push_model(folder, "org/name").commit != first.commit
    assert len(hub.paths("PUT")) == 1
    assert metadata_of(hub)["license"] == "mit"


def test_branch_and_privacy_are_those_of_the_options(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    for _ in range(2):
        push_model(folder, "org/name", private=True, revision="v2")
    assert hub.repositories["org/name"].is_private
    assert WEIGHTS not in files_of(hub)
    assert WEIGHTS in files_of(hub, "v2")
    assert fetch("hf://org/name@v2").weights.is_file()


def test_private_push_to_a_public_repository_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    hub.add("org/name", {})
    message = r"^--private: org/name exists and is public, allowed: a new or a private repository$"
    with pytest.raises(ModelError, match=message):
        push_model(folder, "org/name", private=True, revision="v2")
    assert list(hub.repositories["org/name"].branches) == ["main"]
    assert WEIGHTS not in files_of(hub)
    push_model(folder, "org/name")
    assert WEIGHTS in files_of(hub)


def test_card_with_the_placeholder_of_a_new_plan_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    plan = tomllib.loads(STARTER.read_text(encoding="utf-8"))
    for data in (plan["card"]["data"], plan["card"]["data"].replace(" terms", "\n  terms")):
        (folder / CARD).write_text(f"---\nlicense: mit\n---\n- Data: {data}\n")
        with pytest.raises(ModelError, match=r"README\.md: found 'Describe the sources .*, allowed: a description"):
            push_model(folder, "org/name")
    assert hub.repositories == {}


def test_metadata_of_the_card_are_kept_and_completed(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    own = {"license": "mit", "datasets": ["bsds500"], "tags": ["photo"], "library_name": "other", "thumbnail": "a.png"}
    card = yaml.safe_dump({**own, "metrics": ["lpips"], "model-index": yaml.safe_load(RESULT)}, sort_keys=False)
    (folder / CARD).write_text(f"---\n{card}---\n# small\n\n---\nrule\n")
    push_model(folder, "org/name")
    found = metadata_of(hub)
    assert {name: found[name] for name in own} == own
    assert found["pipeline_tag"] == "image-to-image"
    assert found["metrics"] == ["lpips", "psnr"]
    assert found["model-index"] == yaml.safe_load(RESULT)
    assert files_of(hub)[CARD].endswith(b"# small\n\n---\nrule\n")


def test_evaluation_adds_and_replaces_results_of_this_model_only(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    (folder / CARD).write_text(f"---\nlicense: mit\nmodel-index:{RESULT}---\n# small\n")
    rows = [
        {"sigma": 25, "method": "noisy", "PSNR (dB)": 20.1, "SSIM": 0.4, "s per photo": 0.1, "photos": 68},
        {"sigma": 25, "method": str(folder), "PSNR (dB)": 31.1, "SSIM": 0.86, "s per photo": 0.1, "photos": 68},
        {"sigma": 50, "method": f"{folder}/{WEIGHTS}", "PSNR (dB)": 27.8, "SSIM": 0.75, "photos": 68},
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    push_model(folder, "org/name", results=measured(folder, tmp_path / "rows.json", "CBSD68"))
    (index,) = metadata_of(hub)["model-index"]
    assert index["name"] == "small"
    values = {
        (result["dataset"]["name"], result["dataset"]["config"], metric["type"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    assert values == {
        ("CBSD68", "sigma 25", "psnr"): 31.1,
        ("CBSD68", "sigma 25", "ssim"): 0.86,
        ("CBSD68", "sigma 50", "psnr"): 27.8,
        ("CBSD68", "sigma 50", "ssim"): 0.75,
    }
    assert sum(len(result["metrics"]) for result in index["results"]) == len(values)
    assert metadata_of(hub)["metrics"] == ["psnr", "ssim"]


def test_rows_of_inpainting_and_classification_are_results(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    rows: list[dict] = [{"mask": "text", "method": f"{folder} mean", "PSNR (dB)": 27.0, "SSIM": 0.9}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    found = measured(folder, tmp_path / "rows.json", "My photos")
    assert [(r.task_name, r.dataset_type, r.dataset_config) for r in found] == [
        ("Inpainting", "my-photos", "mask text, mean")
    ] * 2
    classifier = small_classifier(tmp_path / "c")
    rows = [{"sigma": 8, "model": name, "accuracy": "76.2%"} for name in (str(classifier), "classifier-scenes")]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (accuracy,) = measured(classifier, tmp_path / "rows.json", "My photos")
    assert (accuracy.metric_type, accuracy.metric_value, accuracy.dataset_config) == ("accuracy", 0.762, "sigma 8")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_accuracy_of_an_evaluation_is_a_result(tmp_path: Path, capsys) -> None:
    folder = small_classifier(tmp_path / "c")
    for name in ("dark", "bright"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20), (9, 99, 199)).save(tmp_path / "photos" / name / "a.png")
    output = TableOutput(as_json=True)
    found = evaluate(tmp_path / "photos", [8.0], str(folder), make_engine("cpu", "float32"), write_line=output.write)
    output.finish()
    (tmp_path / "rows.json").write_text(capsys.readouterr().out)
    (accuracy,) = measured(folder, tmp_path / "rows.json", "photos")
    assert accuracy.metric_value == found[8.0]


def test_metrics_of_the_other_kind_of_model_are_refused(tmp_path: Path) -> None:
    prior, classifier = small_model(tmp_path / "m"), small_classifier(tmp_path / "c")
    for folder, row, message in (
        (prior, {"model": str(prior), "accuracy": 0.5}, r"found accuracy of a prior, allowed: PSNR \(dB\), SSIM"),
        (classifier, {"method": str(classifier), "SSIM": 1}, "found SSIM of a classifier, allowed: accuracy"),
    ):
        (tmp_path / "rows.json").write_text(json.dumps([{"sigma": 8, **row}]))
        with pytest.raises(ModelError, match=message):
            measured(folder, tmp_path / "rows.json", "photos")


def test_photos_have_a_name_and_the_folder_has_weights(tmp_path: Path) -> None:
    for name in ("", " ", "?"):
        with pytest.raises(OptionError, match=r"--dataset: found .*, allowed: a name with letters or digits"):
            measured(small_model(tmp_path / "m"), tmp_path / "rows.json", name)
    with pytest.raises(ModelError, match=r"^push: .*none has no model\.safetensors; allowed: a folder"):
        measured(tmp_path / "none", tmp_path / "rows.json", "photos")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "allowed: the output of evaluate"),
        ('[{"photo": "a", "method": "b"}]', "allowed: the output of evaluate"),
        ('[{"sigma": 1, "method": "ddpm-photo", "PSNR (dB)": 1}]', "has no row of .*; found: ddpm-photo"),
        ('[{"sigma": 1, "model": "classifier-scenes", "accuracy": "9%"}]', "no row of .*; found: classifier-scenes"),
        ('[{"sigma": 1, "accuracy": "9%"}]', "allowed: the output of evaluate"),
        ('[{"sigma": 1, "method": "m", "SSIM": "good"}]', "found good, allowed: a number"),
    ],
)
def test_values_that_do_not_belong_to_the_model_are_refused(
    tmp_path: Path, monkeypatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(ModelError, match=f"--metrics: .*{message}"):
        measured(small_model(tmp_path / "m"), tmp_path / "rows.json", "photos")


def test_wrong_token_and_failures_are_one_line(hub: FakeHub, tmp_path: Path, monkeypatch) -> None:
    folder = small_model(tmp_path / "m")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelError, match=r"^push to org/name: the Hub refused the token \(401\); log in with [^\n]*$"):
        push_model(folder, "org/name")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelError, match=r"^push to org/name: the Hub refused the token \(401\); log in with [^\n]*$"):
        push_model(folder, "org/name")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    hub.status = 500
    with pytest.raises(ModelError, match=r"^push to org/name: the Hub returned an error \(500\); try again later$"):
        push_model(folder, "org/name")
    assert hub.repositories == {}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="push to org/name: offline"):
        push_model(folder, "org/name")


def test_folders_and_cards_that_are_not_complete_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    for name in ("a/b/c", "name", "a b/c"):
        with pytest.raises(ModelError, match=f"push: found '{name}', allowed: org/name"):
            push_model(folder, name)
    for text, message in (
        ("# small\n", "the metadata state no licence; allowed: license: ID"),
        ("---\nlicense: [\n---\n", "the metadata are not valid"),
        ("---\nlicense: mit\nmodel-index: 3\n---\n", "the metadata are not valid"),
    ):
        (folder / CARD).write_text(text)
        with pytest.raises(ModelError, match=message):
            push_model(folder, "org/name")
    (folder / CARD).unlink()
    with pytest.raises(ModelError, match=r"has no README\.md"):
        push_model(folder, "org/name")
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        push_model(tmp_path, "org/name")
    small_model(folder)
    save_weights(folder / WEIGHTS, {}, CONFIG, None)
    with pytest.raises(ModelError, match="do not fit the network"):
        push_model(folder, "org/name")
    assert hub.repositories == {}


def test_metadata_end_at_the_first_line_of_dashes(tmp_path: Path) -> None:
    card = tmp_path / CARD
    card.write_text("---\nlicense: mit\ndescription: a --- b\n---\ntext\n---\n")
    assert card_facts(card) == {"license": "mit", "description": "a --- b"}
    for text in ("no metadata\n---\na: b\n---\n", "---\n- a\n---\n", "---\na: [\n---\n", ""):
        card.write_text(text)
        assert card_facts(card) == {}
    assert card_facts(tmp_path / "none") == {}
