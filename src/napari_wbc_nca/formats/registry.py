"""The formats, by name: data that points at code, loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_wbc_nca.formats.items import ExportError

_HERE = "napari_wbc_nca.formats"


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    title
        Name for people.
    write, read
        ``module:function`` in this package: ``write(items, classes, folder, params)``, and
        ``read(path, pixels=None)`` that returns items.
    needs
        What it cannot do without: ``image`` or nothing.
    ignores
        How it says what nobody reviewed: ``mask``, ``label`` or ``region``; ``grey`` where it has
        no word for it and the picture is grey there; ``left out`` where it holds cells only.
    """

    title: str
    write: str
    read: str
    needs: str = ""
    ignores: str = "grey"


FORMATS: Mapping[str, Format] = {
    "tiff": Format("TIFF pairs", "tiff:write", "tiff:read", ignores="mask"),
    "coco": Format("COCO, run lengths", "coco:write", "coco:read"),
    "coco-polygons": Format("COCO, polygons", "coco:write_polygons", "coco:read"),
    "qupath": Format("QuPath GeoJSON", "qupath:write", "qupath:read", ignores="region"),
    "imagej": Format("ImageJ ROIs", "imagej:write", "imagej:read", ignores="region"),
    "nnunet": Format("nnU-Net v2", "nnunet:write", "nnunet:read", "image", "label"),
    "omezarr": Format("OME-Zarr with labels", "omezarr:write", "omezarr:read", ignores="mask"),
    "cellpose": Format("cellpose", "cellpose:write", "cellpose:read"),
    "yolo": Format("YOLO boxes", "yolo:write_boxes", "yolo:read"),
    "yolo-segments": Format("YOLO outlines", "yolo:write_segments", "yolo:read"),
    "crops": Format("Crops by class", "crops:write", "crops:read", "image", "left out"),
    "centroids": Format("Centroids CSV", "centroids:write", "centroids:read", "image"),
}


def get(name: str) -> Format:
    """Format of that name.

    Raises
    ------
    ExportError
        For an unknown name.
    """
    if name not in FORMATS:
        raise ExportError(f"unknown format {name!r}; known are {', '.join(FORMATS)}")
    return FORMATS[name]


def load(target: str) -> Callable[..., Any]:
    """Function that ``module:function`` names."""
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"{_HERE}.{module}"), function)
    return found


def detect(path: Path) -> str:
    """Name of the format that lies at `path`.

    Raises
    ------
    ExportError
        When it is none of them.
    """
    if not path.exists():
        raise ExportError(f"{path} does not exist; check the path")
    name = path.name.lower()
    for end, found in _ENDS.items():
        if name.endswith(end):
            return found
    for mark, found in _MARKS.items():
        if path.is_dir() and next(path.glob(mark), None) is not None:
            return found
    raise ExportError(
        f"{path} is of none of the known forms; name its format, which may be {', '.join(FORMATS)}"
    )


_ENDS = {
    ".geojson": "qupath",
    ".zip": "imagej",
    ".roi": "imagej",
    "_masks.tif": "cellpose",
    "_seg.npy": "cellpose",
    ".zarr": "omezarr",
    "data.yaml": "yolo",
    "points.csv": "centroids",
    ".json": "coco",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "tiff",
}
"""What the names of files end with."""
_MARKS = {
    "annotations/*.json": "coco",
    "**/dataset.json": "nnunet",
    "data.yaml": "yolo",
    "cells.csv": "crops",
    "**/points.csv": "centroids",
    "**/labels/*.tif": "tiff",
    "**/*_masks.tif": "cellpose",
    "**/*_seg.npy": "cellpose",
    "labels/.zattrs": "omezarr",
    "labels/zarr.json": "omezarr",
    "**/*.ome.zarr": "omezarr",
    "**/*.geojson": "qupath",
    "**/*.zip": "imagej",
}
"""What lies in their folders."""
