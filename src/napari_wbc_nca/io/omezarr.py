"""OME-Zarr images and plain zarr arrays, read when they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_wbc_nca.io.pixels import ImageError, plane, side

MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""Files that make a folder a zarr group or array."""


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder in zarr's format."""
    return path.is_dir() and any((path / mark).exists() for mark in MARKS)


def read(path: Path) -> tuple[Any, float | None]:
    """Full-resolution pixels ``(Y, X[, C])`` as a dask array, and the side of a pixel in µm.

    Raises
    ------
    ImageError
        When the metadata name no image, or more than one plane.
    """
    import dask.array as da
    import zarr

    try:
        found = zarr.open(str(path), mode="r")
    except (ValueError, KeyError, OSError) as error:
        raise ImageError(
            f"its zarr metadata cannot be read: {error}; it is damaged: copy or export it again"
        ) from error
    if isinstance(found, zarr.Array):
        return da.from_zarr(found), None
    group: Any = found["0"] if "bioformats2raw.layout" in _attributes(found) else found
    scales = _attributes(group).get("multiscales")
    if not scales:
        raise ImageError(
            "it is a zarr group without an image (no multiscales in its metadata); it holds "
            f"{', '.join(sorted(found)) or 'nothing'}: give the image inside it"
        )
    level = scales[0]["datasets"][0]
    if level["path"] not in group:
        raise ImageError(f"its full resolution {level['path']!r} is missing; copy it again")
    array = da.from_zarr(group[level["path"]])
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in _axes(scales[0], array)]
    letters = "".join(axis["name"][0].upper() for axis in axes)
    return plane(array, letters), _pixel_size(axes, [level, scales[0]])


def _attributes(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    inner: dict[str, Any] = attributes.get("ome", attributes)
    return inner


def _axes(scales: dict[str, Any], array: Any) -> list[Any]:
    """Axes of the image; version 0.1 and 0.2 have five that are not named."""
    return list(scales.get("axes", "tczyx"[-array.ndim :]))


def _pixel_size(axes: list[dict[str, str]], owners: list[dict[str, Any]]) -> float | None:
    """Product of the scales of a level and of all levels, for y and x."""
    sides = {"y": 1.0, "x": 1.0}
    units = {axis["name"]: axis.get("unit") for axis in axes}
    transforms = [step for owner in owners for step in owner.get("coordinateTransformations", [])]
    for step in transforms:
        if step.get("type") == "scale":
            for axis, scale in zip(axes, step["scale"], strict=False):
                if axis["name"] in sides:
                    sides[axis["name"]] *= float(scale)
    return side(sides["y"], sides["x"], units.get("x"))
