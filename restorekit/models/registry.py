"""Where priors come from: bundled names, folders, the Hugging Face Hub, and the families that plugins bring."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from restorekit.core.denoiser import Denoiser
from restorekit.core.family import FAMILY, PriorFamily
from restorekit.core.reserved import BUNDLED
from restorekit.errors import ModelError, unknown
from restorekit.models.config import NoisyClassifierConfig
from restorekit.models.files import (
    CARD,
    WEIGHTS,
    load_any_weights,
    load_weights,
    read_config,
)
from restorekit.plugins import prior_families
from restorekit.priors.guided import NoisyClassifier

HUB = "hf://"


@dataclass(frozen=True)
class BundledModel:
    """A prior that ships with restorekit."""

    name: str
    path: Path
    bytes: int


def bundled_models() -> list[BundledModel]:
    """The priors inside the package, by name."""
    files = sorted(BUNDLED.glob(f"*/{WEIGHTS}"))
    return [BundledModel(file.parent.name, file, file.stat().st_size) for file in files]


def bundled_classes() -> dict[str, tuple[str, ...]]:
    """Names of the classes of the bundled priors that have some."""
    configs = {model.name: read_config(model.path) for model in bundled_models()}
    return {name: c.classes for name, c in configs.items() if c.classes and not isinstance(c, NoisyClassifierConfig)}


def find_weights(source: str | Path) -> Path:
    """The weights file of a bundled name, a folder, a file, or `hf://org/name@revision`."""
    text = str(source)
    if text.startswith(HUB):
        return _download(text.removeprefix(HUB))
    names = {model.name: model.path for model in bundled_models()}
    if text in names:
        return names[text]
    path = Path(source)
    if path.is_file():
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    if path.is_dir():
        raise ModelError(f"model {text}: the folder has no {WEIGHTS}")
    if family_of(text) is not None:
        raise ModelError(f"model {text}: comes from a plugin; allowed here: weights that `restorekit train` wrote")
    allowed = [*names, "a folder with " + WEIGHTS, "hf://org/name@revision", *(f"{f}:..." for f in prior_families())]
    raise ModelError(unknown("model", text, allowed, "--model"))


def family_of(source: str | Path) -> tuple[PriorFamily, str] | None:
    """The family of `NAME:TEXT`, and the text; None where that is a path that exists, an address, or no such form."""
    name, colon, text = str(source).partition(":")
    if not colon or not FAMILY.fullmatch(name) or text.startswith("//") or Path(source).exists():
        return None
    families = prior_families()
    if name not in families:
        raise ModelError(unknown("prior family", name, families, f"model {source}"))
    return families[name], text


def load_prior(source: str | Path) -> Denoiser:
    """A prior ready to denoise, float32 on the CPU.

    source: a bundled name (`restorekit models` lists them), a folder that `restorekit train` wrote, a weights file,
    `hf://org/name@revision` on the Hugging Face Hub (without @revision: main), or `FAMILY:TEXT` of a plugin.
    """
    found = family_of(source)
    return _of_family(*found) if found is not None else load_weights(find_weights(source))


def load_model(source: str | Path) -> Denoiser | NoisyClassifier:
    """A prior or a classifier, as `load_prior` loads a prior."""
    found = family_of(source)
    return _of_family(*found) if found is not None else load_any_weights(find_weights(source))


def _of_family(family: PriorFamily, text: str) -> Denoiser:
    prior = family.load(text)
    if not isinstance(prior, Denoiser):
        raise ModelError(f"model {family.name}:{text}: the plugin gave {type(prior).__name__}, allowed: a Denoiser")
    return prior


def _download(place: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    name, _, revision = place.partition("@")
    try:
        return Path(hf_hub_download(name, WEIGHTS, revision=revision or None, library_name="restorekit"))
    except HFValidationError as error:
        raise ModelError(f"model {HUB}{place}: allowed: hf://org/name or hf://org/name@revision") from error
    except _failures() as error:
        raise ModelError(f"model {HUB}{place}: {str(error).splitlines()[0]}") from error


def _failures() -> tuple[type[Exception], ...]:
    """What the Hub raises when it refuses, or is out of reach; the HTTP library under it has changed with versions."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, LocalTokenNotFoundError

    libraries = [importlib.import_module(name) for name in ("httpx2", "httpx") if importlib.util.find_spec(name)]
    network = [library.TransportError for library in libraries]
    return HfHubHTTPError, LocalEntryNotFoundError, LocalTokenNotFoundError, OSError, *network


def push_model(folder: Path, name: str) -> str:
    """Send a model folder to the Hub as `name` (org/name), creating the repository if needed; returns its address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    for file in (WEIGHTS, CARD):
        if not (folder / file).is_file():
            raise ModelError(f"push: {folder} has no {file}; a folder that `restorekit train` wrote has it")
    load_any_weights(folder / WEIGHTS)
    api = HfApi(library_name="restorekit")
    try:
        api.create_repo(name, exist_ok=True)
        result = api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=[WEIGHTS, CARD])
    except HFValidationError as error:
        raise ModelError(f"push: found {name!r}, allowed: org/name") from error
    except _failures() as error:
        raise ModelError(f"push to {name}: {str(error).splitlines()[0]}") from error
    return str(result.commit_url)
