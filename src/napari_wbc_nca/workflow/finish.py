"""Run a computation to its end where nobody watches its progress."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")


def finish(work: Generator[Any, None, T]) -> T:
    """Result of a computation that yields its progress."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
