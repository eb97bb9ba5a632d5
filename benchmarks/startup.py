"""Time from the command `restorekit denoise PHOTO` to the first evaluation of the network, and what it is spent on.

    python benchmarks/startup.py PHOTO --repetitions 10

Every repetition is a new process that stops at the first evaluation. Printed are the wall-clock and the CPU seconds of
each phase, and the packages that take longer than 20 ms to import (`-X importtime`); all are minima over the
repetitions. Processes must share one monotonic clock, as on Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

MIN_IMPORT = 0.02


def first_evaluation(started: float, photo: str) -> None:
    """Run the command until the first evaluation of a network, print the times of its phases as JSON, and exit."""
    phases: list[tuple[str, float, float]] = []

    def mark(phase: str) -> None:
        phases.append((phase, time.monotonic() - started, time.process_time()))

    def mark_call(module: ModuleType, name: str, before: str, after: str | None = None) -> None:
        function = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            mark(before)
            result = function(*arguments, **options)
            if after is not None:
                mark(after)
            return result

        setattr(module, name, call)

    def stop_at_evaluation() -> None:
        import torch

        def stop(module: torch.nn.Module, inputs: object) -> None:
            mark("first photo: digests, decoding, noise level")
            print(json.dumps(phases), flush=True)
            os._exit(0)

        torch.nn.modules.module.register_module_forward_pre_hook(stop)

    mark("start of Python")
    from restorekit.cli import app, commands, restore

    mark("import of the command line")
    mark_call(commands, "run_recipe", "plugins and arguments")
    mark_call(restore, "_plan", "import of torch and everything else", "plan")
    mark_call(restore, "_runner", "settings", "loading of two models")
    load = restore._runner
    restore._runner = lambda *arguments: (stop_at_evaluation(), load(*arguments))[1]  # type: ignore[func-returns-value]
    sys.argv = ["restorekit", "denoise", photo, "--overwrite"]
    app.main()


def run(photo: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a process until the first evaluation."""
    command = [sys.executable, *options, __file__, str(photo), "--started", str(time.monotonic())]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def phases(photo: Path) -> dict[str, tuple[float, float]]:
    """Return the wall-clock and the CPU seconds of every phase, and their sum."""
    found, times, before = json.loads(run(photo).stdout), {}, (0.0, 0.0)
    for phase, wall, cpu in found:
        times[phase] = wall - before[0], cpu - before[1]
        before = wall, cpu
    return {**times, "total": before}


def imports(photo: Path) -> dict[str, float]:
    """Return the seconds that the modules of every package take to import."""
    seconds: Counter[str] = Counter()
    for line in run(photo, "-X", "importtime").stderr.splitlines():
        time_of_module, _, name = line.removeprefix("import time:").split("|") if line.count("|") == 2 else ("", "", "")
        if time_of_module.strip().isdigit():
            package = name.strip().split(".")[0]
            seconds["standard library" if package in sys.stdlib_module_names else package] += int(time_of_module) / 1e6
    return dict(seconds)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.started is not None:
        first_evaluation(arguments.started, str(arguments.photo))
    times = [phases(arguments.photo) for _ in range(arguments.repetitions)]
    print("| phase | seconds | CPU seconds |\n|---|--:|--:|")
    for phase in times[0]:
        wall, cpu = (min(repetition[phase][i] for repetition in times) for i in range(2))
        print(f"| {phase} | {wall:.2f} | {cpu:.2f} |")
    packages = [imports(arguments.photo) for _ in range(arguments.repetitions)]
    smallest = {name: min(repetition.get(name, 0.0) for repetition in packages) for name in packages[0]}
    print("\n| package | seconds |\n|---|--:|")
    for name, seconds in sorted(smallest.items(), key=lambda item: -item[1]):
        if seconds >= MIN_IMPORT:
            print(f"| {name} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
