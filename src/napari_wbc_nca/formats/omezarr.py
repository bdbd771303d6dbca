"""OME-Zarr (OME-NGFF 0.4): image pyramid with labels, classes in their metadata.

``labels/cells`` holds the cells; ``labels/ignore`` is 1 where nobody reviewed. Version 0.4 is what
napari, QuPath and Fiji all read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.items import ExportError, Item, item, table_from_rows
from napari_wbc_nca.io import omezarr
from napari_wbc_nca.io._files import to_json
from napari_wbc_nca.io.images import read as read_image

VERSION = "0.4"
END = ".ome.zarr"
CELLS, IGNORE = "cells", "ignore"
_CHUNK = 512
"""Side of a chunk, and of the smallest level, in pixels."""


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write a group for each image, in a folder for each split."""
    import zarr

    palette = files.class_rgb(classes)
    for one in items:
        path = files.make_folder(folder / one.split) / f"{one.name}{END}"
        root = zarr.create_group(str(path), zarr_format=2)
        if one.pixels is not None:
            alpha = one.pixels.ndim == 3 and one.pixels.shape[-1] == 4  # few read it
            planes = files.to_colours(one) if alpha else np.asarray(one.pixels)
            planes = np.moveaxis(planes, -1, 0) if planes.ndim == 3 else planes
            _pyramid(root, planes, one, average=True)
        shown = {CELLS: one.labels}
        if one.ignore is not None:
            shown[IGNORE] = one.ignore.astype(np.uint8)
        labels = root.create_group("labels")
        labels.attrs["labels"] = list(shown)
        for name, plane in shown.items():
            group = labels.create_group(name)
            _pyramid(group, plane, one, average=False)
            details = _details(one, palette) if name == CELLS else {}
            source = {"source": {"image": "../../"}} if one.pixels is not None else {}
            group.attrs["image-label"] = {"version": VERSION, **source, **details}


def _details(one: Item, palette: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    rows = one.rows()
    return {
        "colors": [
            {"label-value": cell.label, "rgba": [*palette[cell.kind], 255]} for cell in rows
        ],
        "properties": [
            {**to_json(others), "label-value": label, "class": kind, "origin": origin}
            for label, kind, origin, others in rows
        ],
    }


def _pyramid(group: Any, planes: npt.NDArray[Any], one: Item, *, average: bool) -> None:
    """Write levels, each half as large as the one before."""
    lead = planes.ndim - 2
    unit = {} if one.pixel_size is None else {"unit": "micrometer"}
    channel = [{"name": "c", "type": "channel"}] * lead
    axes = [*channel, *({"name": name, "type": "space", **unit} for name in "yx")]
    size = one.pixel_size or 1.0
    datasets: list[dict[str, Any]] = []
    while True:
        level = len(datasets)
        chunks = (*planes.shape[:lead], *(min(_CHUNK, side) for side in planes.shape[lead:]))
        array = group.create_array(
            str(level),
            shape=planes.shape,
            dtype=planes.dtype,
            chunks=chunks,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array[...] = planes
        scale = [1.0] * lead + [size * 2**level] * 2
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
        if max(planes.shape[lead:]) <= _CHUNK:
            break
        planes = _halve(planes, average=average)
    group.attrs["multiscales"] = [
        {"version": VERSION, "name": one.name, "axes": axes, "datasets": datasets}
    ]


def _halve(planes: npt.NDArray[Any], *, average: bool) -> npt.NDArray[Any]:
    """Take every other pixel, or average each four."""
    if not average or min(planes.shape[-2:]) < 2:
        return planes[..., ::2, ::2]
    *lead, height, width = planes.shape
    even = planes[..., : height // 2 * 2, : width // 2 * 2].astype(np.float32)
    mean: npt.NDArray[Any] = even.reshape(*lead, height // 2, 2, width // 2, 2).mean(axis=(-3, -1))
    return (np.round(mean) if planes.dtype.kind in "ui" else mean).astype(planes.dtype)


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read a folder of groups, or one group with labels."""
    if (path / "labels").is_dir():
        return [_read(path, pixels)]
    hint = f"no {END} group with labels in it"
    return [_read(group, pixels) for group in files.find_files(path, [f"**/*{END}"], hint)]


def _read(path: Path, pixels: Any) -> Item:
    import zarr

    try:
        labels: Any = zarr.open_group(str(path / "labels"), mode="r")
        names = omezarr.attributes(labels).get("labels", [])
    except (ValueError, KeyError, OSError) as error:
        raise ExportError(f"{path} has no labels that can be read: {error}") from error
    chosen = CELLS if CELLS in names else next((n for n in names if n != IGNORE), None)
    if chosen is None:
        raise ExportError(f"{path}: its group labels lists no label image")
    properties = omezarr.attributes(labels[chosen]).get("image-label", {}).get("properties", [])
    rows = [{**row, "label": row["label-value"]} for row in properties if "label-value" in row]
    cells = table_from_rows(rows).drop(columns="label-value", errors="ignore")
    size = None
    if "multiscales" in omezarr.attributes(zarr.open_group(str(path), mode="r")):
        image = read_image(path)
        size = image.pixel_size
        pixels = np.asarray(image.pixels) if pixels is None else pixels
    plane = np.asarray(omezarr.full_level(labels[chosen])[0])
    one = item(path.name.removesuffix(END), plane, cells, pixels, size)
    mask = np.asarray(omezarr.full_level(labels[IGNORE])[0]) > 0 if IGNORE in names else None
    return replace(one, split=files.split_of(path.parent), ignore=mask)
