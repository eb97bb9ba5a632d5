"""The folder of a mirror."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from restorekit.errors import ImageError
from restorekit.run.mirror import new_mirror
from restorekit.run.remote_mirror import release_mirror, remove_unused_mirrors, use_mirror

pytest.importorskip("fcntl")
pytestmark = pytest.mark.usefixtures("stores")
USE = """
    import sys
    from pathlib import Path
    from restorekit.run.remote_mirror import use_mirror

    use_mirror(Path(sys.argv[1]))
    print("used", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def process():
    """Start a process that uses a mirror until its standard input is closed."""
    started = []

    def call(mirror: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", textwrap.dedent(USE), mirror]
        started.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}))
        assert started[-1].stdout.readline() == b"used\n"
        return started[-1]

    yield call
    for other in started:
        other.kill()
        other.communicate()


def test_a_released_mirror_is_deleted() -> None:
    mirror = new_mirror()
    use_mirror(mirror)
    assert mirror.stat().st_mode & 0o777 == 0o700
    (mirror / "s3").mkdir()
    release_mirror(mirror)
    release_mirror(mirror)
    assert not mirror.exists()


def test_the_last_process_deletes_the_mirror(process) -> None:
    mirror = new_mirror()
    use_mirror(mirror)
    other = process(mirror)
    release_mirror(mirror)
    remove_unused_mirrors()
    assert mirror.is_dir()
    other.communicate()
    assert not mirror.exists()


def test_mirrors_of_killed_processes_are_deleted_by_the_next_run(process) -> None:
    mirror = new_mirror()
    other = process(mirror)
    other.kill()
    other.wait()
    assert mirror.is_dir()
    remove_unused_mirrors()
    assert not mirror.exists()


def test_a_mirror_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ImageError, match="cannot be created for remote files"):
        use_mirror(tmp_path / "file" / "mirror")
