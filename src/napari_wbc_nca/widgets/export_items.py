"""Convert layers to items of an export, and items of an import to layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Points, Shapes

from napari_wbc_nca.formats.files import to_colours
from napari_wbc_nca.formats.geometry import region_mask
from napari_wbc_nca.formats.items import ExportError, Item, cell_measurements, item, keep_reviewed
from napari_wbc_nca.formats.provenance import run_record
from napari_wbc_nca.io._files import array_sha256, file_sha256
from napari_wbc_nca.ops.labels import COLUMNS
from napari_wbc_nca.widgets.canvas_lines import outline_selection
from napari_wbc_nca.widgets.class_colours import class_colours, colormap
from napari_wbc_nca.widgets.correction_keys import make_correctable
from napari_wbc_nca.widgets.linked_layers import link_layers
from napari_wbc_nca.widgets.planes import (
    OURS,
    SHOWS,
    Grid,
    ImagePlanes,
    Index,
    content_of,
    current_index,
    grid_of,
    inside,
    on_plane,
    pixel_size,
    placement,
    source_of,
    to_plane,
)
from napari_wbc_nca.widgets.review.layer_journal import keep_journal

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Layer

_ROUND = 72
"""Corners of the polygon that an ellipse becomes."""


def image_of(labels: Labels | Points, layers: Sequence[Layer]) -> Image | None:
    """Find the image layer that labels or points belong to; None where there is none.

    That which they were made from, by the layer, file or name that their metadata hold; for those
    that say nothing the image on whose pixels they lie, else the only one. Where several are
    equally likely, an ExportError says so.
    """
    images = [layer for layer in layers if isinstance(layer, Image) and OURS not in layer.metadata]
    made = labels.metadata.get(OURS, {})
    for layer in images:
        if str(layer.unique_id) == made.get("source_id"):
            return layer
    paths = {_image_path(run) for run in made.get("provenance", ())} | {made.get("image_path")}
    for layer in images:
        if layer.source.path is not None and str(Path(layer.source.path).resolve()) in paths:
            return layer
    likely = [layer for layer in images if _lies_on(labels, layer)]
    if "source" in made:
        return next((layer for layer in likely if layer.name == made["source"]), None)
    likely = likely or images
    likely = [layer for layer in likely if layer.visible] or likely
    if len(likely) > 1:
        raise ExportError(
            f"{labels.name} may have been drawn on any of {', '.join(x.name for x in likely)}; "
            f"hide all images but the right one"
        )
    return likely[0] if likely else None


def likely_image(labels: Labels, layers: Sequence[Layer]) -> Image | None:
    """Find the image layer of labels as :func:`image_of`; None where several are as likely."""
    try:
        return image_of(labels, layers)
    except ExportError:
        return None


def _image_path(record: Mapping[str, Any]) -> str | None:
    """Return the file of the image that the record of a run names."""
    made = record.get("input")
    path = made.get("source") if isinstance(made, dict) else None
    return str(Path(path).resolve()) if isinstance(path, str) else None


def _lies_on(labels: Labels | Points, image: Image) -> bool:
    """Return whether each point, or each pixel of a plane of labels, is on one of the image."""
    source = source_of(image)
    if isinstance(labels, Points):
        return bool(inside(source, to_plane(source, labels, np.asarray(labels.data, float))).all())
    return grid_of(source, (0,) * len(source.lead), labels).fits(labels.data.shape[-2:])


def nuclei_of(labels: Labels, layers: Sequence[Layer]) -> Labels | None:
    """Find the nuclei of a layer's cells: of the same run, else the topmost of the same image."""
    nuclei = [x for x in layers if isinstance(x, Labels) and content_of(x) == "nucleus"]
    for key in ("run", "source_id"):
        known = labels.metadata.get(OURS, {}).get(key)
        for layer in reversed(nuclei):
            if known is not None and layer.metadata[OURS].get(key) == known:
                return layer if layer.data.shape == labels.data.shape else None
    return None


def all_items(
    chosen: Iterable[Labels],
    layers: Sequence[Layer],
    reviewed: Shapes | None,
    image: Image | None = None,
) -> list[Item]:
    """Convert `chosen` layers by :func:`items_of`, each with its image and nuclei in `layers`."""
    return [
        one
        for labels in chosen
        for one in items_of(
            labels, image or image_of(labels, layers), reviewed, nuclei_of(labels, layers)
        )
    ]


def items_of(
    labels: Labels, image: Image | None, reviewed: Shapes | None, nuclei: Labels | None = None
) -> list[Item]:
    """Convert a layer to items: one, or one for each plane of a stack that holds cells.

    `image` is what the labels were drawn on; `reviewed` are regions that were reviewed in full,
    None where all was. A region or an image that does not fit raises an ExportError.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    lead = tuple(data.shape[:-2])
    source = None if image is None else source_of(image)
    found = []
    for index in np.ndindex(*lead):
        # A copy: the export runs while the layer may be drawn on.
        plane = np.array(data[index])
        if lead and not plane.any():
            continue
        at: Index = ()
        if source is not None and source.lead:
            at = current_index(source, labels.data_to_world((*index, 0.0, 0.0)))
        grid = None if source is None else grid_of(source, at, labels)
        if grid is not None and grid.fits(plane.shape):
            grid = None  # nothing to do
        one = _item(labels, plane, index, source, at, grid)
        if nuclei is not None:
            inner = np.array(nuclei.data[index])
            one = replace(one, nucleus=inner if grid is None else grid.resample(inner))
        if reviewed is not None:
            region = regions(labels, lead, index, reviewed, plane.shape)
            one = keep_reviewed(one, region if grid is None else grid.resample(region))
        found.append(one)
    if not found:
        raise ExportError(f"{labels.name} has no cell on any plane; segment or draw some")
    return found


def _item(
    labels: Labels,
    plane: Any,
    index: Index,
    source: ImagePlanes | None,
    at: Index,
    grid: Grid | None,
) -> Item:
    """Return a plane of labels with the image that it lies on, resampled where `grid` is given."""
    run = labels.metadata.get(OURS, {}).get("provenance") or [{}]
    name = "-".join([labels.name, *map(str, index)]) if len(labels.data.shape) > 2 else labels.name
    table = pd.DataFrame(labels.features) if {"label", "index"} & set(labels.features) else None
    entry: dict[str, Any] = {"title": name, "source": None, "sha256": None}
    entry["labels"] = {"source": labels.source.path, "sha256": array_sha256(plane)}
    entry |= run_record(run[min(len(run) - 1, index[0] if index else 0)])
    if source is None:
        return item(name, plane, table, record=entry)
    if grid is not None:
        plane = _resampled(plane, grid, labels.name, source.layer.name)
        entry["labels"] |= {"resampled_to": list(grid.shape)}
        table = None if table is None else table.drop(columns=COLUMNS, errors="ignore")
    shown = source.image(at)
    if shown.source is not None:
        entry |= {"source": shown.source, "sha256": file_sha256(Path(shown.source))}
    else:
        entry["sha256"] = array_sha256(shown.pixels)
    return item(name, plane, table, shown.pixels, pixel_size(source), entry)


def _resampled(plane: npt.NDArray[Any], grid: Grid, labels: str, image: str) -> npt.NDArray[Any]:
    """Return labels on the pixels of an image, all of whose cells must lie there."""
    out = grid.resample(plane)
    lost = np.setdiff1d(plane, out)
    lost = lost[lost > 0]
    if lost.size:
        raise ExportError(
            f"{labels} lies on other pixels than {image}, and {lost.size} of its cells (such as "
            f"{lost[0]}) have no pixel there; give both layers the same scale and place, or choose "
            f"the image that the cells were drawn on"
        )
    return out


def regions(
    labels: Labels, lead: Index, index: Index, shapes: Shapes, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return the pixels of a plane that lie in the shapes of a layer; lines enclose nothing."""
    source = ImagePlanes(labels, labels.data, lead, None)
    polygons = []
    for vertices, kind in zip(shapes.data, shapes.shape_type, strict=True):
        corners = to_plane(source, shapes, np.asarray(vertices, float))
        if kind in ("line", "path") or not on_plane(corners[:1], index)[0]:
            continue
        ring = corners[:, len(lead) :] + 0.5  # napari counts from the middle of a pixel
        polygons.append([_ellipse(ring) if kind == "ellipse" else ring])
    return region_mask(polygons, shape)


def _ellipse(box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return corners on the ellipse that touches the middles of a box's four sides."""
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    across, down = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    return np.asarray(box.mean(axis=0) + np.cos(angle) * across + np.sin(angle) * down)


def add_items(viewer: Viewer, items: Sequence[Item], image: Image | None) -> list[Layer]:
    """Add imported labels as layers, over `image` or, where it is another, their own picture.

    Nuclei, and pixels that nobody reviewed, become layers of their own.
    """
    added: list[Layer] = []
    for one in items:
        shown = image if image is not None and _shows(image, one) else None
        place = _place(one, shown)
        if shown is None and one.pixels is not None:
            shown = viewer.add_image(to_colours(one), name=one.name, **place)
            added.append(shown)
        made = {"source_id": uuid4().hex if shown is None else str(shown.unique_id)}
        labels = []
        table = cell_measurements(one).drop(columns="index", errors="ignore")
        table.insert(0, "index", table["label"])
        look = {"features": table, "colormap": colormap(table, class_colours(table))}
        for kind, title, pixels, options in (
            ("ignore", "not reviewed", one.ignore, {"opacity": 0.3}),
            ("nucleus", "nuclei", one.nucleus, {"opacity": 0.5, **look}),
            ("cell", "cells", one.labels, look),
        ):
            if pixels is not None:
                data = pixels.astype(np.uint32 if kind != "ignore" else np.uint8)
                own = {"name": f"{one.name} {title}", "metadata": {OURS: {SHOWS: kind, **made}}}
                labels.append(viewer.add_labels(data, **own, **options, **place))
        make_correctable(labels[-1])
        keep_journal(labels[-1], shown)
        link_layers(labels[-1], labels[:-1])
        outline_selection(viewer)
        added += labels
    return added


def _shows(image: Image, one: Item) -> bool:
    """Return whether an image layer is the picture of an item, or may be."""
    source = source_of(image)
    if source.shape != one.shape:
        return False
    if one.pixels is None or source.lead:
        return True
    return np.array_equal(to_colours(one), to_colours(replace(one, pixels=source.image(()).pixels)))


def _place(one: Item, image: Image | None) -> dict[str, Any]:
    if image is not None:
        return placement(source_of(image), None, flat=True)
    if one.pixel_size is None:
        return {}
    return {"scale": (one.pixel_size, one.pixel_size), "units": ("um", "um")}
