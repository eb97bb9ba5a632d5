import gc
import sys
from pathlib import Path

import pytest
import torch

from restorekit.cli.process import one_thread, paused_collection
from restorekit.models import registry
from restorekit.testing import GaussianPrior
from tests.run.test_folder import save


def test_the_first_import_of_torch_is_not_interrupted_by_the_garbage_collector(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")

    def fail() -> None:
        raise ImportError(f"collector enabled: {gc.isenabled()}")

    try:
        with pytest.raises(ImportError, match="collector enabled: False"), paused_collection():
            fail()
        assert (gc.isenabled(), gc.get_freeze_count() > 0) == (True, True)
    finally:
        gc.unfreeze()


def test_the_garbage_collector_is_left_alone_if_torch_is_imported_or_it_is_disabled(monkeypatch) -> None:
    with paused_collection():
        assert gc.isenabled()
    monkeypatch.delitem(sys.modules, "torch")
    gc.disable()
    try:
        with paused_collection():
            pass
        assert (gc.isenabled(), gc.get_freeze_count()) == (False, 0)
    finally:
        gc.enable()


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        raise ImportError(f"{torch.get_num_threads()} thread")

    torch.set_num_threads(2)
    try:
        with pytest.raises(ImportError, match="1 thread"), one_thread():
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_models_are_loaded_with_one_thread(restorekit, tmp_path: Path, monkeypatch) -> None:
    counts, before = [], torch.get_num_threads()

    def load(source: str) -> GaussianPrior:
        counts.append(torch.get_num_threads())
        return GaussianPrior()

    monkeypatch.setattr(registry, "load_model", load)
    monkeypatch.setattr(registry, "load_prior", load)
    torch.set_num_threads(2)
    try:
        code, _, err = restorekit("denoise", save(tmp_path / "a.png", 12, 16, 3), "--sigma", "10")
    finally:
        torch.set_num_threads(before)
    assert (code, counts) == (0, [1, 1]), err
