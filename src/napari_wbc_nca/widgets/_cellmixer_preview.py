"""What CellMixer takes for foreground in the open image, and mixes from a folder."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import DirectLabelColormap
from qtpy.compat import isalive
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QWidget

from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import fields, from_mapping
from napari_wbc_nca.widgets._colours import class_colours, colormap
from napari_wbc_nca.widgets._controls import Controls
from napari_wbc_nca.widgets._forms import ParamsForm, form_layout
from napari_wbc_nca.widgets._layout import Column, Section, row
from napari_wbc_nca.widgets._live import Live
from napari_wbc_nca.widgets._planes import OURS, SHOWS, Index, Source, current_index, placement
from napari_wbc_nca.widgets._run import preload

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_wbc_nca.widgets.segment import SegmentWidget

FOREGROUND = DirectLabelColormap(color_dict={None: "cyan", 0: "transparent"})
SHOWN = ("normalisation", *(field.name for field in fields(ForegroundParams)))
"""Parameters of training that decide what is foreground."""
MIXED = ("mixed", "within", "lowest_share", "highest_share", "overlaps")
"""Parameters of training that decide how pictures are mixed."""
PREVIEW = "napari_wbc_nca.methods.cellmixer.preview"
COUNT = 12
"""Mixtures that are shown."""


class CellmixerPreview(Controls):
    """Look at the foreground and at mixtures before training.

    Parameters
    ----------
    host
        Segment widget, whose image is looked at.
    """

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__(host)
        self.shown = QCheckBox("Foreground of the image")
        self.shown.setToolTip("Show what training would take for cells, as you change how")
        self.mixtures = QPushButton("Preview mixtures…")
        self.mixtures.setToolTip("Choose a folder of populations, one folder each, and mix some")
        self.params = ParamsForm(CellmixerTrainParams, (*SHOWN, *MIXED))
        self.foreground = self._section("Before training: foreground", self.shown, SHOWN)
        self.mixing = self._section("Before training: mixtures", self.mixtures, MIXED)
        self._layer: Labels | None = None
        self._place: tuple[Source, Index] | None = None
        self._foreground, self._mixtures = Live(self), Live(self)
        self._foreground.done.connect(self._show)
        self._mixtures.done.connect(self._show_mixtures)
        self._mixtures.failed.connect(self._on_mixtures_ended)
        self.shown.toggled.connect(self.on_source)
        self.mixtures.clicked.connect(self._on_mixtures)
        for name in SHOWN:
            self.params.widgets[name].changed.connect(self._on_value)
        host.viewer.dims.events.current_step.connect(self._on_value)
        preload(PREVIEW)

    @property
    def busy(self) -> bool:
        """Whether something is being computed."""
        return self._foreground.busy or self._mixtures.busy

    def _section(self, title: str, control: QWidget, names: Sequence[str]) -> Section:
        """What can be looked at, and the parameters that it follows."""
        details, part = Column(), QWidget()
        self.params.add_to(form_layout(part), names)
        details.rows.addWidget(row(control))
        details.rows.addWidget(part)
        section = Section(title, details)
        self.rows.addWidget(section)
        return section

    def on_source(self) -> None:
        """Show the foreground of the plane that is seen, or none."""
        source = self.host.form.source
        if not self.shown.isChecked() or source is None:
            self._hide()
            return
        index = current_index(source, self.host.viewer.dims.point)
        params = self._params()
        self._place = (source, index)
        self._foreground.ask(lambda: foreground_of(source, index, params))

    def on_close(self) -> None:
        """Turn the preview off."""
        self._mixtures.stop()
        self.shown.setChecked(False)
        self._hide()

    def preview(self, folder: str) -> None:
        """Show mixtures of the populations in `folder`."""
        params = self._params()
        self.mixtures.setEnabled(False)
        self._mixtures.ask(lambda: mixtures_of(Path(folder), params))

    def _params(self) -> CellmixerTrainParams:
        return from_mapping(CellmixerTrainParams, self.params.values())

    def _on_value(self, value: Any = None) -> None:
        if isalive(self) and self.shown.isChecked():  # the viewer outlives the widget
            self.on_source()

    def _show(self, mask: Any) -> None:
        """Put the foreground into its layer, in the place of the plane it belongs to."""
        if self._place is None or not self.shown.isChecked():
            return
        source, index = self._place
        data = np.asarray(mask, np.uint8).reshape((1,) * len(source.lead) + mask.shape)
        place, viewer = placement(source, index), self.host.viewer
        if self._layer is not None and self._layer in viewer.layers:
            if self._layer.ndim == data.ndim:
                self._layer.data = data
                for name, value in place.items():
                    setattr(self._layer, name, value)
                return
            viewer.layers.remove(self._layer)
        active = viewer.layers.selection.active
        name = f"{source.layer.name} foreground"
        made = {OURS: {SHOWS: "foreground"}}
        look = {"opacity": 0.4, "colormap": FOREGROUND, "metadata": made}
        self._layer = viewer.add_labels(data, name=name, **look, **place)
        viewer.layers.selection.active = active

    def _hide(self) -> None:
        self._foreground.stop()
        if self._layer is not None and self._layer in self.host.viewer.layers:
            self.host.viewer.layers.remove(self._layer)
        self._layer = self._place = None

    def _on_mixtures(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of populations")
        if folder:
            self.preview(folder)

    def _on_mixtures_ended(self) -> None:
        self.mixtures.setEnabled(True)

    def _show_mixtures(self, made: Any) -> None:
        self._on_mixtures_ended()
        viewer, names = self.host.viewer, made.classes[1:]
        rows = pd.DataFrame({"index": range(1, len(names) + 1), "class": names})
        rows["label"] = rows["index"]
        viewer.add_image(made.images, rgb=True, name="mixtures", metadata={OURS: {}})
        viewer.add_labels(
            np.where(made.labels > len(names), 0, made.labels),
            name="mixtures classes",
            opacity=0.4,
            features=rows,
            colormap=colormap(rows, class_colours(rows)),
            metadata={OURS: {SHOWS: "class"}},
        )


def foreground_of(
    source: Source, index: Index, params: CellmixerTrainParams
) -> Generator[None, None, Any]:
    """Foreground ``(Y, X)`` of a plane; runs in a thread."""
    from napari_wbc_nca.methods.cellmixer.preview import preview_foreground

    yield
    return preview_foreground(np.asarray(source.image(index).pixels), params)


def mixtures_of(folder: Path, params: CellmixerTrainParams) -> Generator[Any, None, Any]:
    """Mixtures of the populations in a folder; runs in a thread."""
    from napari_wbc_nca.io import datasets
    from napari_wbc_nca.methods.cellmixer.preview import preview_mixtures

    yield None
    return (yield from preview_mixtures(datasets.read(folder), params, COUNT))
