"""Parameters as frozen dataclasses: one owner of a name, unit, default, bounds and help.

A field is written ``name: Annotated[float, Bounds("µm", "help", low=0, high=10)] = 0.0``;
forms, command line and provenance are made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

P = TypeVar("P")


@dataclass(frozen=True)
class Bounds:
    """Meaning and range of a field.

    Attributes
    ----------
    help
        One sentence for forms and the command line.
    unit
        Unit shown after the value; empty for pure numbers.
    low, high
        Smallest and largest value of a number; None where open.
    advanced
        Shown only on request.
    """

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    advanced: bool = False


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
    hints = get_type_hints(cls, include_extras=True)
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{cls.__name__}.{item.name} has no Bounds")
        kind, bounds = get_args(hint)[:2]
        yield Parameter(item.name, kind, item.default, bounds)


def check(params: P) -> P:
    """Check that every field is within its bounds, and return `params`.

    Raises
    ------
    ValueError
        Naming the field, its value and the values it takes.
    """
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

    Raises
    ------
    ValueError
        For a name that `cls` does not have, or a value out of bounds.
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
    """Parse whole numbers joined by ``-``.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> integers("16-32-64")
    (16, 32, 64)
    """
    parts = text.split("-")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"{text!r} is no list of numbers; expected such as '16-32-64'")
    return tuple(int(part) for part in parts)
