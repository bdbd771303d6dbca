"""Preview of CellMixer's training: foreground of the open image, mixtures from a folder."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.compat import isalive
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QWidget

from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import as_dict, fields, from_mapping
from napari_wbc_nca.widgets.base import TemporaryLayer
from napari_wbc_nca.widgets.class_colours import class_colours, class_rows, colormap
from napari_wbc_nca.widgets.layout import Column, Section, form_layout, row, text_label
from napari_wbc_nca.widgets.params_form import ParamsForm
from napari_wbc_nca.widgets.planes import OURS, SHOWS, current_index, pixel_size, placement
from napari_wbc_nca.widgets.segment import Controls, SegmentWidget
from napari_wbc_nca.widgets.worker import DebouncedJob, preload, report

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_wbc_nca.widgets.planes import ImagePlanes, Index

FOREGROUND = DirectLabelColormap(color_dict={None: "cyan", 0: "transparent"})
SHOWN = ("normalisation", *(field.name for field in fields(ForegroundParams)))
"""Parameters of training that decide what is foreground."""
MIXED = ("mixed_share", "same_class_share", "min_lambda", "max_lambda", "overlap_label")
"""Parameters of training that decide how pictures are mixed."""
COUNT = 12
"""Mixtures that are shown."""
SEVERAL, WHITE = "several classes", "#ffffff"
"""Class and colour of pixels where cells of different classes overlap."""
OWN = {field.name for field in fields(CellmixerTrainParams)} - {"populations"}
"""Training parameters that the card of a model keeps, apart from those of its pictures."""


class CellmixerPreview(Controls):
    """Previews the foreground of the image, and mixtures, before training."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__(host)
        self.shown = QCheckBox("Foreground of the image")
        self.shown.setToolTip("Show what training takes for cells, as you change the parameters")
        self.mixtures = QPushButton("Preview mixtures…")
        self.mixtures.setToolTip("Choose a folder of populations, one folder each, and mix some")
        self.defaults = QPushButton("Defaults")
        self.defaults.setToolTip("Take the defaults of a training from scratch")
        self.scale = text_label()
        self.scale.setVisible(False)
        self.params = ParamsForm(CellmixerTrainParams, (*SHOWN, *MIXED))
        above = (row(self.shown, self.defaults), self.scale)
        self.foreground = self._section("Before training: foreground", above, SHOWN)
        self.mixing = self._section("Before training: mixtures", (row(self.mixtures),), MIXED)
        self._model = ""
        self._kept: dict[str, Any] = {}
        self._folder: Path | None = None
        self._pair: tuple[Image, Labels] | None = None
        self._classes: tuple[str, ...] = ()
        self._layer = TemporaryLayer(host.viewer)
        self._place: tuple[ImagePlanes, Index] | None = None
        self._foreground, self._mixtures = DebouncedJob(self), DebouncedJob(self)
        self._foreground.done.connect(self._show)
        self._mixtures.done.connect(self._show_mixtures)
        self._mixtures.failed.connect(lambda: self.mixtures.setEnabled(True))
        self.shown.toggled.connect(self.on_source)
        self.mixtures.clicked.connect(self._on_mixtures)
        self.defaults.clicked.connect(lambda: self._take({}))
        for name in SHOWN:
            self.params.widgets[name].changed.connect(self._on_value)
        for widget in self.params.widgets.values():
            widget.changed.connect(self._mix_again)
        host.viewer.dims.events.current_step.connect(self._on_value)
        preload("napari_wbc_nca.methods.cellmixer.preview")

    @property
    def busy(self) -> bool:
        """Whether something is being computed."""
        return self._foreground.busy or self._mixtures.busy

    def _section(self, title: str, above: Sequence[QWidget], names: Sequence[str]) -> Section:
        """Add a section of the widgets `above` and the parameters that they follow."""
        details, part = Column(), QWidget()
        self.params.add_to(form_layout(part), names)
        for widget in (*above, part):
            details.rows.addWidget(widget)
        section = Section(title, details)
        self.rows.addWidget(section)
        return section

    def on_source(self) -> None:
        """Start from the chosen model; show the foreground of the plane that is seen, or none."""
        self._follow_model()
        source = self.host.form.source
        if not self.shown.isChecked() or source is None:
            self._hide()
            return
        index = current_index(source, self.host.viewer.dims.point)
        params, scale = self._params(), self.host.form.scale.params()
        self._place = (source, index)
        known = any(scale.values()) or pixel_size(source) is not None
        self.scale.setVisible(bool(params.diameter) and not known)
        size = f"{params.diameter:.0f} px across"
        todo = "Give their diameter under Scale to see what training sees."
        self.scale.setText(f"Seen as if white blood cells were {size}. {todo}")
        self._foreground.ask(lambda: foreground_of(source, index, params, scale))

    def on_close(self) -> None:
        """Turn the preview off."""
        self._mixtures.stop()
        self.mixtures.setEnabled(True)
        self.shown.setChecked(False)
        self._hide()

    def preview(self, folder: str) -> None:
        """Show mixtures of the populations in `folder`; they follow the parameters from now on."""
        self._folder = Path(folder)
        self._mix(self._folder)

    def _mix(self, folder: Path) -> None:
        params = self._params()
        self.mixtures.setEnabled(False)
        self._mixtures.ask(lambda: mixtures_of(folder, params))

    def _mix_again(self, value: Any = None) -> None:
        if isalive(self) and self._folder is not None and self._mixed() is not None:
            self._mix(self._folder)

    def _mixed(self) -> tuple[Image, Labels] | None:
        """Return the layers of the mixtures, while both are in the viewer."""
        layers = self.host.viewer.layers
        return self._pair if self._pair and all(one in layers for one in self._pair) else None

    def _params(self) -> CellmixerTrainParams:
        return from_mapping(CellmixerTrainParams, self._kept | self.params.values())

    def _follow_model(self) -> None:
        """Take what the chosen model was trained with, when another was chosen."""
        from napari_wbc_nca.io import model_store

        model = self.host.form.model.model
        if not model or model == self._model:
            return
        self._model = model
        try:
            self._take(model_store.resolve(model).card.get("params", {}))
        except (ValueError, OSError) as error:
            report(error)

    def _take(self, known: Mapping[str, Any]) -> None:
        """Start from the parameters of a training; from the defaults where they are not known."""
        self._kept = {name: value for name, value in known.items() if name in OWN}
        values = as_dict(CellmixerTrainParams()) | self._kept
        for name, widget in self.params.widgets.items():
            widget.value = values[name]

    def _on_value(self, value: Any = None) -> None:
        if isalive(self) and self.shown.isChecked():  # the viewer outlives the widget
            self.on_source()

    def _show(self, mask: Any) -> None:
        """Put the foreground into its layer, in the place of the plane it belongs to."""
        if self._place is None or not self.shown.isChecked():
            return
        source, index = self._place
        data = np.asarray(mask, np.uint8).reshape((1,) * len(source.lead) + mask.shape)
        if self._layer.visible and self._layer.layer.ndim != data.ndim:
            self._layer.hide()
        self._layer.draw(
            "labels",
            data,
            placement(source, index),
            name=f"{source.layer.name} foreground",
            opacity=0.4,
            colormap=FOREGROUND,
            metadata={OURS: {SHOWS: "foreground"}},
        )

    def _hide(self) -> None:
        self.scale.setVisible(False)
        self._foreground.stop()
        self._layer.hide()
        self._place = None

    def _on_mixtures(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of populations")
        if folder:
            self.preview(folder)

    def _show_mixtures(self, made: Any) -> None:
        self.mixtures.setEnabled(True)
        viewer, shown, count = self.host.viewer, self._mixed(), len(made.classes)
        labels = np.where(made.labels > count, 0, made.labels)
        possible = class_rows((*made.classes[1:], SEVERAL))
        rows = possible if (made.labels == count).any() else class_rows(made.classes[1:])
        if shown is not None and made.classes == self._classes:
            shown[0].data, shown[1].data, shown[1].features = made.images, labels, rows
            return
        for layer in shown or ():
            viewer.layers.remove(layer)
        self._classes = made.classes
        # Of overlaps or not: labels of another colormap would be drawn again.
        colours = class_colours(possible.iloc[:-1]) | {SEVERAL: WHITE}
        self._pair = (
            viewer.add_image(made.images, rgb=True, name="mixtures", metadata={OURS: {}}),
            viewer.add_labels(
                labels,
                name="mixtures classes",
                opacity=0.4,
                features=rows,
                colormap=colormap(possible, colours),
                metadata={OURS: {SHOWS: "class"}},
            ),
        )


def foreground_of(
    source: ImagePlanes, index: Index, params: CellmixerTrainParams, scale: Mapping[str, float]
) -> Generator[None, None, Any]:
    """Compute the foreground ``(Y, X)`` of a plane; runs in a thread."""
    from napari_wbc_nca.methods.cellmixer.preview import preview_foreground

    yield
    image = source.image(index)
    size = scale["pixel_size"] or image.pixel_size or 0.0
    return preview_foreground(np.asarray(image.pixels), params, scale["diameter"], size)


def mixtures_of(folder: Path, params: CellmixerTrainParams) -> Generator[Any, None, Any]:
    """Make mixtures of the populations in a folder; runs in a thread."""
    from napari_wbc_nca.datasets import readers
    from napari_wbc_nca.methods.cellmixer.preview import preview_mixtures

    yield None
    return (yield from preview_mixtures(readers.read(folder), params, COUNT))
