"""Devices and compilation."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from restorekit.core.denoiser import PriorInfo
from restorekit.errors import OptionError
from restorekit.priors.grey import Grey
from restorekit.run import engine as engine_module
from restorekit.run.engine import make_engine


class Network(nn.Module):
    """A prior with one network."""

    info = PriorInfo(channels=3, size=None, sigma_min=0.1, sigma_max=10)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        return self.net(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("compile", [False, True])
def test_networks_are_compiled_only_on_request(monkeypatch: pytest.MonkeyPatch, compile: bool) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compiled.append(self))
    prior = Network()
    make_engine("cpu", "float32", compile=compile).place(Grey(prior))
    assert compiled == [prior.net] * compile


@pytest.mark.parametrize(
    ("name", "devices"), [("auto", ["cuda:0", "cuda:1"]), ("cuda", ["cuda:0", "cuda:1"]), ("cuda:1", ["cuda:1"])]
)
def test_all_gpus_are_used_unless_one_is_named(monkeypatch: pytest.MonkeyPatch, name: str, devices: list[str]) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(engine_module, "_device", lambda name: torch.device("cuda" if name == "auto" else name))
    engine = make_engine(name, "float32")
    assert [str(each.device) for each in engine.on_each_device()] == devices
    assert engine.default_batch == 4
    assert all(not each.other_devices for each in engine.on_each_device())


def test_a_cpu_restores_one_photo_at_a_time_by_default() -> None:
    engine = make_engine("cpu", "float32")
    assert (engine.default_batch, engine.on_each_device()) == (1, [engine])


@pytest.mark.parametrize(
    ("gpus", "mps", "devices"),
    [(0, False, "auto, cpu"), (2, False, "auto, cpu, cuda, cuda:0, cuda:1"), (0, True, "auto, cpu, mps")],
)
def test_a_wrong_device_lists_those_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool, devices: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    for name in ("gpu", "GPU 0", "cuda:x", ""):
        with pytest.raises(
            OptionError, match=f"^--device: unknown device {re.escape(repr(name))}; allowed: {devices}$"
        ):
            make_engine(name)
    for name in ("meta", "hpu", "cuda:99"):
        with pytest.raises(OptionError, match=rf"^--device: {name} is not available here \(.*\); allowed: {devices}$"):
            make_engine(name)


def test_networks_with_tensors_that_have_no_channels_last_format_are_moved() -> None:
    class Volumes(Network):
        def __init__(self) -> None:
            super().__init__()
            self.volume = nn.Conv3d(3, 3, 1)

    for prior, is_channels_last in ((Network(), True), (Volumes(), False)):
        prior.net = nn.Conv2d(3, 8, 3)
        make_engine("cpu", "float32").place(prior)
        assert prior.net.weight.is_contiguous(memory_format=torch.channels_last) == is_channels_last
