"""A local server that speaks the part of the HTTP interface of the Hugging Face Hub that huggingface_hub uses.

It stores repositories in memory, with commits, branches and files in LFS, and can be told to fail in several ways.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"
REPOSITORY = r"(?P<name>[\w.-]+/[\w.-]+)"
IN_LFS = (".safetensors", ".bin")


def git_digest(content: bytes) -> str:
    """Digest of a file as an object of Git."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class Repository:
    """Files by path for every commit, and commits by branch."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    is_private: bool = False
    is_gated: bool = False

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """Add files to a branch; returns the commit."""
        tree = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        digest = hashlib.sha1(repr((len(self.commits), sorted(tree.items()))).encode()).hexdigest()
        self.commits[digest], self.branches[branch] = tree, digest
        return digest


@dataclass
class FakeHub:
    """The state of the server, and how it fails.

    Attributes:
        status: status of all responses, if it is not None.
        failures: statuses of the next responses.
        cuts: for every request of a file in LFS, after how many bytes the connection is cut; the last one is repeated.
        corrupt: whether the last byte of files in LFS is wrong.
        requests: method, path and range of all requests.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    status: int | None = None
    failures: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    corrupt: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def add(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit files to a repository, which is created if needed; returns the commit."""
        return self.repositories.setdefault(name, Repository()).commit(branch, files)

    def paths(self, method: str) -> list[str]:
        """The paths of the requests with a method."""
        return [path for found, path, _ in self.requests if found == method]


class RefusedError(Exception):
    """A response with an error."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    """Answers requests from the state of a FakeHub."""

    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._respond()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        try:
            status = self.hub.failures.pop(0) if self.hub.failures else self.hub.status
            if status is not None:
                raise RefusedError(status)
            self._check_token(path)
            for pattern, method in ROUTES:
                if found := re.fullmatch(pattern, path):
                    return method(self, body, **found.groupdict())
            raise RefusedError(404)
        except RefusedError as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            self._send(error.status, b'{"error": "refused"}', {k: v for k, v in headers.items() if v})

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _check_token(self, path: str) -> None:
        """Writing requires the token; reading refuses a wrong one."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        writes = self.command not in ("GET", "HEAD") and not path.startswith(("/lfs/", "/api/validate-yaml"))
        if token != TOKEN and (writes or token):
            raise RefusedError(401, message="Invalid credentials in Authorization header")
        self.has_token = token == TOKEN

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.is_private and not self.has_token):
            raise RefusedError(404, "RepoNotFound", "Repository not found")
        if found.is_gated:
            raise RefusedError(403, "GatedRepo", f"Access to model {name} is restricted")
        return found

    def _commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        found = self._repository(name)
        commit = found.branches.get(revision, revision)
        if commit not in found.commits:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, found.commits[commit]

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.hub.repositories:
            return self._send(409, json.dumps({"error": "exists", "url": f"{self.hub.url}/{name}"}).encode())
        repository = self.hub.repositories[name] = Repository()
        repository.is_private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        repository.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return self._json({"url": f"{self.hub.url}/{name}", "id": name, "name": name})

    def branch(self, body: bytes, name: str, revision: str) -> None:
        branches = self._repository(name).branches
        if revision in branches:
            raise RefusedError(409)
        branches[revision] = branches["main"]
        self._json({})

    def validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        _, tree = self._commit(name, revision)
        files = []
        for file in json.loads(body)["files"]:
            path, is_lfs = file["path"], file["path"].endswith(IN_LFS)
            facts = {"path": path, "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
            if path in tree:
                content = tree[path]
                facts["oid"] = hashlib.sha256(content).hexdigest() if is_lfs else git_digest(content)
            files.append(facts)
        self._json({"files": files})

    def batch(self, body: bytes, name: str) -> None:
        objects: list[dict[str, Any]] = []
        for wanted in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}", "header": {}}}
            stored = wanted["oid"] in self.hub.objects
            objects.append({**wanted, **({} if stored else {"actions": upload})})
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise RefusedError(422)
        self.hub.objects[oid] = body
        self._send(200, b"")

    def commit(self, body: bytes, name: str, revision: str) -> None:
        if revision not in self._repository(name).branches:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        commit = self.hub.repositories[name].commit(revision, files)
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        commit, tree = self._commit(name, revision)
        private = self._repository(name).is_private
        self._json({"id": name, "sha": commit, "private": private, "siblings": [{"rfilename": path} for path in tree]})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        entries = []
        for path, content in self._commit(name, revision)[1].items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_digest(content)}
            if path.endswith(IN_LFS):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self._json(entries)

    def resolve(self, body: bytes, name: str, revision: str, file: str) -> None:
        commit, tree = self._commit(name, revision)
        if file not in tree:
            headers = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "X-Repo-Commit": commit}
            return self._send(404, b"", headers)
        content, is_lfs = tree[file], file.endswith(IN_LFS)
        etag = hashlib.sha256(content).hexdigest() if is_lfs else git_digest(content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if is_lfs:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        if self.command == "HEAD":
            return self._send(200, content, headers)
        if is_lfs and self.hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return self._file(content, headers, is_lfs)

    def _file(self, content: bytes, headers: dict[str, str], is_lfs: bool) -> None:
        """Send a file or a part of it; the connection may be cut."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(wanted[1]) if wanted else 0
        part = content[first:]
        self.send_response(206 if wanted else 200)
        if wanted:
            headers = {**headers, "Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        for name, value in {**headers, "Content-Length": str(len(part))}.items():
            self.send_header(name, value)
        self.end_headers()
        if is_lfs and self.hub.cuts:
            cut = self.hub.cuts.pop(0) if len(self.hub.cuts) > 1 else self.hub.cuts[0]
            part = part[: max(0, cut - first)]
            self.close_connection = True
        self.wfile.write(part)


ROUTES = [
    (r"/api/repos/create", Handler.create),
    (r"/api/validate-yaml", Handler.validate),
    (rf"/api/models/{REPOSITORY}/branch/(?P<revision>.+)", Handler.branch),
    (rf"/api/models/{REPOSITORY}/preupload/(?P<revision>.+)", Handler.preupload),
    (rf"/api/models/{REPOSITORY}/commit/(?P<revision>.+)", Handler.commit),
    (rf"/api/models/{REPOSITORY}/revision/(?P<revision>.+)", Handler.info),
    (rf"/api/models/{REPOSITORY}/tree/(?P<revision>.+)", Handler.tree),
    (rf"/api/models/{REPOSITORY}", Handler.info),
    (rf"/{REPOSITORY}\.git/info/lfs/objects/batch", Handler.batch),
    (r"/lfs/(?P<oid>\w+)", Handler.upload),
    (rf"/{REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", Handler.resolve),
]


@contextlib.contextmanager
def serve() -> Iterator[FakeHub]:
    """Serve an empty Hub on a free port of this machine."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HandlerOfHub", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
