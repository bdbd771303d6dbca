"""Form of known cells to train on or to measure against, and the samples made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from napari.layers import Labels, Layer, Points
from qtpy.QtWidgets import QWidget

from napari_wbc_nca.cell_types import WBC, canonical
from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.formats.files import to_colours
from napari_wbc_nca.formats.items import item
from napari_wbc_nca.widgets.base import Form, require
from napari_wbc_nca.widgets.export_items import all_items, image_of
from napari_wbc_nca.widgets.layer_boxes import LayerList, ReviewedBox
from napari_wbc_nca.widgets.layout import PathRow, choice_box, form_layout
from napari_wbc_nca.widgets.planes import inside, on_plane, source_of, to_plane
from napari_wbc_nca.workflow.export import training_sample

LABELS, POINTS, FOLDER = "Labels layers", "Points layers", "a folder"


class KnownCellsForm(Form):
    """Chooses known cells: layers of the viewer, or a folder.

    `caption` labels the choice between the sources, some of :data:`LABELS`, :data:`POINTS` and
    :data:`FOLDER`; `outside` says what becomes of pixels that were not reviewed.
    """

    def __init__(self, caption: str, sources: Sequence[str], outside: str) -> None:
        super().__init__()
        self.data = choice_box(sources, "Where the known cells are")
        self.labels = LayerList(Labels, "Corrected cells, with classes among their features")
        self.points = LayerList(Points, "One point on each cell")
        self.reviewed = ReviewedBox(f"What was reviewed in full; {outside}")
        self.choosers = (self.labels, self.points, self.reviewed)
        tip = "Folder of pictures with masks or labels, an export, or a .toml"
        self.folder = PathRow(tip, folder=True)
        self.fields = form_layout(box := QWidget())
        self.rows.addWidget(box)
        for name, text, widget in (
            ("data", caption, self.data),
            ("labels", "Labels", self.labels),
            ("points", "Points", self.points),
            ("reviewed", "Reviewed", self.reviewed),
            ("folder", "Folder", self.folder),
        ):
            self.add_field(self.fields, name, text, widget)
        self.data.currentIndexChanged.connect(self._show_source)
        self._show_source()

    @property
    def source(self) -> str:
        """Where the known cells are."""
        return str(self.data.currentText())

    def samples(self, layers: Iterable[Layer]) -> list[Sample] | Path:
        """Make samples of what is ticked among the viewer's `layers`, or return the folder."""
        known = list(layers)
        if self.source == FOLDER:
            why = "No folder is chosen. Choose one of labelled pictures, or an export."
            return require(self.folder.path, why)
        if self.source == LABELS:
            chosen, regions = self.labels.checked(), self.reviewed.regions()
            found = [training_sample(one) for one in all_items(chosen, known, regions)]
        else:
            chosen = self.points.checked()
            found = [sample for points in chosen for sample in samples_of_points(points, known)]
        todo = "Segment an image and correct the cells, mark them, or choose a folder."
        return require(found, f"There is no known cell in {self.source}. {todo}")

    def _show_source(self, index: int = 0) -> None:
        shown = {"labels": LABELS, "points": POINTS, "reviewed": LABELS, "folder": FOLDER}
        self.show_fields({name: self.source == source for name, source in shown.items()})


def samples_of_points(points: Points, layers: Sequence[Layer]) -> list[Sample]:
    """Make samples of a Points layer: one for each plane of its image with a point.

    The class of a point stands among the layer's features, under ``class``. A ValueError says
    where there is no image, where any of several may be the one, and which points lie outside.
    """
    image = image_of(points, layers)
    if image is None:
        raise ValueError(f"There is no image under {points.name}. Open the one it belongs to.")
    source = source_of(image)
    places = to_plane(source, points, np.asarray(points.data, float))
    if outside := np.count_nonzero(~inside(source, places)):
        raise ValueError(
            f"{outside} points of {points.name} lie outside of {image.name}. Remove them, or open "
            "the image that they belong to."
        )
    classes = points.features["class"] if "class" in points.features else [WBC] * len(places)
    samples = []
    for index in source.planes():
        here = on_plane(places, index)
        if here.any():
            plane = source.image(index)
            kinds = [str(name) for name, on in zip(classes, here, strict=True) if on]
            blank = np.zeros(plane.shape, np.uint8)
            pixels = to_colours(item(plane.name, blank, pixels=np.asarray(plane.pixels)))
            # napari counts from the middle of a pixel.
            middles = (places[here][:, len(index) :] + 0.5).astype(np.float32)
            path, boxes = Path(plane.name), np.hstack([middles, middles])
            types, lower = tuple(map(canonical, kinds)), tuple(map(str.lower, kinds))
            samples.append(
                Sample(path, boxes, types, plane.name, "layers", kinds=lower, pixels=pixels)
            )
    return samples
