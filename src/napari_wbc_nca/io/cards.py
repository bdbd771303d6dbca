"""The JSON card that a file of weights carries: everything of a checkpoint but its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io.architectures import SHAPES
from napari_wbc_nca.io.plain import plain

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

FORMAT = 1
"""Number of this form of card; raised when an older program could misread a newer card."""
LARGEST = 2**20
"""Bytes a card may have."""


class CardError(ValueError):
    """A card that cannot be used; says what came and what was expected."""


@dataclass(frozen=True)
class Card:
    """Fields of a checkpoint, checked; see `napari_wbc_nca.types.Checkpoint`."""

    method: str
    architecture: dict[str, Any]
    classes: tuple[str, ...]
    diameter: float
    pixel_size: float
    window: int
    normalisation: dict[str, Any]
    card: dict[str, Any]
    name: str


def to_json(checkpoint: Checkpoint) -> str:
    """Card of a checkpoint as JSON text, checked as it will be when it is read.

    Raises
    ------
    CardError
        When a field could not be read back.
    """
    names = Card.__dataclass_fields__
    text = json.dumps(
        {"format": FORMAT, **{name: plain(getattr(checkpoint, name)) for name in names}},
        allow_nan=False,
        sort_keys=True,
    )
    from_json(text)
    return text


def from_json(text: str) -> Card:
    """Checked card from its JSON text.

    Raises
    ------
    CardError
        Naming the field, what came and what was expected.
    """
    if len(text) > LARGEST:
        raise CardError(f"its card has {len(text)} characters; expected at most {LARGEST}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CardError(f"its card is no readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise CardError(f"its card is a JSON {type(values).__name__}; expected an object")
    if values.get("format") != FORMAT:
        raise CardError(
            f"its card has format {values.get('format')!r}; this program reads format {FORMAT}; "
            "a newer program may have written it"
        )
    return _checked(values)


def _checked(values: Mapping[str, Any]) -> Card:
    _need(values, "method", _is_text, f"one of {', '.join(SHAPES)}")
    if values["method"] not in SHAPES:
        raise CardError(f"its method is {values['method']!r}; known are {', '.join(SHAPES)}")
    _need(values, "architecture", _is_flat, "an object of numbers and texts")
    # A detector may look for one kind of cell; a classifier needs something to tell apart.
    if values["method"] == "propagation":
        _need(values, "classes", _is_names, "a list of different names")
    else:
        _need(values, "classes", _is_classes, "a list of two or more different names")
    _need(values, "diameter", _is_length, "a number of px above 0")
    _need(values, "pixel_size", _is_length, "a number of µm above 0")
    _need(values, "window", _is_window, "an integer in 8-4096 px")
    _need(values, "normalisation", _is_normalisation, "an object with a name and its constants")
    _need(values, "card", lambda value: isinstance(value, dict), "an object")
    _need(values, "name", _is_text, "a text")
    return Card(
        values["method"],
        values["architecture"],
        tuple(values["classes"]),
        float(values["diameter"]),
        float(values["pixel_size"]),
        values["window"],
        values["normalisation"],
        values["card"],
        values["name"],
    )


def _need(values: Mapping[str, Any], name: str, fits: Any, expected: str) -> None:
    if name not in values:
        raise CardError(f"its card has no {name}; expected {expected}")
    if not fits(values[name]):
        shown = repr(values[name])
        shown = shown if len(shown) < 80 else f"{shown[:80]}…"
        raise CardError(f"its card has {name} {shown}; expected {expected}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _is_number(value: object) -> bool:
    # A comparison, since math.isfinite fails on integers beyond any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_length(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1e6


def _is_window(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= 4096


def _is_flat(value: object) -> bool:
    return isinstance(value, dict) and all(
        item is None or isinstance(item, bool | str) or _is_number(item) for item in value.values()
    )


def _is_classes(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2 and _is_names(value)


def _is_names(value: object) -> bool:
    listed: Sequence[object] = value if isinstance(value, list) else ()
    return (
        1 <= len(listed) <= 1000
        and all(_is_text(item) for item in listed)
        and len(set(listed)) == len(listed)
    )


def _is_normalisation(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("name"))
        and all(_is_constant(constant) for constant in value.values())
    )


def _is_constant(value: object, depth: int = 2) -> bool:
    """A number, a text, or lists of them: a vector or a matrix."""
    if isinstance(value, list):
        return depth > 0 and all(_is_constant(item, depth - 1) for item in value)
    return value is None or isinstance(value, bool | str) or _is_number(value)
