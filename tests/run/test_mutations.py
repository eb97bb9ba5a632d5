"""Properties of damaged files of every format and bit depth: an error of one line, or a photo that can be written."""

from __future__ import annotations

import random
import runpy
import time
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from restorekit.errors import RestorekitError
from restorekit.run.images import encode_photo, read_photo

FUZZ = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "fuzz.py"), run_name="fuzz")
SIDE = 24, 16
GRADIENT = np.add.outer(np.arange(SIDE[1]), np.arange(SIDE[0]))[..., None] * np.array([3, 5, 6])
SAMPLES = FUZZ["sample_files"](Image.fromarray(GRADIENT.astype(np.uint8)))


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(SAMPLES)), seed=st.integers(0, 2**32))
def test_a_damaged_file_is_refused_in_one_line_or_read(tmp_path: Path, name: str, seed: int) -> None:
    suffix, data = SAMPLES[name]
    path, started = tmp_path / f"a{suffix}", time.monotonic()
    path.write_bytes(FUZZ["mutate"](data, random.Random(seed)))
    message = None
    try:
        photo = read_photo(path)
    except RestorekitError as error:
        message = str(error)
    if message is None:
        assert photo.pixels.shape[2] in (1, 3)
        assert photo.alpha is None or photo.alpha.shape == photo.pixels.shape[:2]
        assert encode_photo(photo, Path("a.png"))
    else:
        assert len(message.splitlines()) == 1
        assert str(path) in message
    assert time.monotonic() - started < 10


def test_undamaged_files_are_read(tmp_path: Path) -> None:
    assert len(SAMPLES) > 30
    for suffix, data in SAMPLES.values():
        path = tmp_path / f"a{suffix}"
        path.write_bytes(data)
        assert read_photo(path).pixels.size
