"""Memory of an import: the tensors of a checkpoint are mapped from the file and written without a copy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from restorekit.models.importers.guided import parse_flags, prior_config
from restorekit.models.importers.imports import import_model

FLAGS = "--image_size 16 --num_channels 256 --num_res_blocks 1 --channel_mult 1,1 --attention_resolutions 8"
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(name: str) -> int:
    """Resident memory (VmRSS) or its peak (VmHWM) in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.skipif(not RESET.exists(), reason="requires /proc of Linux")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_import_takes_the_size_of_the_checkpoint(tmp_path: Path, dtype: torch.dtype) -> None:
    with torch.device("cpu"):
        net = prior_config(parse_flags(FLAGS), ()).build_net().to(dtype)
    file = tmp_path / "model.pt"
    torch.save(net.state_dict(), file)
    del net
    try:
        RESET.write_text("5")  # resets the peak
    except OSError:
        pytest.skip("the peak cannot be reset here")
    before, size = resident("VmRSS"), file.stat().st_size
    import_model(file, tmp_path / "m", flags=FLAGS)
    assert size > 20e6
    assert resident("VmHWM") - before <= 1.3 * size
