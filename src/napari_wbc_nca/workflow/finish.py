"""Run a computation to its end where nobody watches its progress."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from napari_wbc_nca.types import Progress

T = TypeVar("T")


def finish(work: Generator[Progress, None, T]) -> T:
    """Result of a computation that yields its progress."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
