"""Steps of a part of the work, told as those of the whole."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

S = TypeVar("S")
R = TypeVar("R")
T = TypeVar("T")


def retold(steps: Generator[S, None, T], tell: Callable[[S], R]) -> Generator[R, None, T]:
    """Run `steps` to their end; yield what `tell` makes of each, and return what they return.

    Examples
    --------
    >>> def count():
    ...     yield 1
    ...     return "done"
    >>> told = retold(count(), str)
    >>> next(told)
    '1'
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield tell(step)
