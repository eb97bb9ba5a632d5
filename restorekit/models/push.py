"""Upload of a model folder to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.errors import ModelError
from restorekit.models.cards import hub_card, pipeline_tag
from restorekit.models.files import CARD, WEIGHTS, load_any_weights, read_config
from restorekit.models.hub import LIBRARY, OFFLINE, is_offline, make_quiet
from restorekit.models.hub_errors import hub_errors
from restorekit.models.importers.diffusers import CONFIG
from restorekit.models.measurements import measured_results

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


@dataclass(frozen=True)
class Pushed:
    """A commit that was pushed.

    Attributes:
        url: URL of the commit.
        commit: its hash.
    """

    url: str
    commit: str


def push_model(
    folder: Path,
    name: str,
    *,
    private: bool = False,
    revision: str | None = None,
    results: Sequence[EvalResult] = (),
) -> Pushed:
    """Upload a model folder to the Hub in one commit, creating the repository if needed.

    The weights, the card with the metadata of the Hub (see `hub_card`), and the configuration in the header of the
    weights as config.json, whose requests the Hub counts as downloads. Files that have not changed are not uploaded.

    Arguments:
        folder: written by `restorekit train` or `restorekit models import`.
        name: org/name.
        private: whether a new repository is private; ModelError if it exists and is public.
        revision: branch, created from main if needed; None for main.
        results: measured values for the card.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HFValidationError

    for file in (WEIGHTS, CARD):
        _check_file(folder, file)
    if name.count("/") != 1:
        raise ModelError(f"push: found {name!r}, allowed: org/name")
    config = read_config(folder / WEIGHTS)
    load_any_weights(folder / WEIGHTS)
    card = hub_card(folder / CARD, config, name.rpartition("/")[2], results)
    if is_offline():
        raise ModelError(f"push to {name}: offline; allowed: without --offline and {OFFLINE}")
    make_quiet()
    own = version("restorekit")
    api = HfApi(library_name=LIBRARY, library_version=own)
    files: dict[str, Path | bytes] = {WEIGHTS: folder / WEIGHTS, CARD: card.encode()}
    files[CONFIG] = config.model_dump_json(indent=2).encode()
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    with hub_errors(f"push to {name}"):
        try:
            api.create_repo(name, private=private or None, exist_ok=True)
        except HFValidationError as error:
            raise ModelError(f"push: found {name!r}, allowed: org/name") from error
        if private and not api.model_info(name).private:
            raise ModelError(f"--private: {name} exists and is public, allowed: a new or a private repository")
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        message = f"Upload {folder.resolve().name} with restorekit {own}"
        result = api.create_commit(name, operations, commit_message=message, revision=revision)
    return Pushed(str(result.commit_url), str(result.oid))


def measured(folder: Path, metrics: Path, data: str) -> list[EvalResult]:
    """Return results for the card of a model folder; see `measured_results`."""
    _check_file(folder, WEIGHTS)
    return measured_results(metrics, folder, data, pipeline_tag(read_config(folder / WEIGHTS)))


def _check_file(folder: Path, file: str) -> None:
    if not (folder / file).is_file():
        raise ModelError(f"push: {folder} has no {file}; allowed: a folder written by `restorekit train`")
