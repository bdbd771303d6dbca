"""Copy of a layer's labels as they were before its first correction, made in idle moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.project.journal import RegionChange

_PIECE = 2**19
"""Bytes that are copied at once: a fraction of a millisecond."""
_UNFINISHED: set[FirstState] = set()


class FirstState(QObject):
    """Copies labels ``(..., Y, X)`` piece by piece while the window is idle.

    Copying a layer of 4096² pixels at once takes longer than a stroke may. What is corrected
    meanwhile is passed to :meth:`changed`, with its values from before.

    Parameters
    ----------
    data
        Labels of the layer, which somebody goes on to change.
    done
        Function that is called once all is copied, with the copy.
    """

    def __init__(self, data: npt.NDArray[Any], done: Callable[[npt.NDArray[Any]], None]) -> None:
        super().__init__()
        self._data, self._done = data, done
        self._copy = np.empty(data.shape, data.dtype)
        self._step = max(1, _PIECE // max(1, data.shape[-1] * data.dtype.itemsize))
        self._left = [
            (plane, row)
            for plane in np.ndindex(data.shape[:-2])
            for row in range(0, data.shape[-2], self._step)
        ]
        self._missing = set(self._left)
        self._timer = QTimer(self, interval=0)
        self._timer.timeout.connect(self._copy_next)
        self._timer.start()
        _UNFINISHED.add(self)  # though its layer is removed

    def changed(self, region: RegionChange) -> None:
        """Take the values from before a change, which the labels show already."""
        (y, x), (height, width) = region.origin, region.before.shape
        for row in range(y - y % self._step, y + height, self._step):
            if (region.plane, row) in self._missing:
                self._copy_piece(region.plane, row)
                first, last = max(y, row), min(y + height, row + self._step)
                here: tuple[Any, ...] = (*region.plane, slice(first, last), slice(x, x + width))
                self._copy[here] = region.before[first - y : last - y]

    def finish(self) -> None:
        """Copy all that is left now."""
        while self._timer.isActive():
            self._copy_next()

    def _copy_piece(self, plane: tuple[int, ...], row: int) -> None:
        where: tuple[Any, ...] = (*plane, slice(row, row + self._step))
        self._copy[where] = self._data[where]
        self._missing.discard((plane, row))

    def _copy_next(self) -> None:
        while self._left and (piece := self._left.pop()) not in self._missing:
            pass
        if self._missing:
            self._copy_piece(*piece)
        if not self._missing:
            self._timer.stop()
            _UNFINISHED.discard(self)
            self._done(self._copy)


def finish_copies() -> None:
    """Copy now what is left of all layers."""
    for one in list(_UNFINISHED):
        one.finish()
