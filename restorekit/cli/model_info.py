"""The table of `restorekit models info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def info_rows(facts: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows (name, text) of the facts of `model_facts`, with the available memory of a device."""
    count, classes = facts["parameters"], facts["classes"]
    low, high = facts["sigmas"]
    size = "any size" if facts["size"] is None else f"{facts['size']} x {facts['size']} pixels"
    pieces = "; images of any size in one piece" if facts["any_size"] and facts["size"] is not None else ""
    rows = {
        "name": facts["name"],
        "kind": f"{facts['kind']}, family {facts['family']}",
        **facts["architecture"],
        "parameters": "unknown" if count is None else f"{count:,}{_types(facts)}",
        "window": f"{size}, {facts['channels']} channels{pieces}",
        "sigma": f"{low:.4g} to {high:.4g}, for images in [-1, 1]",
        "classes": "none" if not classes else f"{len(classes)}: {_shortened(classes)}",
        "training data": facts.get("training_data") or "not stated",
        "licence": facts.get("licence") or "not stated",
        "quality": _quality(facts),
    }
    if "path" in facts:
        rows |= {"card": facts["card"] or "none", "file": f"{facts['path']}, {facts['bytes'] / 1e6:.1f} MB"}
        rows |= {"commit": facts["commit"]} if facts["commit"] else {}
        rows["sha256"] = f"{facts['sha256']} ({_recorded(facts)})"
    rows["memory"] = "unknown" if facts["memory"] is None else _memory(facts["memory"])
    return [[name, text] for name, text in rows.items()]


def _types(facts: Mapping[str, Any]) -> str:
    return f" ({', '.join(facts['dtypes'])})" if facts.get("dtypes") else ""


def _shortened(classes: list[str]) -> str:
    return ", ".join(classes if len(classes) <= 20 else [*classes[:3], "...", classes[-1]])


def _quality(facts: Mapping[str, Any]) -> str:
    """Return the measured values, one per line."""
    lines = []
    for value in facts.get("measured") or ():
        setting = f", {value['setting']}" if value["setting"] else ""
        lines.append(f"{value['metric']} {value['value']} ({value['task']}, {value['data']}{setting})")
    return "\n".join(lines) or "no values in the metadata of the card"


def _recorded(facts: Mapping[str, Any]) -> str:
    if facts["recorded_sha256"] is None:
        return "no digest is recorded"
    return "as recorded" if facts["recorded_sha256"] == facts["sha256"] else f"recorded: {facts['recorded_sha256']}"


def _memory(memory: Mapping[str, Any]) -> str:
    """Return the needed and the available memory."""
    needed = f"{_megabytes(memory['weights'])} for the weights"
    if memory["evaluation"] is not None:
        side = memory["side"]
        needed += f", {_megabytes(memory['evaluation'])} for one image of {side} x {side} pixels (float32)"
    if memory["fits"] is None:
        return f"{needed}; the available memory of {memory['device']} is unknown"
    verdict = "fits" if memory["fits"] else "does not fit"
    return f"{needed}; {verdict}: {_megabytes(memory['available'])} are available on {memory['device']}"


def _megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
