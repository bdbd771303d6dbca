"""What is exported of the viewer's layers, and layers of what is imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Shapes

from napari_wbc_nca.formats.files import to_colours
from napari_wbc_nca.formats.geometry import region_mask
from napari_wbc_nca.formats.items import ExportError, Item, cell_measurements, item, keep_reviewed
from napari_wbc_nca.formats.provenance import run_record
from napari_wbc_nca.io._files import array_sha256, file_sha256
from napari_wbc_nca.widgets.class_colours import class_colours, colormap
from napari_wbc_nca.widgets.planes import (
    OURS,
    SHOWS,
    Index,
    Source,
    current_index,
    on_plane,
    pixel_size,
    shows,
    source_of,
    to_plane,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Layer

_ROUND = 72
"""Corners of the polygon that an ellipse becomes."""


def image_of(labels: Labels, layers: Sequence[Layer]) -> Image | None:
    """Image layer that labels belong to.

    The one they were made from; else the topmost of their size, else the only one.
    """
    images = [layer for layer in layers if isinstance(layer, Image) and OURS not in layer.metadata]
    known = labels.metadata.get(OURS, {}).get("source_id")
    for layer in images:
        if known is not None and str(layer.unique_id) == known:
            return layer
    for layer in reversed(images):
        if _plane_shape(source_of(layer)) == tuple(labels.data.shape[-2:]):
            return layer
    return images[0] if len(images) == 1 else None


def _plane_shape(source: Source) -> tuple[int, ...]:
    planes = source.pixels.shape[len(source.lead) :]
    return tuple(planes[:2])


def nuclei_of(labels: Labels, layers: Sequence[Layer]) -> Labels | None:
    """Layer of the nuclei of a layer's cells: the topmost one made from the same image."""
    known = labels.metadata.get(OURS, {}).get("source_id")
    for layer in reversed(layers):
        nuclei = isinstance(layer, Labels) and shows(layer) == "nucleus"
        if nuclei and known is not None and layer.metadata[OURS].get("source_id") == known:
            return layer if layer.data.shape == labels.data.shape else None
    return None


def all_items(
    chosen: Iterable[Labels],
    layers: Sequence[Layer],
    reviewed: Shapes | None,
    image: Image | None = None,
) -> list[Item]:
    """Items of the `chosen` among the viewer's layers, each with its own image and nuclei.

    Parameters
    ----------
    chosen
        Layers of cells.
    layers
        All layers there are.
    reviewed
        As in :func:`items_of`.
    image
        What all were drawn on; None where each has its own.

    Raises
    ------
    ExportError
        As :func:`items_of`.
    """
    return [
        one
        for labels in chosen
        for one in items_of(
            labels, image or image_of(labels, layers), reviewed, nuclei_of(labels, layers)
        )
    ]


def items_of(
    labels: Labels,
    image: Image | None,
    reviewed: Shapes | None,
    nuclei: Labels | None = None,
) -> list[Item]:
    """Items of a layer: one, or one for each plane of a stack that holds cells.

    Parameters
    ----------
    labels
        Layer whose features hold class and origin of the cells.
    image
        Layer of what they were drawn on; None where there is none.
    reviewed
        Layer of regions that were reviewed in full; None where all was.
    nuclei
        Layer of the cells' nuclei; None where there is none.

    Raises
    ------
    ExportError
        When a region or an image does not fit.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    lead = tuple(data.shape[:-2])
    features = pd.DataFrame(labels.features)
    table = features if {"label", "index"} & set(features) else None
    found = []
    for index in np.ndindex(*lead):
        # A copy: the export runs while the layer may be drawn on.
        plane = np.array(data[index])
        if not lead or plane.any():
            one = _item(labels, plane, index, table, image)
            if nuclei is not None:
                one = replace(one, nucleus=np.array(nuclei.data[index]))
            region = None if reviewed is None else regions(labels, lead, index, reviewed, one.shape)
            found.append(one if region is None else keep_reviewed(one, region))
    if not found:
        raise ExportError(f"{labels.name} has no cell on any plane; segment or draw some")
    return found


def _item(
    labels: Labels, plane: Any, index: Index, table: pd.DataFrame | None, image: Image | None
) -> Item:
    run = labels.metadata.get(OURS, {}).get("provenance") or [{}]
    name = "-".join([labels.name, *map(str, index)]) if len(labels.data.shape) > 2 else labels.name
    entry: dict[str, Any] = {
        "title": name,
        "source": None,
        "sha256": None,
        "labels": {"source": labels.source.path, "sha256": array_sha256(plane)},
        **run_record(run[min(len(run) - 1, index[0] if index else 0)]),
    }
    if image is None:
        return item(name, plane, table, record=entry)
    source = source_of(image)
    world = labels.data_to_world((*index, 0.0, 0.0))
    shown = source.image(current_index(source, world) if source.lead else ())
    if shown.source is not None:
        entry |= {"source": shown.source, "sha256": file_sha256(Path(shown.source))}
    else:
        entry |= {"source": None, "sha256": array_sha256(shown.pixels)}
    return item(name, plane, table, shown.pixels, pixel_size(source), entry)


def regions(
    labels: Labels, lead: Index, index: Index, shapes: Shapes, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Pixels of a plane that lie in the shapes of a layer; lines enclose nothing."""
    source = Source(labels, labels.data, lead, None)
    polygons = []
    for vertices, kind in zip(shapes.data, shapes.shape_type, strict=True):
        corners = to_plane(source, shapes, np.asarray(vertices, float))
        if kind in ("line", "path") or not on_plane(corners[:1], index)[0]:
            continue
        ring = corners[:, len(lead) :] + 0.5  # napari counts from the middle of a pixel
        polygons.append([_ellipse(ring) if kind == "ellipse" else ring])
    return region_mask(polygons, shape)


def _ellipse(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Corners on the ellipse that touches the middles of a box's four sides."""
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    across, down = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    found: npt.NDArray[np.float64] = (
        box.mean(axis=0) + np.cos(angle) * across + np.sin(angle) * down
    )
    return found


def show(viewer: Viewer, items: Sequence[Item], image: Image | None) -> list[Layer]:
    """Add imported labels as layers, over `image` where they are of its size.

    Pictures that came with them are added where there is no such image. Nuclei, and pixels that
    nobody reviewed, become layers of their own.
    """
    added: list[Layer] = []
    for one in items:
        fits = image is not None and _plane_shape(source_of(image)) == one.shape
        place = _place(one, image if fits else None)
        shown = image if fits else None
        if not fits and one.pixels is not None:
            shown = viewer.add_image(to_colours(one), name=one.name, **place)
            added.append(shown)
        made = {"source_id": uuid4().hex if shown is None else str(shown.unique_id)}
        table = cell_measurements(one)
        table.insert(0, "index", table["label"])
        look = {"features": table, "colormap": colormap(table, class_colours(table))}
        for kind, title, pixels, options in (
            ("ignore", "not reviewed", one.ignore, {"opacity": 0.3}),
            ("nucleus", "nuclei", one.nucleus, {"opacity": 0.5, **look}),
            ("cell", "cells", one.labels, {"opacity": 0.5, **look}),
        ):
            if pixels is not None:
                data = pixels.astype(np.uint32 if kind != "ignore" else np.uint8)
                own = {"name": f"{one.name} {title}", "metadata": {OURS: {SHOWS: kind, **made}}}
                added.append(viewer.add_labels(data, **own, **options, **place))
    return added


def _place(one: Item, image: Image | None) -> dict[str, Any]:
    if image is not None:
        last = [image.ndim - 2, image.ndim - 1]
        axes = source_of(image).axes[-2:] or last
        return {
            "scale": [image.scale[axis] for axis in axes],
            "translate": [image.translate[axis] for axis in axes],
            "units": [image.units[axis] for axis in axes],
        }
    if one.pixel_size is None:
        return {}
    return {"scale": (one.pixel_size, one.pixel_size), "units": ("um", "um")}
