"""Download of a model from the Hugging Face Hub, into the cache or a folder."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from restorekit.core.files import file_sha256
from restorekit.errors import ModelError
from restorekit.models.digests import write_sums
from restorekit.models.files import read_config
from restorekit.models.hub import HUB, fetch, fetch_card


@dataclass(frozen=True)
class Pulled:
    """A model that was downloaded.

    Attributes:
        weights: the weights file.
        source: hf://org/name@commit.
        commit: the commit that the revision stands for.
        sha256: digest of the weights file.
    """

    weights: Path
    source: str
    commit: str
    sha256: str


def pull_model(source: str, output: Path | None = None) -> Pulled:
    """Download a model and its card from the Hub.

    The content is compared with the digests of the Hub, and the configuration must be that of a model of restorekit or
    diffusers. The folder is complete or does not exist; its file SHA256SUMS records the digest of the
    weights and the commit.

    source: hf://org/name@revision. output: the new folder; None for the cache of huggingface_hub only.
    """
    if not source.startswith(HUB):
        raise ModelError(f"pull: found {source}, allowed: hf://org/name@revision")
    if output is not None and output.exists():
        raise ModelError(f"--output: {output} exists, allowed: a new folder")
    model = fetch(source)
    fetch_card(model)
    read_config(model.weights)
    weights = model.weights
    if output is not None:
        _copy(model.folder, output, model.files(), model.source)
        weights = output / weights.relative_to(model.folder)
    return Pulled(weights, model.source, model.commit, file_sha256(weights))


def _copy(folder: Path, output: Path, files: list[str], source: str) -> None:
    """Copy files, the weights first, to a new folder, which appears when it is complete."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name[:32]}.", dir=output.parent) as part:
            new = Path(part) / output.name
            for file in files:
                (new / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / file, new / file)
            write_sums(new, files[:1], source)
            new.rename(output)
    except OSError as error:
        raise ModelError(f"--output: {output} cannot be written ({error.strerror or error})") from error
