"""Display of each method in the Segment widget: parameters, captions, optional layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.params import as_dict, from_mapping

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.run import Finished, Request


Kind = Literal["labels", "classes", "points", "maps"]


@dataclass(frozen=True)
class OptionalLayer:
    """Something that a run can add to the viewer.

    Attributes
    ----------
    name
        Label image of the segmentation that it shows; any other text for points and maps.
    caption, tip
        Text and tooltip of its check box.
    title
        What follows the image's name in the name of its layer; maps have names of their own.
    kind
        Whether it becomes labels with one row of features a cell, labels with one row a class,
        points, or images.
    on
        Whether it is ticked at first.
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
    additions
        What a run can add, in the order of the check boxes.
    action
        Text of the big button.
    nothing
        Sentence for a run that found no cell.
    names
        Parameters that are shown, in this order; empty for all that are not advanced.
    captions
        Parameter to its label, where its name says too little.
    hidden
        Parameter to choices that are not offered.
    texts
        Parameter to the words of its choices.
    live
        Parameter whose change runs the last result again; empty where none does.
    again
        Request that does so, from the first run of the result and the parameter's new value.
    preview, tools
        ``"module:Class"`` of the :class:`~napari_wbc_nca.widgets.method_controls.Controls` above
        the big button and below the result; empty where there are none.
    """

    additions: tuple[OptionalLayer, ...] = (CELLS, MAPS)
    action: str = "Segment cells"
    nothing: str = "No cell found"
    names: tuple[str, ...] = ()
    captions: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, Iterable[str]] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    live: str = ""
    again: Callable[[Finished, Any], Request] | None = None
    preview: str = ""
    tools: str = ""


CLASSES = OptionalLayer(
    "class", "Classes", "Add the class of each pixel as a labels layer", "classes", "classes", True
)
CELLMIXER = MethodDisplay(
    additions=(CELLS, CLASSES, replace(MAPS, tip="Add the probability of each class as an image")),
    captions={"min_area": "Least area"},
    preview="napari_wbc_nca.widgets.cellmixer_preview:CellmixerPreview",
)


CENTROIDS = OptionalLayer(
    "points",
    "Points",
    "Add centroids as points, with their likelihood",
    "centroids",
    "points",
    True,
)
CONTRIBUTIONS = OptionalLayer(
    "contribution",
    "Contributions",
    "Add labels of the cell that each pixel contributes most to",
    "contributions",
)
PROPAGATION = MethodDisplay(
    additions=(
        CELLS,
        CENTROIDS,
        CONTRIBUTIONS,
        replace(MAPS, tip="Add the likelihood of centroids as an image for each kind of cell"),
    ),
    names=("kinds", "min_likelihood", "min_distance", "saliency", "locate"),
    captions={"min_likelihood": "Likelihood ≥", "min_distance": "Distance ≥"},
    texts={
        "saliency": {
            "model": "the model's own",
            "stain": "stain, against the background",
            "inverse": "dark on bright (phase contrast)",
            "generic": "any difference from the background",
        },
        "locate": {"detector": "by the detector", "points": "at points", "boxes": "in boxes"},
    },
    preview="napari_wbc_nca.widgets.propagation_preview:PropagationPreview",
    tools="napari_wbc_nca.widgets.propagation_tools:PropagationTools",
)


def again(first: Finished, projection: str) -> Request:
    """The request of the run `first` by another projection, where and at the scale it found."""
    request = first.request
    given = as_dict(request.params)
    scale = {"diameter": given["diameter"] or first.diameter()}
    params = from_mapping(NcaParams, given | scale | {"projection": projection})
    if params.locate not in ("evidence", "detector"):
        return replace(request, params=params)
    return replace(request, params=replace(params, locate="points"), points=first.centres())


NCA = MethodDisplay(
    additions=(
        CELLS,
        OptionalLayer(
            "nucleus", "Nuclei", "Add nuclei as a labels layer with the cells' integers", "nuclei"
        ),
        replace(MAPS, tip="Add the response and the most relevant channels as images"),
    ),
    action="Segment WBCs",
    nothing="No white blood cell found",
    names=("projection", "locate"),
    texts={
        "projection": {"model": "the model's own"},
        "locate": {
            "evidence": "by evidence",
            "detector": "by the detector",
            "points": "at points",
            "boxes": "in boxes",
            "whole": "whole image is one cell",
        },
    },
    live="projection",
    again=again,
)


DISPLAYS = {"nca_wss": NCA, "nca_max": NCA, "propagation": PROPAGATION, "cellmixer": CELLMIXER}
"""Method to how it is displayed."""


def display_of(method: str) -> MethodDisplay:
    """Return the display of a method; the default one where it has none."""
    return DISPLAYS.get(method, MethodDisplay())
