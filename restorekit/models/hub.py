"""Downloads from the Hugging Face Hub into the cache of huggingface_hub; the contents of all files are checked."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from restorekit.core.files import file_sha256
from restorekit.errors import ModelError
from restorekit.models.files import CARD, WEIGHTS
from restorekit.models.hub_errors import hub_errors, is_unreachable, reason
from restorekit.models.importers.diffusers import CONFIG, SCHEDULER, find_unet, is_diffusers_file
from restorekit.models.importers.diffusers import WEIGHTS as DIFFUSERS_WEIGHTS

HUB = "hf://"
# The variable of huggingface_hub that forbids connections, and its values that mean yes.
OFFLINE, YES = "HF_HUB_OFFLINE", ("1", "ON", "YES", "TRUE")
LIBRARY = "restorekit"
# Files of a model of diffusers, or of the folders unet and scheduler of a pipeline, beside the weights.
DIFFUSERS_TEXTS = tuple(f"{folder}{file}" for folder in ("", "unet/", "scheduler/") for file in (CONFIG, SCHEDULER))
# Lengths of the digests that the Hub gives as ETag: SHA-256 of files in LFS, SHA-1 of others as objects of Git.
SHA256_DIGITS, SHA1_DIGITS = 64, 40


@dataclass(frozen=True)
class HubModel:
    """A model of a repository on the Hub, in the cache.

    Attributes:
        repository: org/name.
        weights: the weights file.
    """

    repository: str
    weights: Path

    @property
    def folder(self) -> Path:
        """The folder of the commit in the cache."""
        return self.weights.parent.parent if self.weights.parent.name == "unet" else self.weights.parent

    @property
    def commit(self) -> str:
        """The commit that the revision stands for."""
        return self.folder.name

    @property
    def source(self) -> str:
        """The model with its commit: hf://org/name@commit."""
        return f"{HUB}{self.repository}@{self.commit}"

    def files(self) -> list[str]:
        """Return the files of the model in the cache, relative to the folder; the weights are the first."""
        weights = self.weights.relative_to(self.folder).as_posix()
        texts = (CARD, *DIFFUSERS_TEXTS) if is_diffusers_file(self.weights) else (CARD,)
        return [weights, *(file for file in texts if (self.folder / file).is_file())]


def is_offline() -> bool:
    """Return whether connections to the Hub are forbidden, by the environment or in huggingface_hub."""
    if os.environ.get(OFFLINE, "").upper() in YES:
        return True
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def fetch(source: str, *, cached: bool = False) -> HubModel:
    """Return the model of `hf://org/name@revision`, which is downloaded if it is not in the cache.

    The weights of restorekit, or else those of a UNet2DModel of diffusers. cached: only read the cache, without
    connections, and without comparing digests (see `digest_problem`). ModelError if the model cannot be downloaded, or
    if the content of a file differs from the digest of the Hub; the file is then removed.
    """
    return _fetch(source, cached, diffusers_only=False)


def fetch_unet(source: str) -> HubModel:
    """Return the UNet2DModel of diffusers of `hf://org/name@revision`; see `fetch`."""
    return _fetch(source, cached=False, diffusers_only=True)


def fetch_card(model: HubModel) -> None:
    """Download the model card of a model, if there is one and the Hub can be reached."""
    from huggingface_hub.errors import EntryNotFoundError

    if is_offline() or (model.folder / CARD).is_file():
        return
    with hub_errors(f"model {model.source}"):
        try:
            _check(model, _download(model.repository, CARD, model.commit).name)
        except EntryNotFoundError:  # also if the Hub cannot be reached
            return


def cached_models() -> Iterator[tuple[str, Path]]:
    """Yield the models in the cache, sorted by name: `hf://org/name@revision` and the weights file.

    A commit without a branch or tag in the cache is its own revision; damaged branches and repositories that cannot be
    read are left out. The files have not been opened.
    """
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        try:
            found = _cached_revisions(folder)
        except OSError:
            continue
        for revision, weights in found:
            yield f"{HUB}{name}{'' if revision == 'main' else f'@{revision}'}", weights


def _cached_revisions(folder: Path) -> list[tuple[str, Path]]:
    """Return the revisions of a repository in the cache that have weights, and the weights."""
    refs = {ref.relative_to(folder / "refs").as_posix(): ref for ref in sorted((folder / "refs").rglob("*"))}
    revisions = {name: commit for name, ref in refs.items() if (commit := _commit_of(ref)) is not None}
    commits = sorted(path.name for path in (folder / "snapshots").glob("*"))
    revisions |= {commit: commit for commit in commits if commit not in revisions.values()}
    found = [(revision, _weights_in(folder / "snapshots" / commit)) for revision, commit in revisions.items()]
    return [(revision, weights) for revision, weights in found if weights is not None]


def _commit_of(ref: Path) -> str | None:
    """Return the commit of a branch or tag in the cache; None if there is no such file, or if it is damaged."""
    try:
        commit = ref.read_text(encoding="utf-8")
    except (OSError, ValueError):  # ValueError: bytes that are not UTF-8, or names with null characters
        return None
    return commit if re.fullmatch(rf"[0-9a-f]{{{SHA1_DIGITS}}}", commit) else None


def expected_digest(path: Path) -> str | None:
    """Return the digest by which the Hub names the content of a file in the cache; None if the cache does not tell."""
    name = path.readlink().name if path.is_symlink() else ""
    return name if re.fullmatch(rf"[0-9a-f]{{{SHA1_DIGITS}}}|[0-9a-f]{{{SHA256_DIGITS}}}", name) else None


def digest_problem(path: Path, expected: str | None) -> str | None:
    """Return how the digest of a file differs from that of the Hub; None if it does not, or if that is unknown."""
    if expected is None:
        return None
    found = file_sha256(path) if len(expected) == SHA256_DIGITS else _git_digest(path)
    return None if found == expected else f"{path} has the digest {found}, but the Hub states {expected}"


def parse(source: str) -> tuple[str, str | None]:
    """Return the repository and the revision of `hf://org/name@revision`; None for the branch main."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    name, _, revision = source.removeprefix(HUB).partition("@")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ModelError(f"model {source}: allowed: hf://org/name or hf://org/name@revision") from error
    return name, revision or None


def make_quiet() -> None:
    """Switch off the reports of huggingface_hub on every attempt, and its progress bars in files and pipes."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if not sys.stderr.isatty() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()


def _fetch(source: str, cached: bool, diffusers_only: bool) -> HubModel:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, revision = parse(source)
    find = find_unet if diffusers_only else _weights_in
    if cached or is_offline():
        weights = _cached_weights(name, revision, find)
        if weights is None:
            raise ModelError(f"model {source}: {_missing(name, revision, diffusers_only)}")
    else:
        make_quiet()
        with hub_errors(f"model {source}"):
            try:
                weights = _download_unet(source) if diffusers_only else _download(name, WEIGHTS, revision)
            except LocalEntryNotFoundError as error:
                # The Hub cannot be reached.
                weights = _cached_weights(name, revision, find)
                if weights is None:
                    raise ModelError(f"model {source}: {reason(error)}") from error
            except EntryNotFoundError:
                weights = _download_unet(source, f"neither {WEIGHTS} nor a")
    model = HubModel(name, weights)
    for file in () if cached else model.files():
        _check(model, file)
    return model


def _download(name: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file, revision=revision, library_name=LIBRARY))


def _download_unet(source: str, missing: str = "no") -> Path:
    """Return the weights file of a UNet2DModel; safetensors are preferred, and only one weights file is downloaded."""
    from huggingface_hub import snapshot_download

    name, revision = parse(source)
    # All files of one call are of the same commit.
    for file in DIFFUSERS_WEIGHTS:
        patterns = [CARD, *DIFFUSERS_TEXTS, file, f"unet/{file}"]
        folder = snapshot_download(name, revision=revision, library_name=LIBRARY, allow_patterns=patterns)
        if (found := find_unet(Path(folder))) is not None:
            return found
    raise ModelError(f"model {source}: found {missing} UNet2DModel of diffusers")


def _cached_folder(name: str, revision: str | None) -> Path | None:
    """Return the folder of a revision in the cache."""
    from huggingface_hub import constants

    revision = revision or constants.DEFAULT_REVISION
    if Path(revision).is_absolute() or ".." in Path(revision).parts:
        return None
    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    found = folder / "snapshots" / (_commit_of(folder / "refs" / revision) or revision)
    return found if found.parent == folder / "snapshots" and found.is_dir() else None


def _cached_weights(name: str, revision: str | None, find: Callable[[Path], Path | None]) -> Path | None:
    folder = _cached_folder(name, revision)
    return None if folder is None else find(folder)


def _weights_in(folder: Path) -> Path | None:
    """Return the weights file of a model folder of ours or of diffusers."""
    return folder / WEIGHTS if (folder / WEIGHTS).is_file() else find_unet(folder)


def _missing(name: str, revision: str | None, diffusers_only: bool) -> str:
    """Describe which file of a repository is not in the cache."""
    from huggingface_hub import constants

    folder = _cached_folder(name, revision)
    file = "the UNet2DModel of diffusers" if diffusers_only else WEIGHTS
    if folder is not None:
        configs = (unet for unet in ("unet/", "") if (folder / unet / CONFIG).is_file())
        file = next((f"{unet}{DIFFUSERS_WEIGHTS[0]}" for unet in configs), file)
    version = revision or constants.DEFAULT_REVISION
    state = "offline, and " if is_offline() else ""
    return f"{state}{file} of {name} at revision {version} is not in the cache, {constants.HF_HUB_CACHE}"


def _check(model: HubModel, file: str) -> None:
    """Raise ModelError and remove a file of a model whose content differs from the digest of the Hub."""
    path = model.folder / file
    problem = digest_problem(path, expected_digest(path) or _digest_online(model, file))
    if problem is None:
        return
    for part in {path.resolve(), path.parent / path.readlink() if path.is_symlink() else path, path}:
        part.unlink(missing_ok=True)
    raise ModelError(f"model {model.source}: {problem}; the damaged file was removed, pull the model again")


def _digest_online(model: HubModel, file: str) -> str | None:
    """Return the digest of a file where the cache has no links to files named after it, as on Windows.

    None if the Hub cannot be reached, or fails.
    """
    if is_offline() or (model.folder / file).is_symlink() or model.folder.parent.name != "snapshots":
        return None
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        with hub_errors(f"model {model.source}"):
            etag = get_hf_file_metadata(hf_hub_url(model.repository, file, revision=model.commit)).etag
    except ModelError as error:
        if is_unreachable(error.__cause__):
            return None
        raise
    return etag if etag is not None and len(etag) in (SHA1_DIGITS, SHA256_DIGITS) else None


def _git_digest(path: Path) -> str:
    """Return the SHA-1 digest of a file as an object of Git."""
    content = path.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
