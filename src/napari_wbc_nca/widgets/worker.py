"""A generator that runs in a thread, reports in the window's thread and can be cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_wbc_nca.widgets.base import report

if TYPE_CHECKING:
    Steps = Generator[Any, None, Any]


PATIENCE = 1000
"""Milliseconds that a cancelled computation has to stop; then it is left behind."""


@dataclass(frozen=True)
class Failure:
    """The error that ended a computation."""

    error: Exception


def guarded(steps: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
    """Yield what `steps` yields; return what it returns, or the :class:`Failure` that ended it.

    The thread's own loop takes a RuntimeError, which is what torch raises, for a sign that the
    window has gone, and drops it.
    """
    try:
        return (yield from steps)
    except Exception as error:
        return Failure(error)


class Job(QObject):
    """One computation in a thread. Exactly one of the last three signals ends it.

    Parameters
    ----------
    steps
        Generator that is run to its end or until it is cancelled.
    parent
        Widget that the job belongs to.
    """

    yielded = Signal(object)
    returned = Signal(object)
    cancelled = Signal()
    failed = Signal(object)

    def __init__(self, steps: Generator[Any, None, Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.running = False
        self._worker = create_worker(guarded, steps)
        self._worker.yielded.connect(self._on_yielded)
        self._worker.returned.connect(self._on_returned)
        self._worker.finished.connect(self._on_cancelled)

    def start(self) -> None:
        """Start the thread."""
        self.running = True
        self._worker.start()

    def cancel(self) -> None:
        """Stop at the next yield, or leave the thread behind when that takes too long."""
        self._worker.quit()
        QTimer.singleShot(PATIENCE, self._on_cancelled)

    def pause(self) -> None:
        """Wait at the next yield, until :meth:`resume`."""
        self._worker.pause()

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        self._worker.resume()

    def _on_yielded(self, value: object) -> None:
        if self.running:
            self.yielded.emit(value)

    def _on_returned(self, value: object) -> None:
        if not self._end():
            return
        if isinstance(value, Failure):
            self.failed.emit(value.error)
        else:
            self.returned.emit(value)

    def _on_cancelled(self) -> None:
        if self._end():
            self.cancelled.emit()

    def _end(self) -> bool:
        """Whether this call is the one that ends the job."""
        ended, self.running = self.running, False
        return ended


class Clock:
    """Time that a phase of a computation still needs; a new message begins a new phase."""

    def __init__(self) -> None:
        self._phase = ""
        self._start = time.monotonic()

    def remaining(self, phase: str, share: float) -> str:
        """Text such as "about 12 s left"; empty while nothing can be said.

        Parameters
        ----------
        phase
            What is being done.
        share
            Finished part of it, 0–1.
        """
        if phase != self._phase:
            self._phase, self._start = phase, time.monotonic()
        elapsed = time.monotonic() - self._start
        return f"about {duration(left(elapsed, share))} left" if share > 0 and elapsed > 1 else ""


def left(elapsed: float, share: float) -> float:
    """Seconds still needed when `share` (0–1) of the work took `elapsed` seconds.

    Examples
    --------
    >>> left(10.0, 0.25)
    30.0
    """
    return elapsed * (1 - share) / share


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> duration(0.2), duration(75), duration(4000)
    ('1 s', '1 min 15 s', '1 h 6 min')
    """
    whole = max(1, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


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
