"""The formats, by name: data that points at code, loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from napari_wbc_nca.formats.files import read_json
from napari_wbc_nca.formats.items import ExportError


@dataclass(frozen=True)
class Format:
    """File format of another program.

    Attributes
    ----------
    title
        Name for people.
    write, read
        ``module:function`` in this package: ``write(items, classes, folder)``, and
        ``read(path, pixels=None)`` that returns items.
    needs
        ``image`` where it needs the picture, else empty.
    ignores
        How it marks unreviewed pixels: ``mask``, ``label`` or ``region``; ``grey`` where it has
        no way to mark them and the picture is grey there; ``left out`` where it holds cells only.
    options
        Parameters of an export that `write` takes as well.
    """

    title: str
    write: str
    read: str
    needs: str = ""
    ignores: str = "grey"
    options: tuple[str, ...] = ()


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
    "crops": Format(
        "Crops by class",
        "centroids:write_crops",
        "centroids:read_crops",
        "image",
        "left out",
        ("crop",),
    ),
    "centroids": Format("Centroids CSV", "centroids:write", "centroids:read", "image"),
}


ALL = "all"
"""Stands for every format."""


def get(name: str) -> Format:
    """Look up a format by its name, with an :class:`ExportError` for an unknown one."""
    if name not in FORMATS:
        raise ExportError(f"unknown format {name!r}; known are {', '.join(FORMATS)}")
    return FORMATS[name]


def load(target: str) -> Callable[..., Any]:
    """Import the function that ``module:function`` names."""
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"napari_wbc_nca.formats.{module}"), function)
    return found


def detect(path: Path) -> str:
    """Recognise the format of a file or folder by its name, or by its content where that decides.

    ExportError where it is none of them.
    """
    if not path.exists():
        raise ExportError(f"{path} does not exist; check the path")
    name = path.name.lower()
    found = next((form for form, ends in _ENDS.items() if name.endswith(ends)), "")
    if path.is_file() and name.endswith((".tif", ".tiff")) and _has_overlay(path):
        return "imagej"
    if path.is_file() and name.endswith((".json", ".gz", ".zip")):
        found = _detect_content(path, found)
    if not found and path.is_dir():
        marked = (form for form, *marks in _MARKS for mark in marks if any(path.glob(mark)))
        found = next(marked, "")
        kinds = (_detect_content(file, "") for file in sorted(path.glob("*.json")))
        found = found or next(filter(None, kinds), "")
    if found:
        return found
    raise ExportError(
        f"{path} is of none of the known forms; name its format, which may be {', '.join(FORMATS)}"
    )


def _has_overlay(path: Path) -> bool:
    """Check whether ImageJ stored ROIs in a TIFF."""
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            return bool({"Overlays", "ROI"} & set(file.imagej_metadata or {}))
    except (TiffFileError, OSError, ValueError):
        return False  # its reader says what is wrong


def _detect_content(path: Path, default: str) -> str:
    """Distinguish GeoJSON, COCO and ROIs, which come with the same suffixes."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()]
        return "qupath" if any(name.endswith((".geojson", ".json")) for name in names) else default
    if path.suffix.lower() == ".zip":
        return default
    content = read_json(path)
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return ""
    if {"features", "geometry"} & set(first) or first.get("type") == "FeatureCollection":
        return "qupath"
    return "coco" if {"images", "annotations"} & set(first) else ""


_ENDS = {
    "qupath": (".geojson",),
    "imagej": (".zip", ".roi"),
    "cellpose": ("_masks.tif", "_masks.png", "_seg.npy"),
    "omezarr": (".zarr",),
    "yolo": (".yaml", ".yml", ".txt"),
    "centroids": ("points.csv",),
    "coco": (".json",),
    "tiff": (".tif", ".tiff", ".png"),
}
"""What the name of a file of a format ends with; the first that matches."""
_MARKS = (
    ("coco", "annotations/*.json", "**/*.coco.json"),
    ("nnunet", "**/dataset.json"),
    ("yolo", "data.yaml"),
    ("crops", "cells.csv"),
    ("centroids", "**/points.csv"),
    ("tiff", "**/labels/*.tif", "**/labels/*.png"),
    ("yolo", "**/labels/*.txt", "**/labels/*/*.txt", "classes.txt", "obj.names"),
    ("cellpose", "**/*_masks.tif", "**/*_masks.png", "**/*_seg.npy"),
    ("omezarr", "labels/.zattrs", "labels/zarr.json", "**/*.ome.zarr"),
    ("qupath", "**/*.geojson"),
    ("imagej", "**/*.zip", "**/*.roi"),
)
"""Format and the files in its folders; the first that matches."""
