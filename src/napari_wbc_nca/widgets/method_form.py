"""Display of each method in the Segment widget, and the rows of the form that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from qtpy.QtWidgets import QCheckBox, QWidget

from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.params import PredictParams
from napari_wbc_nca.params import fields, from_mapping
from napari_wbc_nca.widgets.layout import add_row, form_layout, grid, with_tip
from napari_wbc_nca.widgets.params_form import CLASS_FIELD, ClassChecks, ParamsForm

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

Kind = Literal["labels", "classes", "points", "maps"]


@dataclass(frozen=True)
class OptionalLayer:
    """Something that a run can add to the viewer, with its check box's text, tooltip and tick.

    `name` is a label image of the segmentation, or any other text for points and maps; `title`
    follows the image's name in that of the layer. As `kind`, it becomes labels with one row of
    features a cell or a class, points, or images.
    """

    name: str
    caption: str
    tip: str
    title: str = ""
    kind: Kind = "labels"
    on: bool = False


CELLS = OptionalLayer("cell", "Cells", "Add whole cells as a labels layer", "cells", on=True)
MAPS = OptionalLayer("maps", "Maps", "Add the maps behind the labels as images", kind="maps")


@dataclass(frozen=True)
class MethodDisplay:
    """How a method looks in the Segment widget.

    Attributes
    ----------
    action, nothing
        Text of the big button, and status of a run that found no cell.
    names
        Parameters that are shown, in this order; empty for all that are not advanced.
    live
        Parameter whose change runs the last result again; empty where none does.
    phases
        As in :class:`~napari_wbc_nca.widgets.worker.Clock`.
    preview, tools
        ``"module:Class"`` of the :class:`~napari_wbc_nca.widgets.segment.Controls` above
        the big button and below the result; empty where there are none.
    """

    outputs: tuple[OptionalLayer, ...] = (CELLS, MAPS)
    action: str = "Segment cells"
    nothing: str = "No cell found"
    names: tuple[str, ...] = ()
    captions: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    live: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    preview: str = ""
    tools: str = ""


CLASSES = OptionalLayer(
    "class", "Classes", "Add the class of each pixel as a labels layer", "classes", "classes", True
)
CELLMIXER = MethodDisplay(
    outputs=(CELLS, CLASSES, replace(MAPS, tip="Add the probability of each class as an image")),
    captions={"min_area": "Smallest cell", "overlap": "Tile overlap"},
    phases={"Estimating": 1, "Classifying": 6, "Drawing": 1, "Measuring": 1},
    preview="napari_wbc_nca.widgets.cellmixer_preview:CellmixerPreview",
)


CENTROIDS = OptionalLayer(
    "points", "Points", "Add centroids as points, with likelihoods", "centroids", "points", True
)
CONTRIBUTIONS = OptionalLayer(
    "contribution",
    "Contributions",
    "Add labels of the cell that each pixel contributes most to",
    "contributions",
)
FIND = {
    "evidence": "by the model",
    "detector": "by the detector",
    "points": "at points",
    "boxes": "in boxes",
    "whole": "the whole image is one cell",
}
"""Ways to find cells (the parameter `locate`), in the words of the form."""
PROPAGATION = MethodDisplay(
    outputs=(
        CELLS,
        CENTROIDS,
        CONTRIBUTIONS,
        replace(MAPS, tip="Add the likelihood of centroids as an image for each kind of cell"),
    ),
    names=("kinds", "min_likelihood", "min_distance", "saliency", "locate"),
    captions={
        "kinds": "Kinds of cells",
        "min_likelihood": "Likelihood ≥",
        "min_distance": "Distance ≥",
        "saliency": "Cells are",
        "locate": "Find cells",
    },
    texts={
        "saliency": {
            "model": "as the model expects",
            "stain": "stained, unlike the background",
            "inverse": "dark on bright (phase contrast)",
            "generic": "unlike the background",
        },
        "locate": FIND,
    },
    phases={"Estimating": 2, "Finding|Classifying": 1, "Mapping": 1, "Propagating|Cutting": 9},
    preview="napari_wbc_nca.widgets.propagation_tools:PropagationPreview",
    tools="napari_wbc_nca.widgets.propagation_tools:PropagationTools",
)


PCA_OTSU = OptionalLayer(
    "pca",
    "PCA-Otsu",
    "Add the plain mask of each cell's window as in the NCA-WSS paper: where its features differ "
    "most, by Otsu's threshold; as a labels layer of its own",
    "PCA-Otsu",
)
NCA = MethodDisplay(
    outputs=(
        CELLS,
        OptionalLayer(
            "nucleus", "Nuclei", "Add nuclei as a labels layer with the cells' integers", "nuclei"
        ),
        PCA_OTSU,
        replace(MAPS, tip="Add the response and the most relevant channels as images"),
    ),
    action="Segment WBCs",
    nothing="No white blood cell found",
    names=("projection", "locate", "differential"),
    captions={"projection": "Outline", "locate": "Find cells", "tta_rotations": "Rotations"},
    texts={
        "projection": {
            "model": "the model's own",
            "pca": "by what differs most",
            "evidence": "by what speaks for a cell",
            "centre": "by what resembles the centre",
            "grown": "grown from the centre",
        },
        "locate": FIND,
        "differential": {
            "model": "the model's own classes",
            "five": "five types",
            "fine": "fine: bands, immature cells",
        },
    },
    live="projection",
    phases={"Estimating": 2, "Finding": 1, "Segmenting": 3},
)


DISPLAYS = {"nca_wss": NCA, "nca_max": NCA, "propagation": PROPAGATION, "cellmixer": CELLMIXER}
"""Method to how it is displayed."""


def display_of(method: str) -> MethodDisplay:
    """Return the display of a method; the default one where it has none."""
    return DISPLAYS.get(method, MethodDisplay())


ADDED = ("maps", "pca")
"""Parameters that add something, by check boxes of that name."""
ELSEWHERE = ("pixel_size", "diameter", *ADDED)
"""Parameters with controls of their own: the scale, and what is added."""
SHARED = tuple(field.name for field in fields(PredictParams) if field.name not in ELSEWHERE)
"""Parameters that all methods have, whose values go along to another method."""
SHARED_TEXTS = {"channel_order": {"auto": "as recognised", "rgb": "RGB", "bgr": "BGR"}}
"""Choices of these parameters in the words of the form."""


class MethodPage:
    """Rows of one method, in three parts, since other rows stand between them."""

    def __init__(self, method: str) -> None:
        self.display = display_of(method)
        self.cls: type[PredictParams] = registry.get(method).predict_params
        self.outputs: dict[str, QCheckBox] = {}
        for item in self.display.outputs:
            box = self.outputs[item.name] = with_tip(QCheckBox(item.caption), item.tip)
            box.setChecked(item.on)
        shown = [field for field in fields(self.cls) if field.name not in ELSEWHERE]
        names = [field.name for field in shown]
        plain = [f.name for f in shown if not f.bounds.advanced and f.name not in SHARED]
        main = self.display.names or plain
        texts = {**SHARED_TEXTS, **self.display.texts}
        self.params = ParamsForm(self.cls, names, texts, self.display.captions)
        # What is added and how; the device; what stands under Advanced.
        self.parts = QWidget(), QWidget(), QWidget()
        form, device, details = map(form_layout, self.parts)
        add_row(form, "Add", grid([*self.outputs.values()]))
        self.params.add_to(form, main)
        self.params.add_to(device, ["device"])
        rest = [name for name in names if name not in (*main, "device")]
        self.params.add_to(details, rest)

    @property
    def ticked(self) -> frozenset[str]:
        """Names of what is to be added."""
        return frozenset(name for name, box in self.outputs.items() if box.isChecked())

    def offer_model(self, model: Checkpoint | None) -> None:
        """Offer the kinds of cells that the chosen model knows, and tick what it adds."""
        box = self.params.widgets.get(CLASS_FIELD)
        if isinstance(box, ClassChecks):
            box.offer(() if model is None else model.classes)
        for name in ADDED:
            if model is not None and name in self.outputs and model.card.get(name):
                self.outputs[name].setChecked(True)

    def show(self, shown: bool) -> None:
        """Show or hide all parts."""
        for part in self.parts:
            part.setVisible(shown)

    def locate(self) -> str:
        """Read how cells are found; empty where the method does not ask."""
        return str(self.params.values().get("locate", ""))

    def take_over(self, other: MethodPage) -> None:
        """Take the values of the parameters that all methods share."""
        for name in SHARED:
            self.params.widgets[name].value = other.params.widgets[name].value

    def make(self, scale: Mapping[str, float]) -> PredictParams:
        """Make checked parameters of what is shown, with those of the `scale`."""
        values = self.params.values()
        if values.get(CLASS_FIELD) == "":
            raise ValueError("No kind of cell is ticked. Tick those that are to be found.")
        added = {name: name in self.ticked for name in ADDED if name in self.outputs}
        return from_mapping(self.cls, {**values, **scale, **added})
