"""Recorded SHA-256 digests of weights: files `SHA256SUMS`, which `sha256sum -c SHA256SUMS` also checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from restorekit.core.files import atomic_path, file_sha256
from restorekit.errors import ModelError, printable
from restorekit.models.files import load_any_weights
from restorekit.models.hub import HUB, SHA256_DIGITS, HubModel, digest_problem, expected_digest, fetch
from restorekit.models.registry import family_of, find_weights

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
# The first line states where the files come from.
COMMENT = "# "

Condition = Literal["ok", "changed", "damaged", "missing", "unknown"]


@dataclass(frozen=True)
class Verified:
    """The state of a model.

    Attributes:
        model: the name, path or source.
        condition: "ok", "changed" (another digest than the recorded one), "damaged" (it cannot be loaded), "missing",
            or "unknown" (it can be loaded, but no digest is recorded).
        sha256: digest of the weights file; None if there is no such file.
        detail: what is wrong or unknown, in one line; "" if nothing is.
    """

    model: str
    condition: Condition
    sha256: str | None = None
    detail: str = ""


def write_sums(folder: Path, files: Sequence[str], source: str) -> None:
    """Record the digests of files of a model folder.

    files: relative to the folder. source: where they come from, such as hf://org/name@commit.
    """
    lines = [f"{file_sha256(folder / file)}  {file}" for file in files]
    with atomic_path(folder / SUMS) as part:
        part.write_text("\n".join([f"{COMMENT}{printable(source)}", *lines, ""]), encoding="utf-8")


def read_sums(path: Path) -> dict[str, str]:
    """Return the digests by file; those of a missing file are empty."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {found[2]: found[1] for line in lines if (found := LINE.fullmatch(line))}


def recorded_sha256(weights: Path) -> str | None:
    """Return the recorded digest of a weights file: of the Hub, or of SHA256SUMS in its folder or the one above."""
    expected = expected_digest(weights)
    if expected is not None and len(expected) == SHA256_DIGITS:
        return expected
    for folder in weights.parents[:2]:
        digest = read_sums(folder / SUMS).get(weights.relative_to(folder).as_posix())
        if digest is not None:
            return digest
    return None


def verify_model(model: str) -> Verified:
    """Compare the digest of a model with the recorded one, and load it. Nothing is downloaded, and nothing removed.

    model: see `load_prior`.
    """
    try:
        if family_of(model) is not None:
            return Verified(model, "unknown", detail="a prior of a plugin, which has no recorded digest")
        repository = fetch(model, cached=True) if model.startswith(HUB) else None
        weights = find_weights(model) if repository is None else repository.weights
    except ModelError as error:
        detail = str(error).removeprefix(f"model {model}: ").removeprefix("--model: ")
        return Verified(model, "missing", detail=detail)
    sha256, recorded = file_sha256(weights), recorded_sha256(weights)
    problem = None if repository is None else _difference(repository)
    if problem is not None:
        return Verified(model, "changed", sha256, problem)
    if recorded not in (None, sha256):
        return Verified(model, "changed", sha256, f"{weights} has the SHA-256 digest {sha256}, recorded: {recorded}")
    try:
        load_any_weights(weights)
    except ModelError as error:
        return Verified(model, "damaged", sha256, str(error))
    if recorded is None:
        return Verified(model, "unknown", sha256, f"no digest of {weights} is recorded; its tensors can be loaded")
    return Verified(model, "ok", sha256)


def _difference(model: HubModel) -> str | None:
    """Return which file in the cache differs from the digest of the Hub, and how; None if none does."""
    paths = (model.folder / file for file in model.files())
    problems = (digest_problem(path, expected_digest(path)) for path in paths)
    return next((problem for problem in problems if problem is not None), None)
