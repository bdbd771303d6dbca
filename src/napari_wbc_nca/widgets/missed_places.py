"""Places where a cell of a result is likely missed, as hollow points and as rows for a review.

A place has a number below 0, where cells have labels above. What a reviewer decides about it is
kept beside the table of the cells, so that one history and one journal hold both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import AUTO
from napari_wbc_nca.ops.doubt import missed_doubt
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.planes import OURS

if TYPE_CHECKING:
    from napari.layers import Labels, Points

    from napari_wbc_nca.types import Segmentation
    from napari_wbc_nca.widgets.planes import Index

MISSED = "likely_missed"
"""Key of the places in a record and in the metadata of cells, and what their points show."""
DISMISSED = "dismissed"
"""Status of a place where a reviewer saw no cell."""
TITLE = "likely missed"
COLOUR = "#f0a000"

_COLUMNS = ("y", "x", "score", "reason", "diameter")
_UNKNOWN = 40.0  # diameter in pixels where none is known


def list_places(found: Mapping[Index, Segmentation], single: bool) -> list[dict[str, Any]]:
    """List the places of a run for the metadata of its layers.

    Each has its position in data coordinates, ``score``, ``reason`` and the ``diameter`` of a cell
    in pixels. A `single` plane of a stack stands alone in its layers, at position 0.
    """
    places = []
    for index, segmentation in found.items():
        record = segmentation.provenance
        diameter = float(record.get("diameter", 0) or _UNKNOWN)
        lead = (0,) * len(index) if single else index
        places += [
            {"plane": list(lead), "diameter": diameter, **place} for place in record.get(MISSED, ())
        ]
    return places


def places_of(layer: Labels) -> pd.DataFrame:
    """Return the open places of a layer of cells: no cell lies there, and nobody decided.

    One row a place by its number, with ``y``, ``x``, ``score``, ``reason``, ``diameter``, its box
    and plane as those of cells, ``doubt``, ``status`` and ``type``.
    """
    listed: Sequence[Mapping[str, Any]] = layer.metadata.get(OURS, {}).get(MISSED, ())
    decided = follow(layer).places
    rows = {
        -number: _row(place)
        for number, place in enumerate(listed, start=1)
        if -number not in decided and not _covered(layer, place)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(_row(_NOWHERE)))


def draw_places(listed: Sequence[Mapping[str, Any]]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return positions ``(N, lead + 2)``, attributes that follow them, and others of their points.

    The points are hollow and as large as a cell.
    """
    positions = np.array([[*place["plane"], place["y"], place["x"]] for place in listed])
    numbers = -np.arange(1, len(listed) + 1)
    table = pd.DataFrame({name: [place[name] for place in listed] for name in ("score", "reason")})
    look = {
        "features": table.assign(number=numbers),
        "size": np.array([place["diameter"] for place in listed]),
    }
    first = {"face_color": "transparent", "border_color": COLOUR, "border_width": 0.06}
    return positions, look, first


def update_places(cells: Labels, points: Points) -> None:
    """Show the points of open places only."""
    if "number" not in points.features or not len(points.features):
        return
    shown = points.features["number"].isin(places_of(cells).index).to_numpy()
    if not np.array_equal(points.shown, shown):
        points.shown = shown


def _covered(layer: Labels, place: Mapping[str, Any]) -> bool:
    """Whether a cell lies at a place."""
    y, x = (
        min(max(round(float(place[axis])), 0), size - 1)
        for axis, size in zip("yx", layer.data.shape[-2:], strict=True)
    )
    return bool(np.asarray(layer.data[(*place["plane"], y, x)]))


def _row(place: Mapping[str, Any]) -> dict[str, Any]:
    y, x, half = float(place["y"]), float(place["x"]), float(place["diameter"]) / 2
    return {
        **{name: place[name] for name in _COLUMNS},
        **{f"axis_{axis}": at for axis, at in enumerate(place["plane"])},
        **{"box_y0": round(y - half), "box_x0": round(x - half)},
        **{"box_y1": round(y + half), "box_x1": round(x + half)},
        "doubt": missed_doubt(float(place["score"]), str(place["reason"])),
        "status": AUTO,
        "type": TITLE,
    }


_NOWHERE = {"y": 0, "x": 0, "score": 0, "reason": "", "diameter": 0, "plane": ()}
