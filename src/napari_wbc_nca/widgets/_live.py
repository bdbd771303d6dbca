"""A computation that follows what is chosen: one at a time, the latest wish last."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_wbc_nca.widgets._errors import report
from napari_wbc_nca.widgets._worker import Job

if TYPE_CHECKING:
    Steps = Generator[Any, None, Any]

PAUSE = 200
"""Milliseconds without another change after which a computation starts."""


class Live(QObject):
    """Computes in a thread whenever it is asked to; wishes that were overtaken are left out.

    Parameters
    ----------
    parent
        Widget that it belongs to.
    """

    done = Signal(object)
    failed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._wish: Callable[[], Steps] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        """Whether something is being computed, or soon will be."""
        return self._timer.isActive() or (self._job is not None and self._job.running)

    def ask(self, wish: Callable[[], Steps]) -> None:
        """Run the generator that `wish` makes, unless another wish comes soon."""
        self._wish = wish
        self._timer.start()

    def stop(self) -> None:
        """Forget the wish, and what is being computed."""
        self._timer.stop()
        self._wish = None
        if self._job is not None:
            self._job.cancel()

    def _start(self) -> None:
        if self._wish is None or (self._job is not None and self._job.running):
            return  # the end of the job that is running starts the next
        wish, self._wish = self._wish, None
        self._job = Job(wish(), self)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._start)
        self._job.start()

    def _on_returned(self, value: object) -> None:
        if self._wish is None:
            self.done.emit(value)
        self._start()

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self.failed.emit()
        self._start()
