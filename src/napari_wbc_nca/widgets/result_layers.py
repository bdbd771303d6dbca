"""Show the segmentations of a run as layers, on the pixels of their image."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
from napari.layers import Image

from napari_wbc_nca.params import as_dict
from napari_wbc_nca.types import Segmentation
from napari_wbc_nca.widgets.canvas_lines import outline_selection
from napari_wbc_nca.widgets.class_colours import class_colours, class_rows, colormap, layer_colours
from napari_wbc_nca.widgets.correction_keys import make_correctable
from napari_wbc_nca.widgets.linked_layers import link_layers
from napari_wbc_nca.widgets.missed_places import MISSED, TITLE, draw_places, list_places
from napari_wbc_nca.widgets.planes import OURS, SHOWS, Index, placement
from napari_wbc_nca.widgets.review.layer_journal import keep_journal

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Layer

    from napari_wbc_nca.widgets.method_form import OptionalLayer
    from napari_wbc_nca.widgets.segment_run import Request

LARGEST = 2**28
"""Pixels above which labels are not compared with what they were."""
ORDER = ("maps", "classes", "labels", "points")
"""Kinds of additions from the bottom of the list of layers to its top."""
Found = Mapping[Index, Segmentation]
Numbers = Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Result:
    """The layers of one run by name of their addition or map, and their first fingerprints."""

    request: Request
    table: pd.DataFrame
    layers: dict[str, Layer]
    prints: dict[str, int | None]

    @property
    def cells(self) -> pd.DataFrame:
        """Table of the cells as they are now, with all corrections."""
        layer = self.layers.get("cell")
        return self.table if layer is None else layer.features

    def colours(self) -> dict[str, str]:
        """Return the colour ``#rrggbb`` of each class of :attr:`cells`."""
        shown = layer_colours(self.layers["cell"]) if "cell" in self.layers else {}
        known = class_colours(self.cells)
        return known | {name: colour[:7] for name, colour in shown.items()}

    def uncounted(self) -> frozenset[str]:
        """Return classes whose touching cells are not separated, so that they are no count."""
        layer = next(iter(self.layers.values()), None)
        records = [] if layer is None else layer.metadata.get(OURS, {}).get("provenance", [])
        return frozenset(name for record in records for name in record.get("regions", {}))

    def untouched(self, viewer: Viewer) -> bool:
        """Return whether all layers are still there and nobody changed them."""
        return all(
            layer in viewer.layers
            and self.prints[name] is not None
            and fingerprint(layer) == self.prints[name]
            for name, layer in self.layers.items()
        )


@dataclass(frozen=True, eq=False)
class Drawing:
    """Data and appearance of a layer that the viewer's function ``add_KIND`` is about to add.

    Attributes in `look` are set whenever the data are, those in `first` only once.
    """

    kind: str
    data: Any
    look: Mapping[str, Any]
    first: Mapping[str, Any]


Drawings = dict[str, Drawing]


def add_result(viewer: Viewer, request: Request, found: Found) -> Result:
    """Add the layers that `request` asks for, and hide those of an earlier run in their place.

    Planes without a result stay empty.
    """
    table, made = cells_table(request, found), _metadata(request, found)
    before = viewer.layers.selection.active
    earlier = _results_of(viewer, request)
    layers = {
        name: _add_layer(viewer, request, drawing, made | {SHOWS: name})
        for name, drawing in drawings(request, found, table).items()
    }
    if "cell" in layers:
        make_correctable(layers["cell"])
        keep_journal(layers["cell"], request.source.layer)
        link_layers(layers["cell"], layers.values())
        outline_selection(viewer)
    for layer in earlier:
        layer.visible = False
    # Ready for corrections, unless the user is busy with another layer.
    busy = before is not None and before not in (request.source.layer, *earlier)
    shown = [layers[item.name] for item in request.display.outputs if item.name in layers]
    top = next(iter(shown), next(reversed(layers.values()), before))
    viewer.layers.selection.active = before if busy else top
    return _result(request, table, layers)


def _results_of(viewer: Viewer, request: Request) -> list[Layer]:
    """Return the layers of earlier runs on the same planes of the same image."""
    own = {"source_id": str(request.source.layer.unique_id)}
    planes = {str(index) for index in request.planes}
    return [
        layer
        for layer in viewer.layers
        if own.items() <= layer.metadata.get(OURS, {}).items()
        and planes & set(layer.metadata[OURS].get("planes", ()))
    ]


def update_result(viewer: Viewer, result: Result, request: Request, found: Found) -> Result:
    """Put new results of the same planes into the layers of an untouched `result`.

    Maps are named by what they show: layers of those that are no more show the new ones.
    """
    table, made = cells_table(request, found), _metadata(request, found)
    active = viewer.layers.selection.active
    wanted = drawings(request, found, table)
    layers = _reuse_layers(viewer, result, wanted)
    for name, drawing in wanted.items():
        own = made | {SHOWS: name}
        layer = layers[name] if name in layers else _add_layer(viewer, request, drawing, own)
        layers[name] = layer
        layer.data = drawing.data
        for attribute, value in drawing.look.items():
            setattr(layer, attribute, value)
        layer.metadata = {OURS: own}
    if "cell" in layers and layers.keys() - result.layers.keys():
        link_layers(layers["cell"], layers.values())
    if active in viewer.layers:
        viewer.layers.selection.active = active
    return _result(request, table, layers)


def _reuse_layers(viewer: Viewer, result: Result, made: Mapping[str, Drawing]) -> dict[str, Layer]:
    """Assign the layers of `result` to what they are to show; remove those that are left."""
    layers = {name: layer for name, layer in result.layers.items() if name in made}
    spare = [layer for name, layer in result.layers.items() if name not in made]
    for name, drawing in made.items():
        maps = name not in layers and drawing.kind == "image"
        if maps and spare and isinstance(spare[0], Image):
            layers[name] = spare.pop(0)
            layers[name].name = drawing.first["name"]
    for layer in spare:
        viewer.layers.remove(layer)
    return layers


def _add_layer(
    viewer: Viewer, request: Request, drawing: Drawing, made: Mapping[str, Any]
) -> Layer:
    """Add a layer in the place of what was segmented."""
    place = placement(request.source, request.planes[0] if len(request.planes) == 1 else None)
    options = {"metadata": {OURS: dict(made)}, **drawing.look, **drawing.first, **place}
    layer: Layer = getattr(viewer, f"add_{drawing.kind}")(drawing.data, **options)
    return layer


def _result(request: Request, table: pd.DataFrame, layers: dict[str, Layer]) -> Result:
    prints = {name: fingerprint(layer) for name, layer in layers.items()}
    return Result(request, table, layers, prints)


def drawings(request: Request, found: Found, table: pd.DataFrame) -> Drawings:
    """Draw the outputs that `request` asks for, by name, in the order of :data:`ORDER`."""
    made: Drawings = {}
    for kind in ORDER:
        for item in reversed(request.display.outputs):
            if item.kind == kind and item.name in request.outputs:
                made |= DRAW[kind](item, request, found, table)
    if "cell" in made:
        made |= _missed(request, found)
    return made


def _missed(request: Request, found: Found) -> Drawings:
    """Draw hollow points where a cell is likely missed; none where no place is."""
    listed = list_places(found, len(request.planes) == 1)
    if not listed:
        return {}
    positions, look, first = draw_places(listed)
    return {MISSED: Drawing("points", positions, look, _named(request, TITLE, first))}


def _maps(item: OptionalLayer, request: Request, found: Found, _: pd.DataFrame) -> Drawings:
    """Draw maps as images, hidden at first since there may be many."""
    first = {"colormap": "magma", "opacity": 0.7, "visible": False}
    made = {}
    for name in dict.fromkeys(name for seg in found.values() for name in seg.maps):
        planes = {index: seg.maps[name] for index, seg in found.items() if name in seg.maps}
        data = stack_planes(request, planes, np.float32)
        made[name] = Drawing("image", data, {}, _named(request, name, first))
    return made


def _labels(item: OptionalLayer, request: Request, found: Found, table: pd.DataFrame) -> Drawings:
    """Draw labels with the table of cells as features; none where no plane has them."""
    if not any(item.name in seg.labels for seg in found.values()):
        return {}
    data = label_stack(request, found, item.name)
    look = {"features": table, "colormap": colormap(table, class_colours(table))}
    return {item.name: Drawing("labels", data, look, _named(request, item.title, {"opacity": 0.5}))}


def _classes(item: OptionalLayer, request: Request, found: Found, table: pd.DataFrame) -> Drawings:
    """Draw labels whose integers are classes, with one row of features a class."""
    planes = {i: seg.labels[item.name] for i, seg in found.items() if item.name in seg.labels}
    if not planes:
        return {}
    rows = class_rows(next(iter(found.values())).provenance["model"]["classes"])
    look = {"features": rows, "colormap": colormap(rows, class_colours(rows))}
    # Cells have the colours of their classes: both at once would hide the picture.
    shown = "cell" not in request.outputs
    first = _named(request, item.title, {"opacity": 0.4, "visible": shown})
    return {item.name: Drawing("labels", stack_planes(request, planes, np.uint32), look, first)}


def _points(item: OptionalLayer, request: Request, found: Found, table: pd.DataFrame) -> Drawings:
    """Draw the centres of the cells, with the table of cells as features."""
    classes = class_colours(table)
    look = {"features": table, "face_color": [classes[name] for name in table["class"]] or "white"}
    diameters = (float(seg.provenance.get("diameter", 0)) for seg in found.values())
    size = (max(diameters, default=0) or 40) / 6  # 40 pixels where it is unknown
    first = _named(request, item.title, {"size": size, "border_color": "white"})
    return {item.name: Drawing("points", positions(request, table), look, first)}


DRAW = {"maps": _maps, "labels": _labels, "classes": _classes, "points": _points}
"""Kind of an addition to what draws it."""


def _named(request: Request, title: str, first: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": f"{request.source.layer.name} {title}", **first}


def positions(request: Request, table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the centres of cells in data coordinates of the layers: ``(N, lead + 2)``."""
    lead = len(request.source.lead)
    rows = np.zeros((len(table), lead + 2))
    if len(table):
        where = "peak" if "peak_y" in table else "centroid"
        rows[:, lead:] = table[[f"{where}_y", f"{where}_x"]]
        if len(request.planes) > 1:
            rows[:, :lead] = table[[f"axis_{axis}" for axis in range(lead)]]
    return rows


def cells_table(
    request: Request, found: Found, numbers: Mapping[Index, Numbers] | None = None
) -> pd.DataFrame:
    """Join the cells of all planes in one table.

    The column ``index`` ties a row to its label in napari; ``axis_0`` and so on hold a plane's
    position. `numbers` are the integers in the layers, by default those of :func:`number_cells`.
    """
    tables, given = [], numbers or number_cells(request, found)
    for index in request.planes:
        if index in found and len(found[index].cells):
            axes = {f"axis_{axis}": at for axis, at in enumerate(index)}
            table = found[index].cells
            tables.append(table.assign(label=table["label"].map(given[index]), **axes))
    cells = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if "label" not in cells:
        cells = pd.DataFrame({"label": np.zeros(0, int), "class": np.zeros(0, object)})
    cells.insert(0, "index", cells["label"])
    return cells


def number_cells(
    request: Request, found: Found, before: Mapping[Index, Numbers] | None = None, highest: int = 0
) -> dict[Index, Numbers]:
    """Assign each label of a plane an integer in the layers that no other label has.

    Integers of `before` stay; new ones begin above `highest`.
    """
    known, following = before or {}, highest + 1
    made: dict[Index, Numbers] = {}
    for index in request.planes:
        if index not in found:
            continue
        own = dict(known.get(index, {}))
        for label in found[index].cells.get("label", ()):
            if int(label) not in own:
                own[int(label)] = following
                following += 1
        made[index] = own
    return made


def renumber(labels: Any, numbers: Numbers) -> npt.NDArray[np.uint32]:
    """Return the label image of a plane with the integers of the layers."""
    plane = np.asarray(labels)
    lookup = np.zeros(max([int(plane.max(initial=0)), *numbers]) + 1, np.uint32)
    lookup[list(numbers)] = list(numbers.values())
    return np.asarray(lookup[plane])


def label_stack(request: Request, found: Found, name: str) -> Any:
    """Stack the label images of a run, ``(..., Y, X)``; no integer is on two planes.

    A single plane without leading axes is passed on as it is: it may be larger than memory.
    """
    if not request.source.lead and found:
        return found[()].labels[name]
    planes = {
        index: renumber(found[index].labels[name], own)
        for index, own in number_cells(request, found).items()
        if name in found[index].labels
    }
    return stack_planes(request, planes, np.uint32)


def stack_planes(request: Request, planes: Mapping[Index, Any], dtype: type) -> Any:
    """Stack planes in one array ``(..., Y, X)``; ``(1, ..., Y, X)`` for a single plane."""
    source = request.source
    if not source.lead and planes:
        return planes[()]
    height, width = source.image(request.planes[0]).shape
    single = len(request.planes) == 1
    lead = (1,) * len(source.lead) if single else source.lead
    out: npt.NDArray[Any] = np.zeros((*lead, height, width), dtype)
    for index, plane in planes.items():
        out[(0,) * len(lead) if single else index] = plane
    return out


def fingerprint(layer: Layer) -> int | None:
    """Hash a layer's pixels or positions and its features, to notice edits.

    None for layers that are too large to be read whole; they count as edited.
    """
    data = layer.data
    if data.size > LARGEST:
        return None
    features = layer.features.to_csv(index=False) if hasattr(layer, "features") else ""
    return zlib.crc32(np.ascontiguousarray(data).data, zlib.crc32(features.encode()))


def _metadata(request: Request, found: Found) -> dict[str, Any]:
    """Return what ties the layers of a run together, and to what they were made from."""
    layer = request.source.layer
    return {
        "run": uuid4().hex,
        "source": layer.name,
        "source_id": str(layer.unique_id),
        "planes": [str(index) for index in request.planes],
        "model": request.model,
        "params": as_dict(request.params),
        "provenance": [dict(segmentation.provenance) for segmentation in found.values()],
        MISSED: list_places(found, len(request.planes) == 1),
    }
