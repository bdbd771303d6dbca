"""Open one image of a folder with its cells, and save and close it before the next."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal

from napari_wbc_nca import types
from napari_wbc_nca.io import images, results
from napari_wbc_nca.io.pixels import channels_last
from napari_wbc_nca.io.results import LABELS, TABLE
from napari_wbc_nca.widgets.planes import OURS, content_of, pixel_size, source_of
from napari_wbc_nca.widgets.reader import read
from napari_wbc_nca.widgets.review.layer_journal import journal_of
from napari_wbc_nca.widgets.review.open_projects import place_of
from napari_wbc_nca.widgets.review.restore import Offer, offers_of
from napari_wbc_nca.widgets.worker import Job, report

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

    from napari_wbc_nca.project.project import Project
    from napari_wbc_nca.workflow.image_folder import ImageFolder


class ImageOpener(QObject):
    """Has one image of a folder open in a viewer at a time.

    Attributes
    ----------
    path
        The image that is open; None where there is none.
    layer
        Its layer.
    """

    saved = Signal(object)
    _looked_up = Signal(object, object)

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer: Viewer = getattr(viewer, "__wrapped__", viewer)
        self.path: Path | None = None
        self.layer: Image | None = None
        self._folder: ImageFolder | None = None
        self._jobs: list[Job] = []
        self._looked_up.connect(self._on_looked_up)

    def open(self, folder: ImageFolder, path: Path) -> None:
        """Save and close what is open, and open an image with its cells.

        These are the corrected ones of its project, else those of the results; a ValueError or
        OSError says why the image cannot be opened.
        """
        self.close()
        offers = offers_of(self.viewer)
        offers.paused = True
        try:
            self.layer = _open_layer(self.viewer, path)
        finally:
            offers.paused = False
        self.path, self._folder = path, folder
        self.viewer.reset_view()
        self.show_cells()

    def show_cells(self) -> None:
        """Add the cells of the open image, unless there are some."""
        if self.layer is None or self.cells():
            return
        place, layer = place_of(self.layer), self.layer
        if place is None or not (place.project.folder / "project.sqlite").is_file():
            self._show_results()
            return

        def look_up(project: Project) -> None:
            image = project.find_image(place.path, place.sha256)
            layers = () if image is None else tuple(project.latest_layers(image))
            if isalive(self):
                self._looked_up.emit(layer, Offer(layer, place, layers))

        place.project.submit(look_up)

    def cells(self) -> list[Labels]:
        """List the layers of cells of the open image."""
        layers = [layer for layer in self.viewer.layers if isinstance(layer, Labels)]
        return [layer for layer in layers if self._is_made(layer) and content_of(layer) == "cell"]

    def close(self) -> None:
        """Close the open image and what was made of it; layers drawn by hand stay.

        Corrections are in its project already. Cells without results are written as ``segment``
        writes them.
        """
        if self.path is not None and self.layer in self.viewer.layers:
            self._save()
        for layer in list(self.viewer.layers):
            if layer is self.layer or self._is_made(layer):
                self.viewer.layers.remove(layer)
        self.path = self.layer = None

    def _is_made(self, layer: Layer) -> bool:
        """Return whether a layer was made of the open image."""
        source = None if self.layer is None else str(self.layer.unique_id)
        return source is not None and layer.metadata.get(OURS, {}).get("source_id") == source

    def _save(self) -> None:
        """Write corrections that wait, and results where there are none."""
        path, folder, layers = self.path, self._folder, self.cells()
        assert path is not None and folder is not None
        for layer in layers:
            journal = journal_of(layer)
            if journal is not None:
                try:
                    journal.flush()
                except ValueError as error:  # said once already, but now it matters
                    report(error)
        runs = [layer for layer in layers if layer.metadata[OURS].get("provenance")]
        if runs and runs[-1].data.ndim == 2 and not folder.table(path).exists():
            steps = _write(runs[-1], folder, path, self.layer)
            job = Job(steps, self)
            job.returned.connect(lambda _: self.saved.emit(path))
            job.failed.connect(report)
            self._jobs.append(job)
            job.start()
        else:
            self.saved.emit(path)

    def _on_looked_up(self, layer: Image, offer: Offer) -> None:
        if layer is not self.layer or layer not in self.viewer.layers or self.cells():
            return
        if offer.layers:
            offers_of(self.viewer).restore(offer)
        else:
            self._show_results()

    def _show_results(self) -> None:
        """Add the cells that ``segment`` found."""
        assert self.path is not None and self._folder is not None
        table = self._folder.table(self.path)
        labels = table.with_name(table.name.removesuffix(TABLE) + LABELS["cell"])
        if not (table.exists() and labels.exists()):
            return
        try:
            found = read(str(labels))
        except (ValueError, OSError) as error:
            report(error)
            return
        for data, options, _ in found:
            made = options["metadata"][OURS]
            made |= {"source_id": str(self.layer.unique_id)} if self.layer is not None else {}
            self.viewer.layers.selection.active = self.viewer.add_labels(data, **options)


def _open_layer(viewer: Viewer, path: Path) -> Image:
    """Read a file as ``segment`` does, and show it.

    Not by the viewer's `open`, which draws its progress between layers that are half removed.
    """
    if not path.exists():
        raise ValueError(f"{path} is missing; put it back, or press Locate…")
    image = images.read(path)
    size = image.pixel_size
    place = {} if size is None else {"scale": (size, size), "units": ("um", "um")}
    with layer_source(path=str(path)):
        return viewer.add_image(channels_last(image.pixels), name=path.stem, **place)


def _write(
    layer: Labels, folder: ImageFolder, path: Path, image: Image | None
) -> Generator[None, None, None]:
    """Write a layer of cells as ``segment`` does, in a thread."""
    labels = np.array(layer.data, np.uint32)
    record: dict[str, Any] = layer.metadata[OURS]["provenance"][0]
    cells = layer.features.drop(columns="index", errors="ignore")
    source = None if image is None else source_of(image)
    size = None if source is None else pixel_size(source)
    pixels = labels if source is None else source.image(()).pixels
    yield
    found = types.Segmentation({"cell": labels}, cells, {}, record)
    results.write(found, types.Image(pixels, folder.files[path], size, str(path)), folder.results)
