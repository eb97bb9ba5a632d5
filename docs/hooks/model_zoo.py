"""MkDocs hook: the page on the bundled models, generated from the headers of their weights and from their cards."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "zoo.md"
INTRODUCTION = """# Model zoo

The bundled models. This page is generated from the headers of their weights and from the metadata of their cards, as
`restorekit models info NAME` prints them. Sigma is in the unit of images in [-1, 1]: one 8-bit grey level is 2 / 255.
[Models](models.md) describes how other models are loaded, shared and imported.
"""


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines) + "\n"


def overview(facts: list[dict[str, Any]]) -> str:
    """Return the table of all models."""
    rows = []
    for model in facts:
        size = "any" if model["size"] is None else f"{model['size']} x {model['size']}"
        low, high = model["sigmas"]
        rows.append(
            (
                f"[{model['name']}](#{model['name']})",
                model["kind"] if model["kind"] == model["family"] else f"{model['kind']}, {model['family']}",
                f"{model['parameters'] / 1e6:.1f} million",
                size,
                f"{low:.3g} to {high:,.0f}" if high > 100 else f"{low:.3g} to {high:.3g}",
                str(len(model["classes"])) if model["classes"] else "none",
                f"{model['bytes'] / 1e6:.1f} MB",
            )
        )
    return table(("model", "kind", "parameters", "window", "sigma", "classes", "file"), rows)


def section(model: dict[str, Any]) -> str:
    """Return the section of one model: its facts, its measured values and a link to its card."""
    from restorekit.cli.model_info import info_rows

    left_out = {"name", "quality", "card", "file", "memory"}
    rows = [(name, text) for name, text in info_rows(without_machine(model)) if name not in left_out]
    needed = model["memory"]
    side, memory = needed["side"], [f"{needed[key] / 1e6:.1f} MB" for key in ("weights", "evaluation")]
    rows.append(
        ("memory", f"{memory[0]} for the weights, {memory[1]} for one image of {side} x {side} pixels (float32)")
    )
    parts = [f"## {model['name']}\n", table(("fact", "value"), rows)]
    if model["measured"]:
        values = [
            (value["task"], value["data"], value["setting"] or "", value["metric"], f"{value['value']:g}")
            for value in model["measured"]
        ]
        parts += ["Measured values of the card:\n", table(("task", "data", "setting", "metric", "value"), values)]
    parts.append(
        f"[Card of {model['name']}](cards/{model['name']}.md): training, measured quality with commands, limits.\n"
    )
    return "\n".join(parts)


def without_machine(model: dict[str, Any]) -> dict[str, Any]:
    """Return the facts without the available memory, which `info_rows` compares with the needed one."""
    return model | {"memory": None}


def zoo_page() -> str:
    """Return the page."""
    from restorekit.models.facts import model_facts
    from restorekit.models.registry import bundled_models

    facts = [model_facts(model.name) for model in bundled_models()]
    return "\n".join([INTRODUCTION, overview(facts), *map(section, facts)])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=zoo_page()))
    return files
