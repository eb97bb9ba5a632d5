"""Who may use the page: hosts, the token, the folders that the page may read and write, and the checks of requests."""

from __future__ import annotations

import hmac
import html
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

from restorekit.errors import OptionError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOCALHOST = "localhost"
MIN_TOKEN = 16
COOKIE = "restorekit-session"
# Bytes of a request that is not an upload: the mask that was painted on a preview, and the values of the form.
MAX_BODY = 64 * 2**20
# Files of one upload may have this many times the size of the largest one.
FILES_PER_UPLOAD = 20
# The page needs its own scripts, styles and files only; Gradio evaluates templates, and paints masks in a worker.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
# Images of visitors are not kept by browsers; scripts and styles are.
PRIVATE = (b"cache-control", b"no-store")
LOGIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>restorekit</title><style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif }}
form {{ display: grid; gap: .75rem; max-width: 22rem; margin: 20vh auto 0; padding: 0 1rem }}
input, button {{ font: inherit; padding: .6rem }}
</style></head><body><form method="post" action="/login"><h1>restorekit</h1>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus>
<button>Log in</button><p role="alert">{message}</p></form></body></html>"""


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is one of this machine that other machines cannot reach."""
    try:
        return host == LOCALHOST or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """What visitors may do.

    Attributes:
        host: address on which the server listens.
        token: what visitors must know; None if there is no such restriction.
        roots: resolved folders that the folder tab may read and write; None for all. Empty: there is no folder tab.
        is_generated: whether the token was generated, so that it must be printed.
    """

    host: str
    token: str | None = None
    roots: tuple[Path, ...] | None = None
    is_generated: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only users of this machine can reach the server; they may name models and folders freely."""
        return is_loopback(self.host)

    def check(self, path: str | Path, where: str) -> Path:
        """Return the resolved path; raise OptionError if it lies outside the allowed folders.

        Links are followed, so that a link inside an allowed folder to a place outside is refused.
        """
        found = Path(path).expanduser().resolve()
        if self.roots is not None and not any(found.is_relative_to(root) for root in self.roots):
            allowed = ", ".join(map(str, self.roots)) or "none"
            raise OptionError(f"{where}: {path} is outside the folders of --folders; allowed: {allowed}")
        return found


def make_access(host: str, token: str | None = None, folders: Iterable[Path] = ()) -> Access:
    """Return who may use the page.

    A host that other machines can reach requires a token, which is generated if there is none, and has a folder tab for
    `folders` only. OptionError for a short token and for folders that do not exist.
    """
    if token is not None and (len(token) < MIN_TOKEN or not token.isprintable() or not token.isascii()):
        found = f"{len(token)} characters" if len(token) < MIN_TOKEN else "characters that are not printable ASCII"
        raise OptionError(f"--token: found {found}, allowed: {MIN_TOKEN} or more printable ASCII characters")
    roots = []
    for folder in folders:
        if not folder.is_dir():
            raise OptionError(f"--folders: {folder} is not a folder")
        roots.append(folder.resolve())
    local = is_loopback(host)
    generated = token is None and not local
    return Access(
        host,
        secrets.token_urlsafe(24) if generated else token,
        None if local and not roots else tuple(roots),
        generated,
    )


class Guard:
    """An ASGI application that lets only allowed requests through to another one.

    - Requests to a loopback address must name one as their host, so that a page on the internet whose name resolves to
      127.0.0.1 (DNS rebinding) cannot use the server.
    - Requests that change something must come from this page, not from a form or a script of another one.
    - With a token, visitors log in with it; a cookie then identifies them until the server stops.
    - Requests have a largest size.
    - Responses forbid the browser to load anything from another server, and to keep private files.

    Arguments:
        app: the other application.
        access: who may use the page.
        max_upload: largest size of an uploaded file in bytes.
    """

    def __init__(self, app: App, access: Access, max_upload: int) -> None:
        self.app, self.access, self.max_upload = app, access, max_upload
        self._sessions: set[str] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Check a request and pass it on; refused ones get the status 400, 401, 403 or 413."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        problem = self._problem(scope, headers)
        if problem is not None:
            await _respond(send, *problem)
            return
        if self.access.token is not None and not self._is_known(headers.get("cookie", "")):
            await self._log_in(scope, receive, send, self.access.token)
            return
        limit = self.max_upload * FILES_PER_UPLOAD if scope["path"].endswith("/upload") else MAX_BODY
        if int(headers.get("content-length", "0")) > limit:
            await _respond(send, 413, f"the request is too large; allowed: {limit / 2**20:.0f} MiB")
            return
        private = [PRIVATE] if scope["path"].startswith("/gradio_api/") else []
        await self.app(scope, _limited(receive, limit), _with_headers(send, [*HEADERS, *private]))

    def _problem(self, scope: MutableMapping[str, Any], headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        """Return status and text for a request that is refused; None if it may be passed on."""
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self.access.is_local and not is_loopback(name):
            return 403, f"found the host {name!r}, allowed: localhost (another one requires --host)"
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return 403, f"found a request from the page of {origin}, allowed: this page"
        if not headers.get("content-length", "0").isdecimal():
            return 400, "found a wrong length of the request"
        # Gradio would fetch URLs for the visitor.
        if "file=http" in scope["path"]:
            return 403, "found a URL, allowed: a file of this server"
        return None

    def _is_known(self, cookies: str) -> bool:
        """Return whether one of the cookies is that of a visitor who has logged in."""
        values = [part.strip().partition("=") for part in cookies.split(";")]
        return any(value in self._sessions for name, _, value in values if name == COOKIE)

    async def _log_in(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, token: str) -> None:
        """Respond to a visitor who has not logged in: with a cookie if the token is right, otherwise with the form."""
        text = scope["query_string"].decode("latin-1")
        if scope["method"] == "POST" and scope["path"] == "/login":
            text = (await _body(receive, 4096)).decode("latin-1")
        given = parse_qs(text).get("token", [None])[0]
        if given is not None and hmac.compare_digest(given.encode(), token.encode()):
            session = secrets.token_urlsafe(32)
            self._sessions.add(session)
            cookie = f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict"
            await _respond(send, 303, "", [(b"location", b"/"), (b"set-cookie", cookie.encode())])
            return
        message = "" if given is None else "The token is wrong."
        await _respond(send, 401, LOGIN.format(message=html.escape(message)), kind="text/html")


def page_url(access: Access, port: int) -> str:
    """Return the URL of the page, which contains the token only if it was generated."""
    wildcard = access.host in ("0.0.0.0", "::", "")
    host = LOCALHOST if wildcard else access.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    return f"{url}?token={quote(access.token or '')}" if access.is_generated else url


async def _body(receive: Receive, limit: int) -> bytes:
    body, more = b"", True
    while more and len(body) <= limit:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body[:limit]


def _limited(receive: Receive, limit: int) -> Receive:
    """Return `receive` that ends the connection after that number of bytes, which the request did not announce."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return {"type": "http.disconnect"} if received > limit else message

    return limited


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    """Return `send` that replaces headers of the response."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in headers}
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in names]
            message["headers"] = [*kept, *headers]
        await send(message)

    return wrapped


async def _respond(
    send: Send, status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = (), kind: str = "text/plain"
) -> None:
    content = (b"content-type", f"{kind}; charset=utf-8".encode())
    start = {"type": "http.response.start", "status": status, "headers": [content, PRIVATE, *HEADERS, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": text.encode()})
