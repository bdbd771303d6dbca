"""Progress of long computations, and generators that yield it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from napari_wbc_nca.types import Cell

S = TypeVar("S")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Progress:
    """Progress of a long computation.

    Attributes
    ----------
    done, total
        Work finished and work known, in the computation's own unit.
    message
        Current activity, for people.
    cells
        Cells finished since the last progress; what a cancelled run keeps.
    values
        Figures by name, such as the losses of an epoch.
    """

    done: int
    total: int
    message: str = ""
    cells: tuple[Cell, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


def run_to_end(steps: Generator[Any, None, T]) -> T:
    """Run a generator to its end and return its result.

    Examples
    --------
    >>> def count():
    ...     yield 1
    ...     return "done"
    >>> run_to_end(count())
    'done'
    """
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def map_progress(
    steps: Generator[S, None, T], transform: Callable[[S], R]
) -> Generator[R, None, T]:
    """Yield `transform` of each step of a generator, and return the generator's result.

    Examples
    --------
    >>> def count():
    ...     yield 1
    ...     return "done"
    >>> next(map_progress(count(), str))
    '1'
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield transform(step)
