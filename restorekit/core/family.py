"""Description of a family of priors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restorekit.core.denoiser import Denoiser

# At least two letters, so that the drive of a Windows path (C:\...) is not a family.
FAMILY = re.compile(r"[a-z][a-z0-9]+(-[a-z0-9]+)*")
# Schemes of URLs, which cannot be names of families.
SCHEMES = ("hf", "http", "https", "file")


@dataclass(frozen=True)
class PriorFamily:
    """A family of priors that a plugin loads: `--model NAME:TEXT` calls `load(TEXT)`.

    Attributes:
        name: lower case, words separated by hyphens, two letters or more; not a URL scheme (hf, http, https, file).
        load: takes the text after the colon and returns a `Denoiser`, float32 on the CPU; raises a `RestorekitError`
            that states what is allowed if it cannot be loaded.
        help: one sentence that describes the text after the colon.
        file: takes the text and returns the weights file that it names, or None if it names none. Results made with
            another content of the file are made again.
    """

    name: str
    load: Callable[[str], Denoiser]
    help: str
    file: Callable[[str], Path | None] | None = None

    def __post_init__(self) -> None:
        if not FAMILY.fullmatch(self.name) or self.name in SCHEMES:
            allowed = "two or more lower-case letters and digits, words separated by hyphens"
            raise ValueError(f"prior family {self.name!r}: allowed: {allowed}, except {', '.join(SCHEMES)}")
        if not self.help:
            raise ValueError(f"prior family {self.name!r}: help is empty; allowed: one sentence")
