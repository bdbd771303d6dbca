"""Computations in threads: jobs that can be cancelled, previews, and the time they still need."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from napari_wbc_nca.progress import Progress

    Steps = Generator[Any, None, Any]

LOG = logging.getLogger(__name__)
PATIENCE = 500
"""Milliseconds that a cancelled computation has to stop; then it is left behind."""
PAUSE = 200
"""Milliseconds without another change after which a preview is computed."""


def explain(error: Exception) -> str:
    """Describe an error; those that are not our own get a remedy."""
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        todo = "Lower Tile and Batch size under Advanced, or choose the device cpu."
        return f"Out of memory: {text.splitlines()[0]}. {todo}"
    if isinstance(error, ValueError | OSError):
        return text
    again = "if it comes back, report it with the log that napari printed"
    kind = type(error).__name__
    return f"Stopped by {kind}: {text}. Try device cpu and the default settings; {again}."


def report(error: Exception) -> None:
    """Show `error` as a notification, and keep its traceback in the log."""
    LOG.warning("computation failed", exc_info=error)
    show_error(explain(error))


def preload(module: str = "napari_wbc_nca.workflow.segment") -> None:
    """Load torch and the networks in a thread, while the user still fills in the form."""
    Thread(target=import_module, args=(module,), daemon=True).start()


def guarded(steps: Steps) -> Generator[Any, None, tuple[Any, Exception | None]]:
    """Yield what `steps` yields; return what it returns, and the error that ended it or None.

    The thread's loop drops a RuntimeError, as torch raises it, as if the window were gone.
    """
    try:
        return (yield from steps), None
    except Exception as error:
        return None, error


class Job(QObject):
    """One computation in a thread. Exactly one of the last three signals ends it."""

    yielded = Signal(object)
    returned = Signal(object)
    cancelled = Signal()
    failed = Signal(object)

    def __init__(self, steps: Steps, parent: QObject | None = None) -> None:
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

    def _on_returned(self, outcome: tuple[Any, Exception | None]) -> None:
        if not self._end():
            return
        value, error = outcome
        if error is None:
            self.returned.emit(value)
        else:
            self.failed.emit(error)

    def _on_cancelled(self) -> None:
        if self._end():
            self.cancelled.emit()

    def _end(self) -> bool:
        """Return whether this call is the one that ends the job."""
        ended, self.running = self.running, False
        return ended


class Clock:
    """Finished share of a whole computation, and the time that it still needs.

    Parameters
    ----------
    phases
        Beginning of each phase's message to the time that it takes, in any unit, in the order of
        the phases; empty where progress counts the whole computation. Phases may be left out, and
        a phase of several messages joins them by ``|``.
    """

    def __init__(self, phases: Mapping[str, float] | None = None) -> None:
        self._phases = dict(phases or {"": 1.0})
        self._share = 0.0
        self._first: tuple[float, float] | None = None

    def share(self, progress: Progress) -> float:
        """Return the finished share of the whole computation, 0–1; it never falls.

        Examples
        --------
        >>> from napari_wbc_nca.progress import Progress
        >>> Clock({"Finding": 1, "Segmenting": 3}).share(Progress(1, 2, "Segmenting cells"))
        0.625
        """
        within = min(1.0, progress.done / progress.total) if progress.total else 0.0
        total, before = sum(self._phases.values()), 0.0
        for name, weight in self._phases.items():
            if progress.message.startswith(tuple(name.split("|"))):
                self._share = max(self._share, (before + weight * within) / total)
                break
            before += weight
        return self._share

    def remaining(self, share: float) -> str:
        """Return a text such as "about 12 s left"; empty while nothing can be said.

        The time is counted from the first share, since phases may have been left out before it.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = now, share
        start, begun = self._first
        if share <= begun or now - start <= 1:
            return ""
        return f"about {duration((now - start) * (1 - share) / (share - begun))} left"


def duration(seconds: float) -> str:
    """Write seconds as people say them.

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


class DebouncedJob(QObject):
    """Computes in a thread whenever it is asked to; requests that were overtaken are left out."""

    done = Signal(object)
    failed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._request: Callable[[], Steps] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self, singleShot=True, interval=PAUSE)
        self._timer.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        """Whether something is being computed, or soon will be."""
        return self._timer.isActive() or (self._job is not None and self._job.running)

    def ask(self, request: Callable[[], Steps]) -> None:
        """Run the generator that `request` makes, unless another request comes soon."""
        self._request = request
        self._timer.start()

    def stop(self) -> None:
        """Forget the request, and what is being computed."""
        self._timer.stop()
        self._request = None
        if self._job is not None:
            self._job.cancel()

    def _start(self) -> None:
        if self._request is None or (self._job is not None and self._job.running):
            return  # the end of the job that is running starts the next
        request, self._request = self._request, None
        self._job = Job(request(), self)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._start)
        self._job.start()

    def _on_returned(self, value: object) -> None:
        if self._request is None:
            self.done.emit(value)
        self._start()

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self.failed.emit()
        self._start()
