"""What the Segment widget shows of each method: data, in one file a method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from napari_wbc_nca.methods import registry

if TYPE_CHECKING:
    from napari_wbc_nca.widgets._run import Finished, Request

Kind = Literal["labels", "classes", "points", "maps"]


@dataclass(frozen=True)
class Addition:
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


CELLS = Addition("cell", "Cells", "Add whole cells as a labels layer", "cells", on=True)
MAPS = Addition("maps", "Maps", "Add the maps behind the labels as images", kind="maps")


@dataclass(frozen=True)
class Face:
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
        ``"module:Class"`` of the :class:`~napari_wbc_nca.widgets._controls.Controls` above the
        big button and below the result; empty where there are none.
    """

    additions: tuple[Addition, ...] = (CELLS, MAPS)
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


PLAIN = Face()
"""Face of a method that has none of its own."""
FACES = {
    "nca_wss": "napari_wbc_nca.widgets._face_nca:FACE",
    "nca_max": "napari_wbc_nca.widgets._face_nca:FACE",
    "propagation": "napari_wbc_nca.widgets._face_propagation:FACE",
    "cellmixer": "napari_wbc_nca.widgets._face_cellmixer:FACE",
}
"""Method to ``"module:FACE"``."""


def face_of(method: str) -> Face:
    """Face of a method; a plain one where it has none of its own."""
    if method not in FACES:
        return PLAIN
    face: Any = registry.load(FACES[method])
    found: Face = face
    return found
