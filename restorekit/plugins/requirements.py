"""The version of restorekit that the distribution of a plugin requires."""

from __future__ import annotations

import re
from collections.abc import Iterable

from restorekit import __version__
from restorekit.errors import RestorekitError

NAME = r"\s*restorekit\b(?![.-])"
# "restorekit" and "restorekit>=1.2", which can be decided without `packaging`, whose import takes 30 ms.
SIMPLE = r"\s*restorekit\s*(?:\(?>=\s*([\d.]+)\)?)?\s*"


def check_requirements(distribution: str, version: str, requirements: Iterable[str]) -> None:
    """Raise RestorekitError if a distribution requires another version of restorekit than the installed one.

    requirements: as in the metadata, PEP 508; those of extras and of other environments are ignored.
    """
    for text in requirements:
        if not re.match(NAME, text):
            continue
        simple = re.fullmatch(SIMPLE, text)
        if simple and (simple[1] is None or _numbers(simple[1]) <= _numbers(__version__)):
            continue
        from packaging.requirements import Requirement

        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and not requirement.specifier.contains(__version__, prereleases=True):
            found = f"{distribution} {version} requires restorekit {requirement.specifier}, found {__version__}"
            raise RestorekitError(f"{found}; pip install --upgrade restorekit, or install another {distribution}")


def _numbers(version: str) -> list[int]:
    """Return the numbers of a version up to the first other word, such as that of a pre-release."""
    return [int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number]  # type: ignore[index]
