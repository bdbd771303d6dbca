"""Layers made from the segmentations of a run, in the place of what they were computed from."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.params import as_dict
from napari_wbc_nca.types import Segmentation
from napari_wbc_nca.widgets._colours import class_colours, colormap
from napari_wbc_nca.widgets._planes import OURS, Index, placement

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Layer

    from napari_wbc_nca.widgets._run import Request

TITLES = {"nucleus": "nuclei", "cell": "cells"}
"""Names of labels layers; the last added is on top."""
LARGEST = 2**28
"""Pixels above which labels are not compared with what they were."""
Found = Mapping[Index, Segmentation]


@dataclass(frozen=True, eq=False)
class Result:
    """The layers of one run.

    Attributes
    ----------
    request
        What was asked for.
    table
        All cells of the run.
    layers
        Name of the result to its layer.
    prints
        Name of the result to the :func:`fingerprint` it had when it was made.
    """

    request: Request
    table: pd.DataFrame
    layers: dict[str, Layer]
    prints: dict[str, int | None]

    def untouched(self, viewer: Viewer) -> bool:
        """Whether all layers are still there and nobody changed them."""
        return all(
            layer in viewer.layers
            and self.prints[name] is not None
            and fingerprint(layer) == self.prints[name]
            for name, layer in self.layers.items()
        )


def show(viewer: Viewer, request: Request, found: Found) -> Result:
    """Add the layers that `request` wants; layers that are there stay as they are.

    Parameters
    ----------
    viewer
        Viewer that gets the layers.
    request
        What was asked for.
    found
        Results by plane; planes without one stay empty.
    """
    table = cells_table(request, found)
    before = viewer.layers.selection.active
    place = placement(request.source, request.planes[0] if len(request.planes) == 1 else None)
    common = place | {"metadata": _metadata(request, found)}
    layers = _add_maps(viewer, request, found, common)
    for name in TITLES:
        if name in request.wanted:
            layers[name] = viewer.add_labels(
                label_stack(request, found, name),
                name=f"{request.source.layer.name} {TITLES[name]}",
                opacity=0.5,
                **common,
            )
            _dress(layers[name], table)
    # Ready for corrections, unless the user is busy with another layer.
    busy = before is not None and before != request.source.layer
    viewer.layers.selection.active = before if busy else next(reversed(layers.values()))
    return Result(request, table, layers, {n: fingerprint(la) for n, la in layers.items()})


def _add_maps(
    viewer: Viewer, request: Request, found: Found, common: Mapping[str, Any]
) -> dict[str, Layer]:
    """Add maps as images that are not shown at first; there may be many."""
    return {
        name: viewer.add_image(
            map_stack(request, found, name),
            name=f"{request.source.layer.name} {name}",
            colormap="magma",
            opacity=0.7,
            visible=False,
            **common,
        )
        for name in map_names(request, found)
    }


def refresh(result: Result, request: Request, found: Found) -> Result:
    """Put new results of the same planes into the layers of an untouched `result`."""
    table = cells_table(request, found)
    for name, layer in result.layers.items():
        if name in TITLES:
            layer.data = label_stack(request, found, name)
            _dress(layer, table)
        else:
            layer.data = map_stack(request, found, name)
        layer.metadata = _metadata(request, found)
    prints = {name: fingerprint(layer) for name, layer in result.layers.items()}
    return Result(request, table, result.layers, prints)


def cells_table(request: Request, found: Found) -> pd.DataFrame:
    """Cells of all planes in one table, numbered as in :func:`label_stack`.

    The column ``index`` ties a row to its label in napari; ``axis_0`` and so on hold a plane's
    position.
    """
    tables, offset = [], 0
    for index in request.planes:
        if index in found:
            table = found[index].cells.copy()
            table["label"] += offset
            offset += len(table)
            for axis, at in enumerate(index):
                table[f"axis_{axis}"] = at
            tables.append(table)
    cells = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if "label" not in cells:
        cells = pd.DataFrame({"label": np.zeros(0, int), "class": np.zeros(0, object)})
    cells.insert(0, "index", cells["label"])
    return cells


def label_stack(request: Request, found: Found, name: str) -> Any:
    """Label image ``(..., Y, X)`` of a run; no integer stands on two planes.

    A single plane without leading axes is passed on as it is: it may be larger than memory.
    """
    if not request.source.lead and found:
        return found[()].labels[name]
    numbered, offset = {}, 0
    for index in request.planes:
        if index in found:
            labels = np.asarray(found[index].labels[name])
            numbered[index] = np.where(labels > 0, labels + np.uint32(offset), 0)
            offset += len(found[index].cells)
    return stacked(request, numbered, np.uint32)


def map_stack(request: Request, found: Found, name: str) -> Any:
    """Map ``(..., Y, X)`` of a run; 0 on planes that do not have it."""
    maps = {index: seg.maps[name] for index, seg in found.items() if name in seg.maps}
    return stacked(request, maps, np.float32)


def stacked(request: Request, planes: Mapping[Index, Any], dtype: type) -> Any:
    """Planes in one array ``(..., Y, X)``; ``(1, ..., Y, X)`` where one plane was asked for."""
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


def map_names(request: Request, found: Found) -> Iterable[str]:
    """Names of the maps that become layers, each once."""
    if "maps" not in request.wanted:
        return ()
    return dict.fromkeys(name for seg in found.values() for name in seg.maps)


def fingerprint(layer: Layer) -> int | None:
    """Number that changes with every edit of a layer's pixels or features.

    None for layers that are too large to be read whole; they count as edited.
    """
    data = layer.data
    if data.size > LARGEST:
        return None
    features = layer.features.to_csv(index=False) if hasattr(layer, "features") else ""
    return zlib.crc32(np.ascontiguousarray(data).data, zlib.crc32(features.encode()))


def _dress(layer: Layer, table: pd.DataFrame) -> None:
    layer.features = table
    layer.colormap = colormap(table, class_colours(table))


def _metadata(request: Request, found: Found) -> dict[str, Any]:
    layer = request.source.layer
    return {
        OURS: {
            "source": layer.name,
            "source_id": str(layer.unique_id),
            "model": request.model,
            "params": as_dict(request.params),
            "provenance": [dict(segmentation.provenance) for segmentation in found.values()],
        }
    }
