"""What a family of priors says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restorekit.core.denoiser import Denoiser

# At least two letters, so that the drive of a Windows path (C:\...) is no family.
FAMILY = re.compile(r"[a-z][a-z0-9]+(-[a-z0-9]+)*")
# What begins an address, and can therefore begin no family's.
SCHEMES = ("hf", "http", "https", "file")


@dataclass(frozen=True)
class PriorFamily:
    """A kind of priors that a plugin loads: `--model NAME:TEXT` is `load(TEXT)`.

    Attributes:
        name: lower case, words joined by hyphens, two letters or more; no scheme of an address (hf, http, https, file).
        load: from what follows the colon to a `Denoiser`, float32 on the CPU; what cannot be loaded is a
            `RestorekitError` that says what is allowed.
        help: one sentence: what the text after the colon is.
    """

    name: str
    load: Callable[[str], Denoiser]
    help: str

    def __post_init__(self) -> None:
        if not FAMILY.fullmatch(self.name) or self.name in SCHEMES:
            allowed = "two or more lower-case letters and digits, words joined by hyphens"
            raise ValueError(f"prior family {self.name!r}: allowed: {allowed}, none of {', '.join(SCHEMES)}")
        if not self.help:
            raise ValueError(f"prior family {self.name!r}: help is empty; allowed: one sentence")
