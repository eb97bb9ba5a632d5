"""Downloads from a local fake of the Hugging Face Hub: failures, resuming, digests and revisions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from restorekit.errors import ModelError
from restorekit.models import listing, registry
from restorekit.models.digests import verify_model
from restorekit.models.files import CARD, WEIGHTS
from restorekit.models.hub import cached_models, fetch
from restorekit.models.pull import pull_model
from tests.models.fake_hub import FakeHub
from tests.models.small import small_model

# Attempts of huggingface_hub, each of which is one request; it tries again with other waiting times.
MOST_ATTEMPTS = 20
repeats = pytest.mark.skipif(
    version("huggingface_hub").startswith(("0.", "1.")), reason="earlier versions do not repeat these requests"
)


@pytest.fixture
def published(hub: FakeHub, tmp_path: Path) -> FakeHub:
    """A Hub with the model org/name and its card."""
    folder = small_model(tmp_path / "published")
    hub.add("org/name", {WEIGHTS: (folder / WEIGHTS).read_bytes(), CARD: b"---\nlicense: mit\n---\n# card\n"})
    return hub


def weights_of(hub: FakeHub, commit: str | None = None) -> bytes:
    repository = hub.repositories["org/name"]
    return repository.commits[commit or repository.branches["main"]][WEIGHTS]


def error_of(source: str) -> str:
    """The error of a download, which is one line and names the source."""
    with pytest.raises(ModelError) as caught:
        fetch(source)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"model {source}: ")
    return str(caught.value).removeprefix(f"model {source}: ")


def nothing_is_kept() -> bool:
    """Return whether the cache has neither a model nor a part of one."""
    from huggingface_hub import constants

    files = [path for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file() and path.stat().st_size > 1000]
    return not files and not list(cached_models())


def test_pulled_model_is_that_of_the_revision(published: FakeHub, tmp_path: Path) -> None:
    first = published.repositories["org/name"].branches["main"]
    published.repositories["org/name"].branches["v1"] = first
    other = bytearray(weights_of(published))
    other[-1] ^= 1
    second = published.add("org/name", {WEIGHTS: bytes(other)})
    for source, commit in (("", second), ("@main", second), ("@v1", first), (f"@{first}", first)):
        pulled = pull_model(f"hf://org/name{source}")
        assert (pulled.commit, pulled.source) == (commit, f"hf://org/name@{commit}")
        assert pulled.weights.read_bytes() == weights_of(published, commit)
        assert pulled.sha256 == hashlib.sha256(weights_of(published, commit)).hexdigest()
        assert pulled.weights.with_name(CARD).read_text().endswith("# card\n")
    names = [name for name, _ in cached_models()]
    assert names == ["hf://org/name", "hf://org/name@v1"]
    x, sigma = torch.zeros(1, 3, 16, 16), torch.tensor([0.5])
    loaded = registry.load_prior("hf://org/name@v1")(x, sigma)
    assert torch.equal(loaded, registry.load_prior(tmp_path / "published")(x, sigma))


def test_model_is_downloaded_once(published: FakeHub) -> None:
    for _ in range(2):
        registry.load_prior("hf://org/name")
    assert len([path for path in published.paths("GET") if path.endswith(WEIGHTS)]) == 1


@repeats
def test_interrupted_transfer_resumes(published: FakeHub, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)
    published.cuts = [1000, 5000, 10**9]
    assert fetch("hf://org/name").weights.read_bytes() == weights_of(published)
    ranges = [part for method, path, part in published.requests if (method, Path(path).name) == ("GET", WEIGHTS)]
    assert ranges == [None, "bytes=1000-", "bytes=5000-"]


def test_lost_connection_leaves_no_model_and_the_next_pull_completes(published: FakeHub, tmp_path: Path) -> None:
    published.cuts = [5000]
    with pytest.raises(ModelError, match="the Hub cannot be reached, or the connection failed"):
        pull_model("hf://org/name", tmp_path / "copy")
    assert len(published.paths("GET")) < MOST_ATTEMPTS
    assert nothing_is_kept()
    assert not (tmp_path / "copy").exists()
    published.cuts = []
    assert pull_model("hf://org/name", tmp_path / "copy").weights.read_bytes() == weights_of(published)


def test_content_with_a_wrong_digest_is_not_kept(published: FakeHub, tmp_path: Path) -> None:
    published.corrupt = True
    with pytest.raises(ModelError, match=r"model\.safetensors has the digest \w{64}, but the Hub states \w{64}"):
        pull_model("hf://org/name", tmp_path / "copy")
    assert nothing_is_kept()
    assert not (tmp_path / "copy").exists()
    published.corrupt = False
    assert registry.load_prior("hf://org/name").info.channels == 3


def test_file_that_was_damaged_in_the_cache_is_downloaded_again(published: FakeHub) -> None:
    weights = fetch("hf://org/name").weights
    with weights.open("rb+") as file:
        file.seek(-1, 2)
        file.write(b"?")
    with pytest.raises(ModelError, match="pull the model again"):
        registry.load_prior("hf://org/name")
    assert fetch("hf://org/name").weights.read_bytes() == weights_of(published)


@pytest.fixture
def no_links(monkeypatch) -> None:
    """A cache without links, as on Windows."""
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda folder=None: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS_WARNING", True)


def test_cache_without_links_is_used_if_the_hub_cannot_be_reached(published: FakeHub, no_links, monkeypatch) -> None:
    weights = fetch("hf://org/name").weights
    published.requests.clear()
    assert verify_model("hf://org/name").condition == "unknown"
    assert published.requests == []
    published.status = 503
    assert fetch("hf://org/name").weights == weights
    published.status = None
    published.repositories["org/name"].is_gated = True
    with pytest.raises(ModelError, match="access to the repository is restricted; request it"):
        fetch("hf://org/name")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    for module in ("constants", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    assert fetch("hf://org/name").weights == weights


def test_damaged_entries_of_the_cache_are_left_out(published: FakeHub, monkeypatch) -> None:
    model = fetch("hf://org/name@main")
    published.add("org/other", {WEIGHTS: weights_of(published)})
    fetch("hf://org/other")
    ref = model.folder.parent.parent / "refs" / "main"
    for content in (b"\xff\xfe", b"a" * 300, b"../x"):
        ref.write_bytes(content)
        assert [name for name, _ in cached_models()] == [f"hf://org/name@{model.commit}", "hf://org/other"]
        with pytest.raises(ModelError, match="is not in the cache"):
            fetch("hf://org/name", cached=True)
    read_config = listing.read_config

    def vanishing(path: Path):
        config = read_config(path)
        if path == model.weights:
            path.unlink()
        return config

    monkeypatch.setattr(listing, "read_config", vanishing)
    assert [found.name for found in listing.listed_models() if "/" in found.name] == ["hf://org/other"]

    def unreadable(folder: Path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("restorekit.models.hub._weights_in", unreadable)
    assert list(cached_models()) == []


def test_digest_is_checked_where_the_cache_has_no_links(published: FakeHub, no_links) -> None:
    published.corrupt = True
    with pytest.raises(ModelError, match="but the Hub states"):
        fetch("hf://org/name")
    assert nothing_is_kept()
    published.corrupt = False
    weights = fetch("hf://org/name").weights
    assert not weights.is_symlink()
    assert weights.read_bytes() == weights_of(published)


def test_file_of_another_library_is_not_a_model(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/name", {WEIGHTS: b"\x02\0\0\0\0\0\0\0{}"})
    with pytest.raises(ModelError, match="the header has no 'restorekit' entry"):
        pull_model("hf://org/name", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_copy_is_complete_or_absent(published: FakeHub, tmp_path: Path, monkeypatch) -> None:
    pulled = pull_model("hf://org/name@main", tmp_path / "models" / "copy")
    assert sorted(path.name for path in pulled.weights.parent.iterdir()) == [CARD, "SHA256SUMS", WEIGHTS]
    sums = f"# {pulled.source}\n{pulled.sha256}  {WEIGHTS}\n"
    assert (pulled.weights.parent / "SHA256SUMS").read_text() == sums
    with pytest.raises(ModelError, match=r"--output: .*copy exists, allowed: a new folder"):
        pull_model("hf://org/name", tmp_path / "models" / "copy")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(ModelError, match="No space left on device"):
        pull_model("hf://org/name", tmp_path / "models" / "other")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["copy"]


def test_missing_repositories_revisions_and_access_are_one_line(published: FakeHub, monkeypatch) -> None:
    assert error_of("hf://org/other").startswith("the repository does not exist, or it is private")
    assert error_of("hf://org/name@v9") == "the repository has no such revision"
    assert error_of("hf://a/b/c") == "allowed: hf://org/name or hf://org/name@revision"
    published.repositories["org/name"].is_gated = True
    assert error_of("hf://org/name").startswith("access to the repository is restricted; request it")
    published.repositories["org/name"].is_gated = False
    published.repositories["org/name"].is_private = True
    assert fetch("hf://org/name").weights.is_file()
    monkeypatch.delenv("HF_TOKEN")
    assert error_of("hf://org/name@v9").startswith("the repository does not exist, or it is private")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert error_of("hf://org/name@v9").startswith("the Hub refused the token (401); log in with")


@pytest.mark.parametrize("status", [500, 503, 504])
def test_failing_hub_is_asked_a_few_times(published: FakeHub, status: int) -> None:
    published.status = status
    assert error_of("hf://org/name") == f"the Hub returned an error ({status}); try again later"
    assert len(published.requests) < MOST_ATTEMPTS
    assert nothing_is_kept()


@repeats
def test_hub_that_fails_for_a_short_time_is_asked_again(published: FakeHub) -> None:
    published.failures = [503, 429, 500]
    assert fetch("hf://org/name").weights.is_file()
    assert published.failures == []


def test_attempts_of_the_client_are_not_reported() -> None:
    # In a new process: huggingface_hub sets the level when it is first used.
    command = (
        "import logging; from restorekit.models.hub import make_quiet; make_quiet(); "
        "import huggingface_hub.file_download; print(logging.getLogger('huggingface_hub.utils._http').isEnabledFor(30))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_unreachable_hub_is_one_line_unless_the_model_is_in_the_cache(published: FakeHub, monkeypatch) -> None:
    fetch("hf://org/name")
    published.status = 503
    assert registry.load_prior("hf://org/name").info.channels == 3
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", published.url)  # an empty cache
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    for module in ("constants", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    assert error_of("hf://org/name").startswith("the Hub cannot be reached, or the connection failed (")


def test_card_may_be_missing(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/name", {WEIGHTS: (small_model(tmp_path / "m") / WEIGHTS).read_bytes()})
    pulled = pull_model("hf://org/name", tmp_path / "copy")
    assert sorted(path.name for path in pulled.weights.parent.iterdir()) == ["SHA256SUMS", WEIGHTS]
