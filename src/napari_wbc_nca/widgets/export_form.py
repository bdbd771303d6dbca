"""Form of the Export widget: layers, formats, folder and options."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QPushButton,
    QWidget,
)

from napari_wbc_nca.formats.params import ExportParams
from napari_wbc_nca.formats.registry import FORMATS
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.widgets.base import Form
from napari_wbc_nca.widgets.layer_boxes import LayerBox, LayerList, ReviewedBox
from napari_wbc_nca.widgets.layout import PathRow, Section, add_row, choice_box, form_layout, row
from napari_wbc_nca.widgets.params_form import ParamsForm

OWN = "the one they were made from"
OPTIONS = ("validation", "test", "split_by", "seed", "crop", "pixel_size", "annotator")
FIRST = ("coco", "qupath")
"""Formats that are ticked at first."""


class ExportForm(Form):
    """Everything that can be chosen before an export."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = LayerList(Labels, "Labels layers that are exported")
        self.image = LayerBox(Image, "Image that the labels were drawn on")
        self.image_mode = choice_box([OWN, "this one:"], "Which image belongs to the labels")
        self.reviewed = ReviewedBox(
            "What was reviewed in full; all else is ignored, never taken for background"
        )
        self.formats = {name: _format(name) for name in FORMATS}
        self.folder = PathRow("Folder of the exports", folder=True)
        self.params = ParamsForm(
            ExportParams, (*OPTIONS, "force"), captions={"force": "Replace files"}
        )
        self.groups = PathRow("CSV of image and slide, patient or split", folder=False)
        self._arrange()
        self.image_mode.currentIndexChanged.connect(self._show_rows)
        self._show_rows()

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's layers."""
        offered = list(layers)
        for box in (self.layers, self.image, self.reviewed):
            box.offer(offered)

    def chosen(self) -> list[Labels]:
        """Labels layers that are ticked.

        Raises
        ------
        ValueError
            When there is none.
        """
        found = self.layers.chosen()
        if not found:
            raise ValueError(
                "No Labels layer is ticked. Segment an image, or draw cells in a Labels layer, and "
                "tick it."
            )
        return found

    def target(self) -> Path:
        """Folder of the exports.

        Raises
        ------
        ValueError
            When none is chosen.
        """
        if self.folder.path is None:
            raise ValueError("No folder is chosen. Choose where the exports are to be written.")
        return self.folder.path

    def format_names(self) -> list[str]:
        """Names of the formats that are ticked.

        Raises
        ------
        ValueError
            When there is none.
        """
        found = [name for name, box in self.formats.items() if box.isChecked()]
        if not found:
            raise ValueError("No format is ticked. Tick those that you need.")
        return found

    def shared_image(self) -> Image | None:
        """Image of all labels; None where each layer is exported with the one it was made from."""
        return None if self.image_mode.currentText() == OWN else self.image.layer

    def values(self) -> ExportParams:
        """Parameters that are chosen."""
        return from_mapping(ExportParams, self.params.values())

    def tick(self, *, on: bool) -> None:
        """Tick all formats, or none."""
        for box in self.formats.values():
            box.setChecked(on)

    def _arrange(self) -> None:
        fields = QWidget()
        form = form_layout(fields)
        add_row(form, "Labels", self.layers)
        add_row(form, "Image", self.image_mode)
        form.addRow("", self.image)
        add_row(form, "Reviewed", self.reviewed)
        form.addRow(self._grid())
        add_row(form, "Folder", self.folder)
        self.params.add_to(form, ("force",))
        self.rows.addWidget(fields)
        details = QWidget()
        options = form_layout(details)
        self.params.add_to(options, OPTIONS)
        add_row(options, "Groups", self.groups)
        self.rows.addWidget(Section("Split, crops, annotator", details))

    def _grid(self) -> QWidget:
        box = QWidget()
        box.setToolTip("Each format gets a folder")
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        for number, check in enumerate(self.formats.values()):
            grid.addWidget(check, number // 2, number % 2)
        for text, on in (("All", True), ("None", False)):
            button = QPushButton(text)
            button.setToolTip(f"Tick {text.lower()} of the formats")
            button.clicked.connect(lambda _=False, on=on: self.tick(on=on))
            setattr(self, f"tick_{text.lower()}", button)
        last = row(*(getattr(self, f"tick_{name}") for name in ("all", "none")))
        grid.addWidget(last, len(self.formats), 0, 1, 2)
        return box

    def _show_rows(self, index: int = 0) -> None:
        self.image.setVisible(self.image_mode.currentText() != OWN)


def _format(name: str) -> QCheckBox:
    form = FORMATS[name]
    box = QCheckBox(form.title)
    rest = f"what nobody reviewed: {form.ignores}"
    if form.ignores == "left out":
        rest = "leaves out cells that nobody reviewed"
    box.setToolTip(f"{form.title}, in the folder {name}; {rest}")
    box.setChecked(name in FIRST)
    return box
