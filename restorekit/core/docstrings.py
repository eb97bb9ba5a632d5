"""Descriptions of parameters in docstrings, in NumPy style or in Google style."""

from __future__ import annotations

import re

# Titles of sections, in lower case: those that describe parameters, and those that are not part of the help of a
# command either.
PARAMETERS = ("args", "arguments", "parameters", "other parameters", "keyword args", "keyword arguments")
OMITTED = (*PARAMETERS, "returns", "yields", "raises", "references")
# "name : type" (NumPy), "name: text" or "name (type): text" (Google); several names are separated by commas.
NUMPY_ENTRY = r"([*\w]+(?:, *[*\w]+)*)\s*(?::.*)?()"
GOOGLE_ENTRY = r"([*\w]+(?:, *[*\w]+)*)\s*(?:\([^)]*\))?\s*:\s*(.*)"


def split_docstring(doc: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without the sections on parameters, results and exceptions, and the text on each parameter.

    doc: without indentation, see `inspect.cleandoc`. The text is the first paragraph of the description, in one line.
    """
    kept: list[str] = []
    texts: dict[str, str] = {}
    lines = doc.splitlines()
    while lines:
        title, is_numpy = _title(lines)
        if title not in OMITTED:
            kept.append(lines.pop(0))
            continue
        body = lines[2 if is_numpy else 1 :]
        end = next((i for i in range(len(body)) if _ends(body[i:], is_numpy)), len(body))
        if title in PARAMETERS:
            texts |= _entries(body[:end], NUMPY_ENTRY if is_numpy else GOOGLE_ENTRY)
        lines = body[end:]
    return "\n".join(kept).strip(), texts


def _title(lines: list[str]) -> tuple[str, bool]:
    """Return the title of a section that starts here, in lower case, and whether it is in NumPy style; "" if there is
    none."""
    first, second = lines[0].lower().rstrip(), lines[1].rstrip() if len(lines) > 1 else ""
    if first[:1].isalpha() and len(second) >= 3 and set(second) == {"-"}:
        return first, True
    title = first.removesuffix(":")
    return (title if title != first and title in OMITTED else ""), False


def _ends(lines: list[str], is_numpy: bool) -> bool:
    """Return True if a section ends before these lines: before a title or, in Google style, a line that is not
    indented."""
    return bool(_title(lines)[0]) or (not is_numpy and bool(lines[0]) and not lines[0][0].isspace())


def _entries(lines: list[str], pattern: str) -> dict[str, str]:
    """Return the description of every parameter of a section."""
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in (line[indent:] for line in lines):
        match = re.fullmatch(pattern, line.rstrip()) if line.strip() and not line[0].isspace() else None
        if match:
            names = [name.strip(" *") for name in match[1].split(",")]
            texts |= dict.fromkeys(names, match[2])
        elif not line.strip():  # a further paragraph is not part of the help
            names = [name for name in names if not texts[name]]
        else:
            texts |= {name: f"{texts[name]} {line.strip()}".strip() for name in names}
    return texts
