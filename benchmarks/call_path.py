"""List the functions of restorekit that one command calls, in the order of their first call.

    python benchmarks/call_path.py inpaint photo.png --mask mask.png -o result.png --overwrite

Two lists are printed: functions called once per run (plugins, command line, plan, model), and functions called for
every photo, in the threads of `run_jobs` and when a photo is finished. Networks and mathematics are left out: nets,
priors, sampling, initial, the recipe itself, and core except recipes, their options and files. So is code that runs
while a module is imported, such as decorators. docs/architecture.md explains the result.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import restorekit

ROOT = Path(restorekit.__file__).parent
MATHEMATICS = ("nets", "priors", "sampling", "initial", "builtin")
CORE = ("recipe.py", "options.py", "reserved.py", "files.py")


def is_counted(frame: FrameType) -> bool:
    """Return True for functions outside networks and mathematics."""
    code = frame.f_code
    path = Path(code.co_filename)
    if ROOT not in path.parents or code.co_name.startswith("<"):
        return False
    folder, *rest = path.relative_to(ROOT).parts
    # __init__.py only looks up public names.
    if folder in (*MATHEMATICS, "__init__.py") or (folder == "core" and rest[0] not in CORE):
        return False
    return not is_importing(frame)


def is_importing(frame: FrameType | None) -> bool:
    """Return True for code that runs while a module is imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename != __file__:
            return True
        frame = frame.f_back
    return False


def is_below(frame: FrameType | None, function: str) -> bool:
    """Return True for the named function and everything that it calls."""
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False


def main(arguments: list[str]) -> None:
    """Run a command of restorekit and print the functions that it calls."""
    once: dict[str, None] = {}
    per_photo: dict[str, None] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and is_counted(frame):
            place = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()
            in_thread = threading.current_thread() is not threading.main_thread()
            called = per_photo if in_thread or is_below(frame, "finish") else once
            called.setdefault(f"{place}: {frame.f_code.co_qualname}")

    from restorekit import cli

    sys.argv = ["restorekit", *arguments]
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        cli.main()
    except SystemExit as stopped:
        code = stopped.code
    finally:
        sys.setprofile(None)
    for title, called in (("once per run", once), ("per photo", per_photo)):
        print(f"{title}: {len(called)} functions")
        for number, name in enumerate(called, 1):
            print(f"{number:3}  {name}")
    print(f"exit code {code or 0}")


if __name__ == "__main__":
    main(sys.argv[1:])
