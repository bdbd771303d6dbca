"""What went wrong, and what to do about it, as a notification of napari."""

from __future__ import annotations

import logging

from napari.utils.notifications import show_error

LOG = logging.getLogger(__name__)


def explain(error: Exception) -> str:
    """Message that names the remedy.

    Our own errors say what came, what was expected and what to do; those of the machine and
    those nobody thought of get a remedy here.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return (
            f"Out of memory: {text.splitlines()[0]}. Lower Tile and Batch under Advanced, "
            f"or choose the device cpu."
        )
    if isinstance(error, ValueError | OSError):
        return text
    return (
        f"Segmentation stopped by {type(error).__name__}: {text}. Try device cpu and the default "
        f"settings; if it comes back, report it with the log that napari printed."
    )


def report(error: Exception) -> None:
    """Show `error` as a notification, and keep its traceback in the log."""
    LOG.warning("segmentation failed", exc_info=error)
    show_error(explain(error))
