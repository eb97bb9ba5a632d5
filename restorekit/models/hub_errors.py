"""Failures of the Hugging Face Hub and of its client, as errors of one line."""

from __future__ import annotations

import contextlib
import http
import importlib
import importlib.util
from collections.abc import Iterator

from restorekit.errors import ModelError, shortened

LOGIN = "log in with `hf auth login` or set HF_TOKEN"


@contextlib.contextmanager
def hub_errors(where: str) -> Iterator[None]:
    """Turn failures of the Hub and of its client into a ModelError; where: begin of the message."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    # RuntimeError: of the libraries that transfer large files. ValueError: for responses and cards that are not valid.
    own: tuple[type[Exception], ...] = (HfHubHTTPError, EntryNotFoundError, OSError, RuntimeError, ValueError)
    try:
        yield
    except own + _transport_errors() as error:
        raise ModelError(f"{where}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return in one line why a request failed."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalEntryNotFoundError | RuntimeError) and error.__cause__ is not None:
        return reason(error.__cause__)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return f"access to the repository is restricted; request it on the page of the repository, and {LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"the repository does not exist, or it is private; for a private one, {LOGIN}"
    if status == http.HTTPStatus.UNAUTHORIZED:
        return f"the Hub refused the token (401); {LOGIN}"
    if status == http.HTTPStatus.FORBIDDEN:
        return f"the Hub refused access (403); the token must allow it: {LOGIN}"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision"
    if status is not None and status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the Hub returned an error ({status}); try again later"
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, _transport_errors()):
        return f"the Hub cannot be reached, or the connection failed ({shortened(first, 200)})"
    return shortened(first, 200)


def is_unreachable(error: BaseException | None) -> bool:
    """Return whether a request failed because the Hub cannot be reached, or failed itself (status 500 or greater)."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return bool(status >= http.HTTPStatus.INTERNAL_SERVER_ERROR)
    return isinstance(error, (OSError, *_transport_errors()))


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of the HTTP libraries of the client; which one it uses depends on its version."""
    libraries = [importlib.import_module(name) for name in ("httpx2", "httpx") if importlib.util.find_spec(name)]
    return tuple(library.TransportError for library in libraries)
