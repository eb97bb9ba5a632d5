"""The Ray cluster of a run: the connection to it, and its division among workers."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from restorekit.errors import OptionError, RestorekitError

# Bytes of the object store of a cluster that is started here; it contains paths and reports only.
OBJECT_STORE = 2**27


@dataclass(frozen=True)
class Share:
    """What a worker gets of the cluster.

    Attributes:
        threads: number of threads of torch; without a GPU, also the number of CPUs that are reserved.
        gpus: number of GPUs, 0 or 1.
    """

    threads: int
    gpus: int


def shares(machines: Sequence[Mapping[str, float]], device: str, workers: int | None = None) -> tuple[int, Share]:
    """Return the number of workers and the share of each; OptionError if the cluster has not enough CPUs or GPUs.

    machines: the resources of every machine by name, such as "CPU" and "GPU". device: auto, cpu or cuda.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise OptionError(f"--device: found {device}, allowed with --engine ray: auto, cpu or cuda")
    cpus = [int(machine.get("CPU", 0)) for machine in machines]
    gpus = [0 if device == "cpu" else int(machine.get("GPU", 0)) for machine in machines]
    if device == "cuda" and not any(gpus):
        raise OptionError("--device cuda is not available here (the Ray cluster has no GPU)")
    kind, total, default = ("GPU", sum(gpus), sum(gpus)) if any(gpus) else ("CPU", sum(cpus), sum(map(bool, cpus)))
    count = default if workers is None else workers
    if not 1 <= count <= total:
        raise OptionError(f"--workers: found {count}, allowed: 1 to {total}, the number of {kind}s of the Ray cluster")
    if any(gpus):
        return count, Share(min(max(1, c // g) for c, g in zip(cpus, gpus, strict=True) if g), 1)
    return count, Share(next(k for k in range(max(cpus), 0, -1) if sum(c // k for c in cpus) >= count), 0)


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """Yield the module ray, connected to a cluster; one that is started here ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise OptionError("--engine ray: ray is not installed; pip install 'restorekit[ray]'") from error
    if ray.is_initialized():
        _silence(ray)
        yield ray
        return
    _connect(ray)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one."""
    address = os.environ.get("RAY_ADDRESS", "local")
    options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    elif address != "auto":
        _check_reachable(address)
    with _sigterm_handler(), _no_stderr():
        try:
            ray.init(address, **options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            # The reason is the last line of the traceback in the message of the cause.
            reason = str(error.__cause__ or "").strip().splitlines()[-1:]
            raise RestorekitError("; ".join(["Ray: " + " ".join(str(error).split()), *reason])) from error
    _silence(ray)


def _check_reachable(address: str) -> None:
    """Raise an error if no cluster is at an address, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise OptionError(f"RAY_ADDRESS: found {address}, allowed: auto, local or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise RestorekitError(f"RAY_ADDRESS: {address} cannot be reached ({error.strerror or error})") from error


def _silence(ray: Any) -> None:
    """Keep the messages of Ray from the terminal; its log files contain them."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # No option keeps messages about workers that died from standard output; Ray's debugger sets this too.
    ray._private.worker._worker_logs_enabled = False
    with warnings.catch_warnings():  # Ray Data warns about its own options
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # By default, Ray Data ends runs in which no task ends for 30 minutes.
    context.execution_no_progress_timeout_s = -1


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Discard what libraries write to standard error: Ray prints its log level if RAY_BACKEND_LOG_LEVEL is set."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


@contextlib.contextmanager
def _sigterm_handler() -> Iterator[None]:
    """Keep the handler of SIGTERM, which `ray.init` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
