"""The training plans that ship with restorekit, by name.

Each starts with a header of comments: what it trains, the command, and lines "Data:", "Result:" and "Hardware:", which
may continue on indented lines.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from restorekit.errors import OptionError, unknown

# The plans are a part of the wheel; in a checkout they are beside the package.
_PACKAGE = Path(__file__).parents[1]
PLANS = next((path for path in (_PACKAGE / "recipes", _PACKAGE.parent / "recipes") if path.is_dir()), _PACKAGE)
FIELDS = ("Data", "Result", "Hardware")


@dataclass(frozen=True)
class PlanHeader:
    """What the header of a plan states.

    Attributes:
        name: name of the plan.
        summary: what it trains, the lines before the command.
        data, result, hardware: the training data; the result of the paper or of the bundled weights; what it took.
    """

    name: str
    summary: str
    data: str
    result: str
    hardware: str


def plan_paths() -> dict[str, Path]:
    """Return the shipped plans by name."""
    return {path.stem: path for path in sorted(PLANS.glob("*.toml"))}


def find_plan(text: str) -> Path:
    """Return the plan with a path or a name; a file wins. OptionError lists the names if there is none."""
    path = Path(text)
    if path.is_file():
        return path
    plans = plan_paths()
    name = text.replace("-", "_")
    if name in plans:
        return plans[name]
    if path.suffix or len(path.parts) > 1:
        raise OptionError(f"train: {text} does not exist (in {Path.cwd()}); --list prints the names of shipped plans")
    raise OptionError(unknown("plan", text, plans, "train"))


def read_header(path: Path) -> PlanHeader:
    """Read the header of a shipped plan."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if line.startswith("#")]
    text = textwrap.dedent("\n".join(line.removeprefix("#") for line in lines))
    parts = re.split(rf"^({'|'.join(FIELDS)}): ", text, flags=re.MULTILINE)
    fields = {name: " ".join(value.split()) for name, value in zip(parts[1::2], parts[2::2], strict=True)}
    summary = " ".join(itertools.takewhile(lambda line: not line.startswith(" "), parts[0].splitlines()))
    return PlanHeader(path.stem, summary, fields["Data"], fields["Result"], fields["Hardware"])


def plan_headers() -> list[PlanHeader]:
    """Return the headers of the shipped plans."""
    return [read_header(path) for path in plan_paths().values()]
