"""Hook of mkdocs: tables of parameters and the cards of models, made from what the program holds.

A line ``{{ params module:Class }}`` becomes a table of that dataclass's fields, a line
``{{ cards }}`` a section for each bundled model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io import weights
from napari_wbc_nca.methods.registry import load
from napari_wbc_nca.params import Parameter, fields

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page."""
    made = re.sub(r"^( *)\{\{ params (\S+) \}\}$", _params, markdown, flags=re.MULTILINE)
    return re.sub(r"^\{\{ cards \}\}$", lambda _: "\n".join(_cards()), made, flags=re.MULTILINE)


def _params(found: re.Match[str]) -> str:
    params: Any = load(found[2])
    rows = [_row(item) for item in fields(params)]
    table = ["| parameter | default | values | |", "|---|---|---|---|", *rows]
    return "\n".join(found[1] + line for line in table)


def _row(item: Parameter) -> str:
    bounds = item.bounds
    values = " · ".join(f"`{choice}`" for choice in item.choices) or _span(item)
    unit = f" {bounds.unit}" if bounds.unit else ""
    return f"| `{item.name}` | {_default(item)}{unit} | {values} | {bounds.help} |"


def _default(item: Parameter) -> str:
    if isinstance(item.default, bool):
        return "on" if item.default else "off"
    if isinstance(item.default, float):
        return f"`{item.default:g}`"
    return f"`{item.default}`" if item.default != "" else "empty"


def _span(item: Parameter) -> str:
    low, high = item.bounds.low, item.bounds.high
    if low is None and high is None:
        return "on, off" if item.type is bool else "text"
    if high is None:
        return f"{low:g} or more"
    return f"{low:g} to {high:g}"


def _cards() -> Iterator[str]:
    folder = files("napari_wbc_nca") / "weights"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".safetensors"))
    for name in names:
        yield from _card(weights.load(str(folder / name)))
    if not names:
        yield "No model is bundled with this version."


def _card(model: Checkpoint) -> Iterator[str]:
    parameters = sum(array.size for array in model.weights.values())
    facts = {
        "method": f"`{model.method}`, {_inline(model.architecture)}",
        "parameters": f"{parameters:,}",
        "classes": ", ".join(model.classes),
        "window": f"{model.window} px of {model.pixel_size:g} µm; a cell is {model.diameter:g} px",
        "normalisation": _inline(model.normalisation),
        "SHA-256": f"`{model.sha256}`",
        **{key: _inline(value) for key, value in model.card.items()},
    }
    yield f"## {model.name}\n\n| | |\n|---|---|"
    yield from (f"| {key} | {value} |" for key, value in facts.items())
    yield ""


def _inline(value: Any) -> str:
    """`value` of a card in one cell of a table."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_part(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_part(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _part(value: Any) -> str:
    """Write a value inside another; brackets hold what has parts of its own."""
    nested = isinstance(value, Mapping | list | tuple)
    return f"({_inline(value)})" if nested else _inline(value)
