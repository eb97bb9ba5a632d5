from __future__ import annotations

import socket
import sys

import pytest

from restorekit.errors import OptionError, RestorekitError
from restorekit.run.ray_cluster import cluster, shares

CPUS, GPUS = [{"CPU": 8.0}, {"CPU": 4.0}, {"memory": 1.0}], [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 16.0}]


@pytest.mark.parametrize(
    ("machines", "device", "workers", "expected"),
    [
        (CPUS, "auto", None, (2, 4, 0)),
        (CPUS, "cpu", 1, (1, 8, 0)),
        (CPUS, "auto", 3, (3, 4, 0)),
        (CPUS, "auto", 5, (5, 2, 0)),
        (CPUS, "auto", 12, (12, 1, 0)),
        (GPUS, "auto", None, (4, 2, 1)),
        (GPUS, "cuda", 2, (2, 2, 1)),
        (GPUS, "cpu", None, (2, 8, 0)),
    ],
)
def test_shares_of_the_cluster(
    machines: list[dict[str, float]], device: str, workers: int | None, expected: tuple[int, int, int]
) -> None:
    count, share = shares(machines, device, workers)
    assert (count, share.threads, share.gpus) == expected


@pytest.mark.parametrize(
    ("machines", "device", "workers", "message"),
    [
        (CPUS, "auto", 13, "--workers: found 13, allowed: 1 to 12, the number of CPUs"),
        (GPUS, "auto", 5, "--workers: found 5, allowed: 1 to 4, the number of GPUs"),
        (CPUS, "cuda", None, "--device cuda is not available here"),
        (GPUS, "cuda:1", None, "--device: found cuda:1, allowed with --engine ray: auto, cpu or cuda"),
    ],
)
def test_more_than_the_cluster_has_is_an_error(
    machines: list[dict[str, float]], device: str, workers: int | None, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        shares(machines, device, workers)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":6379", "head:port"])
def test_addresses_that_are_not_allowed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", address)
    message = f"RAY_ADDRESS: found {address}, allowed: auto, local or HOST:PORT"
    with pytest.raises(OptionError, match=message), cluster():
        pass


def test_an_address_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RestorekitError, match=f"RAY_ADDRESS: {address} cannot be reached"), cluster():
        pass


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = r"--engine ray: ray is not installed; pip install 'restorekit\[ray\]'"
    with pytest.raises(OptionError, match=message), cluster():
        pass
