"""Parameters as frozen dataclasses: one owner of a name, unit, default, bounds and help.

A field is written ``name: float = bounded(0.0, "Help", 0, 10, "µm")``; forms, command line and
provenance are made from it. A subclass overrides a default by the plain value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

P = TypeVar("P")
V = TypeVar("V")


@dataclass(frozen=True)
class Bounds:
    """Meaning and range of a field."""

    help: str  # one sentence for forms and the command line
    low: float | None = None  # smallest and largest value of a number; None where open
    high: float | None = None
    unit: str = ""  # shown after the value; empty for pure numbers
    advanced: bool = False  # shown only on request


def bounded(
    default: V,
    help: str,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    advanced: bool = False,
) -> V:
    """Declare a field with its default and :class:`Bounds`."""
    bounds = Bounds(help, low, high, unit, advanced)
    made: V = dataclasses.field(default=default, metadata={"bounds": bounds})
    return made


@dataclass(frozen=True)
class Parameter:
    """One field of a params dataclass, as read by :func:`fields`."""

    name: str
    type: Any
    default: Any
    bounds: Bounds

    @property
    def choices(self) -> tuple[str, ...]:
        """Values a ``Literal`` field takes; empty for others."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()


def fields(cls: type) -> Iterator[Parameter]:
    """Iterate over the fields of a params dataclass, in their order."""
    declared = {
        name: item.metadata["bounds"]
        for base in reversed(cls.__mro__)
        for name, item in vars(base).get("__dataclass_fields__", {}).items()
        if "bounds" in item.metadata
    }
    hints = get_type_hints(cls)
    for item in dataclasses.fields(cls):
        if item.name not in declared:
            raise TypeError(f"{cls.__name__}.{item.name} has no bounds; declare it by `bounded`")
        yield Parameter(item.name, hints[item.name], item.default, declared[item.name])


def check(params: P) -> P:
    """Check that every field is within its bounds, else raise a ValueError, and return `params`."""
    for item in fields(type(params)):
        value = getattr(params, item.name)
        if item.choices and value not in item.choices:
            raise ValueError(f"{item.name} is {value!r}; choose one of {', '.join(item.choices)}")
        low, high = item.bounds.low, item.bounds.high
        if low is not None and not value >= low:
            raise ValueError(f"{item.name} is {value!r}; it must be at least {low:g}")
        if high is not None and not value <= high:
            raise ValueError(f"{item.name} is {value!r}; it must be at most {high:g}")
    return params


def from_mapping(cls: type[P], values: Mapping[str, Any]) -> P:
    """Make a checked `cls` of names and values, all others at their defaults.

    A name that `cls` does not have, or a value out of bounds, raises a ValueError.
    """
    known = [item.name for item in fields(cls)]
    for name in values:
        if name not in known:
            raise ValueError(f"unknown parameter {name!r}; known are {', '.join(known)}")
    return check(cls(**values))


def as_dict(params: Any) -> dict[str, Any]:
    """Convert params to names and values, for provenance."""
    return {item.name: getattr(params, item.name) for item in fields(type(params))}


def integers(text: str) -> tuple[int, ...]:
    """Parse whole numbers joined by ``-``; anything else raises a ValueError.

    Examples
    --------
    >>> integers("16-32-64")
    (16, 32, 64)
    """
    parts = text.split("-")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"{text!r} is no list of numbers; expected such as '16-32-64'")
    return tuple(int(part) for part in parts)


def split_names(text: str) -> tuple[str, ...]:
    """Split a comma-separated text into names.

    Examples
    --------
    >>> split_names("pca, centre")
    ('pca', 'centre')
    """
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)
