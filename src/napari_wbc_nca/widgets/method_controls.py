"""Controls of a method beyond its parameters: previews before a run, tools for its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_wbc_nca.methods import registry
from napari_wbc_nca.widgets.layout import Column

if TYPE_CHECKING:
    from napari import Viewer

    from napari_wbc_nca.widgets.result_layers import Result
    from napari_wbc_nca.widgets.segment_form import SegmentForm
    from napari_wbc_nca.widgets.segment_run import Finished


class Host(Protocol):
    """What controls use of the Segment widget."""

    viewer: Viewer
    form: SegmentForm

    def show_counts(self, result: Result) -> None:
        """Say which cells `result` has."""


class Controls(Column):
    """Part of the Segment widget that belongs to one method; subclasses override the hooks.

    Parameters
    ----------
    host
        Segment widget, whose form and viewer are used.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host

    def on_source(self) -> None:
        """React to another image, another scale or another model having been chosen."""

    def on_result(self, result: Result, finished: Finished) -> None:
        """React to the layers of a run having been made."""

    def on_close(self) -> None:
        """Stop what goes on, and remove what only helps while the method is chosen."""


class ControlsPlace(Column):
    """Where the controls of one method stand at a time; empty where it has none.

    Parameters
    ----------
    host
        Segment widget that the controls are for.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.current: Controls | None = None
        self._made: dict[str, Controls] = {}
        self.setVisible(False)

    def choose(self, target: str) -> None:
        """Show the controls that ``"module:Class"`` names, made when they are first needed."""
        if target and target not in self._made:
            controls: Controls = registry.load(target)(self.host)
            self._made[target] = controls
            self.rows.addWidget(controls)
        chosen = self._made.get(target)
        if self.current is not None and chosen is not self.current:
            self.current.on_close()
            self.current.setVisible(False)
        self.current = chosen
        if chosen is not None:
            chosen.setVisible(True)
        self.setVisible(chosen is not None)

    def on_source(self) -> None:
        """Tell the controls that another image, scale or model was chosen."""
        if self.current is not None:
            self.current.on_source()

    def on_result(self, result: Result, finished: Finished) -> None:
        """Tell the controls of new layers."""
        if self.current is not None:
            self.current.on_result(result, finished)
