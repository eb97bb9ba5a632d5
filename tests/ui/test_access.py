"""Who may use the page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from restorekit.errors import OptionError
from restorekit.ui.access import Access, Guard, is_loopback, make_access, page_url

TOKEN = "a token of enough length"
LIMIT = 1000


class Application:
    """An application that records requests and responds with their body."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
        self.paths.append(scope["path"])
        headers = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def request(
    guard: Guard,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    parts: tuple[bytes, ...] = (b"",),
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the response."""
    headers = {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    messages = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    if not sent:
        return 0, {}, b""
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1]["body"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    access = make_access(host)
    assert (access.token, access.roots, access.is_local) == (None, None, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org", "", "localhost.example.org"])
def test_other_hosts_require_a_token_and_have_no_folders(host: str) -> None:
    access = make_access(host)
    assert (access.is_local, access.is_generated, access.roots) == (False, True, ())
    assert len(access.token or "") >= 32
    assert access.token != make_access(host).token
    assert make_access(host, TOKEN) == Access(host, TOKEN, ())


@pytest.mark.parametrize(("token", "found"), [("", "0 c"), ("short", "5 c"), ("ü" * 20, "char"), ("a\n" * 9, "c")])
def test_weak_tokens_are_refused(token: str, found: str) -> None:
    with pytest.raises(OptionError, match=f"--token: found {found}.*allowed: 16 or more printable ASCII") as error:
        make_access("127.0.0.1", token)
    assert not token or token not in str(error.value)


def test_the_url_contains_only_a_generated_token() -> None:
    assert page_url(make_access("127.0.0.1"), 80) == "http://127.0.0.1:80/"
    assert page_url(make_access("0.0.0.0", TOKEN), 80) == "http://localhost:80/"
    assert page_url(make_access("::1", TOKEN), 80) == "http://[::1]:80/"
    generated = make_access("0.0.0.0")
    assert page_url(generated, 80) == f"http://localhost:80/?token={generated.token}"


def test_paths_must_lie_in_the_folders(tmp_path: Path) -> None:
    inside, outside = tmp_path / "photos", tmp_path / "photos-private"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    access = make_access("0.0.0.0", TOKEN, [inside])
    assert access.check(inside / "new" / "a.png", "source") == inside / "new" / "a.png"
    for path in (outside, inside / ".." / "photos-private", inside / "link" / "a.png", "/", "s3://bucket"):
        with pytest.raises(OptionError, match=r"source: .* is outside the folders of --folders; allowed: .*photos"):
            access.check(path, "source")
    assert make_access("127.0.0.1").check(outside, "source") == outside
    with pytest.raises(OptionError, match=r"--folders: .*missing is not a folder"):
        make_access("127.0.0.1", None, [tmp_path / "missing"])


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860"])
def test_requests_of_this_machine(host: str) -> None:
    app = Application()
    status, headers, _ = request(Guard(app, make_access("127.0.0.1"), LIMIT), host=host)
    assert (status, app.paths) == (200, ["/"])
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "cache-control" not in headers


def test_files_of_visitors_are_not_stored_by_browsers() -> None:
    guard = Guard(Application(), make_access("127.0.0.1"), LIMIT)
    assert request(guard, path="/gradio_api/file=/tmp/a.png")[1]["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example:7860", "", "127.0.0.1.evil.example", "192.168.1.2"])
def test_names_that_resolve_to_this_machine_are_refused(host: str) -> None:
    app = Application()
    status, _, body = request(Guard(app, make_access("127.0.0.1"), LIMIT), host=host)
    assert (status, app.paths) == (403, [])
    assert b"allowed: localhost" in body


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:80", "https://localhost:7860"])
def test_requests_of_other_pages_are_refused(origin: str) -> None:
    app = Application()
    guard = Guard(app, make_access("127.0.0.1"), LIMIT)
    assert request(guard, "POST", origin=origin)[0] == 403
    assert request(guard, "POST", origin="http://127.0.0.1:7860")[0] == 200
    assert len(app.paths) == 1


def test_the_server_fetches_no_urls() -> None:
    guard = Guard(Application(), make_access("127.0.0.1"), LIMIT)
    assert request(guard, path="/gradio_api/file=https://example.org/a.png")[0] == 403


def test_visitors_log_in_with_the_token() -> None:
    app = Application()
    guard = Guard(app, make_access("0.0.0.0", TOKEN), LIMIT)
    assert request(guard)[0] == 401
    assert request(guard, path="/gradio_api/file=/tmp/a.png")[0] == 401
    wrong = request(guard, query="token=wrong+token+of+enough")
    assert (wrong[0], "set-cookie" in wrong[1]) == (401, False)
    assert b"The token is wrong." in wrong[2]
    assert request(guard, cookie="restorekit-session=guess")[0] == 401
    assert app.paths == []
    for answer in (
        request(guard, query=f"token={TOKEN.replace(' ', '+')}"),
        request(guard, "POST", "/login", parts=(f"token={TOKEN.replace(' ', '%20')}".encode(),)),
    ):
        assert (answer[0], answer[1]["location"]) == (303, "/")
        cookie = answer[1]["set-cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert request(guard, cookie=f"other=1; {cookie.split(';')[0]}")[0] == 200


def test_requests_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.ui.access.MAX_BODY", 100)
    app = Application()
    guard = Guard(app, make_access("127.0.0.1"), LIMIT)
    assert request(guard, "POST", parts=(b"x" * 100,))[0] == 200
    assert request(guard, "POST", content_length="101")[0] == 413
    assert request(guard, "POST", content_length="-1")[0] == 400
    assert request(guard, "POST", parts=(b"x" * 60, b"y" * 60))[0] == 0
    assert request(guard, "POST", "/gradio_api/upload", parts=(b"x" * 60, b"y" * 60))[0] == 200
    assert request(guard, "POST", "/gradio_api/upload", content_length=str(20 * LIMIT + 1))[0] == 413
    assert app.paths == ["/", "/gradio_api/upload"]
