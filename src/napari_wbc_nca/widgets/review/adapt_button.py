"""Button of the Review dock that adapts the model to the corrections of the open image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.compat import isalive
from qtpy.QtWidgets import QPushButton, QWidget

from napari_wbc_nca.cell_types import AUTO
from napari_wbc_nca.ops.edit import Edit
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.layout import with_tip
from napari_wbc_nca.widgets.review.canvas import image_under
from napari_wbc_nca.widgets.review.prompts import model_of
from napari_wbc_nca.widgets.worker import Job, report

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Labels

    from napari_wbc_nca.widgets.review.model import ReviewModel
    from napari_wbc_nca.workflow.adapt_image import ImageChanges, OpenImage


class AdaptButton(QPushButton):
    """Adapts the model to the reviewed cells of a layer, and applies it to all others.

    Parameters
    ----------
    viewer
        Of the layers.
    model
        Function that returns the cells under review, or None.
    say
        Function that shows a message.
    """

    def __init__(
        self,
        viewer: Viewer,
        model: Callable[[], ReviewModel | None],
        say: Callable[[str], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Adapt", parent)
        self.setAccessibleName("Adapt to my corrections")
        with_tip(
            self,
            "Adapt to my corrections: fit the model to the cells you corrected and confirmed here, "
            "and type and outline all others by it; one undo takes it back",
        )
        self._viewer, self._model, self._say = viewer, model, say
        self._opened: WeakKeyDictionary[Labels, OpenImage] = WeakKeyDictionary()
        self._job: Job | None = None
        self.changes: ImageChanges | None = None
        self.keep = with_tip(
            QPushButton("Keep the adapted model"), "Save it among your models, for other images"
        )
        self.keep.hide()  # until there is one
        self.keep.clicked.connect(lambda: self.keep_model())
        self.clicked.connect(lambda: self.adapt())

    def adapt(self) -> None:
        """Adapt the model in a thread, then apply it."""
        model = self._model()
        if model is None or (self._job is not None and self._job.running):
            return
        layer = model.layer
        if layer.data.ndim != 2:
            self._say("Only single planes are learnt from; segment one plane of the stack alone.")
            return
        try:
            opened = self._open(layer)
        except ValueError as error:
            report(error)
            return
        from napari_wbc_nca.workflow.adapt import reviewed_cells
        from napari_wbc_nca.workflow.adapt_image import adapt_image

        table = model.table
        known = reviewed_cells(table)["class"]
        reviewed = dict(zip(map(int, known.index), map(str, known), strict=True))
        others = [int(n) for n in table.index[table["status"] == AUTO]]
        self._job = job = Job(adapt_image(opened, np.array(layer.data), reviewed, others), self)
        job.returned.connect(lambda found: self._apply(layer, found))
        job.failed.connect(self._on_failed)
        self._say("Adapting to your corrections…")
        self.setEnabled(False)
        job.start()

    def keep_model(self) -> None:
        """Save the adapted model among the user's, under the first free name."""
        if self.changes is None:
            return
        from napari_wbc_nca.io import model_store

        checkpoint = self.changes.adaptation.checkpoint
        base, taken = checkpoint.name[:56], set(model_store.names())
        numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
        name = base if base not in taken else next(one for one in numbered if one not in taken)
        try:
            model_store.register(checkpoint, name)
        except (ValueError, OSError) as error:
            report(error)
            return
        self.keep.hide()
        self._say(f"Kept as {name}: choose it as the model of Segment WBCs.")

    def _open(self, layer: Labels) -> OpenImage:
        """Return the image of a layer, with what was read of its cells before."""
        if layer in self._opened:
            return self._opened[layer]
        from napari_wbc_nca.io import model_store
        from napari_wbc_nca.methods import registry
        from napari_wbc_nca.params import from_mapping
        from napari_wbc_nca.workflow.adapt_image import OpenImage

        name, values, diameter = model_of(layer)
        source = image_under(layer, self._viewer)
        if source is None:
            raise ValueError("the image of these cells is not open; open it first")
        checkpoint = model_store.resolve(name)
        params: Any = from_mapping(registry.get(checkpoint.method).predict_params, values)
        opened = OpenImage(source.image(()), checkpoint, params, diameter)
        self._opened[layer] = opened
        return opened

    def _apply(self, layer: Labels, found: ImageChanges) -> None:
        """Write the changes into the layer, as one step of undo."""
        if not isalive(self) or layer not in self._viewer.layers:
            return
        self.setEnabled(True)
        self.changes = found
        gate = found.adaptation.gate
        if gate.judged and not gate.keep:
            self._say(f"Nothing was changed: {gate.reason}.")
            return
        write_changes(layer, found)
        self.keep.setVisible("parent" in found.adaptation.checkpoint.card)
        self._say(f"{found.text()}. {gate.reason[:1].upper()}{gate.reason[1:]}.")
        model = self._model()
        if model is not None and model.layer is layer:
            model.refresh()

    def _on_failed(self, error: Exception) -> None:
        self.setEnabled(True)
        self._say("")
        report(error)


def write_changes(layer: Labels, found: ImageChanges) -> None:
    """Write types and outlines of unreviewed cells into a layer, as one step of undo.

    Cells that were reviewed since the computation began stay, and pixels of other cells too.
    """
    follower = follow(layer)
    table = follower.table.set_index("index", drop=False)
    status = table["status"] if "status" in table else table["origin"]
    fixed = {
        int(n)
        for n in table.index
        if str(status.get(n) or AUTO) not in (AUTO, "nan") or table["origin"].get(n) != AUTO
    }
    columns = set(map(str, table))
    values = {n: _row(own, columns) for n, own in found.types.items() if n not in fixed}
    moved = {n: one for n, one in found.outlines.items() if n not in fixed and n in table.index}
    for number in moved:
        values.setdefault(number, {})["origin"] = AUTO
    if moved:
        edit = _redrawn(layer, moved)
        if (np.asarray(layer.data[edit.part]) != edit.values).any():
            follower.write(edit, (), "adapt", values)
            return
    if values:
        follower.annotate(values, "adapt")


def _row(probabilities: Mapping[str, float], columns: set[str]) -> dict[str, Any]:
    """Return the columns that a new type changes; the cell still counts as the program's."""
    name = max(probabilities, key=probabilities.__getitem__)
    row: dict[str, Any] = {
        f"p_{own}": value for own, value in probabilities.items() if f"p_{own}" in columns
    }
    row |= {"class": name, "origin": AUTO}
    if "class_probability" in columns:
        row["class_probability"] = probabilities[name]
    return row


def _redrawn(
    layer: Labels, moved: Mapping[int, tuple[tuple[int, int], npt.NDArray[np.bool_]]]
) -> Edit:
    """Give cells new masks; none takes pixels of another cell."""
    values = np.array(layer.data)
    for number in moved:
        values[values == number] = 0
    for number, (corner, mask) in moved.items():
        y, x = (slice(at, at + size) for at, size in zip(corner, mask.shape, strict=True))
        part = values[y, x]
        part[mask & (part == 0)] = number
    rows, columns = np.nonzero(values != layer.data)
    if not len(rows):
        return Edit((slice(0, 0), slice(0, 0)), values[:0, :0])
    box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    return Edit(box, values[box])
