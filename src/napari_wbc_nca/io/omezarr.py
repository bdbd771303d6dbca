"""OME-Zarr images (0.1-0.5) and plain zarr arrays, by what their metadata say."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_wbc_nca.io.pixels import ImageError, micrometres, plane, side

MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")
"""Files that make a folder a zarr group or array."""


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a folder in zarr's format."""
    return path.is_dir() and any((path / mark).exists() for mark in MARKS)


def read(path: Path) -> tuple[Any, float | None]:
    """Read pixels ``(Y, X[, C])`` at full resolution, as a dask array, and the side of one in µm.

    The side is None where it is unknown. An ImageError says when the metadata name no image, a
    level that is missing, or more than one plane.
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
    group = _image_group(found)
    if group is None:
        raise ImageError(
            "it is a zarr group without an image (no multiscales in its metadata); it holds "
            f"{', '.join(sorted(found)) or 'nothing'}: give the image inside it"
        )
    return full_level(group)


def attributes(group: Any) -> dict[str, Any]:
    """Return the metadata of a group, wherever its version keeps them."""
    found = dict(group.attrs)
    inner = found.get("ome", found)
    return dict(inner) if isinstance(inner, Mapping) else found


def _image_group(group: Any) -> Any:
    """Return the group of the image; of several in one file, the first that is listed."""
    import zarr

    if attributes(group).get("multiscales"):
        return group
    if "bioformats2raw.layout" not in attributes(group):
        return None
    listed = attributes(group["OME"]).get("series", []) if "OME" in group else []
    for name in [*listed, *sorted(group.group_keys(), key=lambda name: (len(name), name))]:
        inner = group.get(name)
        if isinstance(inner, zarr.Group) and attributes(inner).get("multiscales"):
            return inner
    return None


def full_level(group: Any) -> tuple[Any, float | None]:
    """Read the largest level that an image or labels list, as :func:`read` does."""
    import dask.array as da

    try:
        image = attributes(group)["multiscales"][0]
        levels = {posixpath.normpath(level["path"]): level for level in image.get("datasets", [])}
        if not levels:
            raise ImageError("its metadata list no resolution (no datasets); export it again")
        if absent := [path for path in levels if path not in group]:
            raise ImageError(f"its full resolution {absent[0]!r} is missing; copy it again")
        path = max(levels, key=lambda path: group[path].size)
        array = da.from_zarr(group[path])
        letters, units = _axes(image, array.ndim)
    except ImageError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ImageError(
            f"its multiscales metadata are not those of OME-Zarr: {error!r}; export it again"
        ) from error
    if len(letters) != array.ndim:
        raise ImageError(
            f"its metadata name {len(letters)} axes and its pixels have {array.ndim}; export it "
            "again"
        )
    channels = attributes(group).get("omero", {}).get("channels", [])
    labels = [str(channel.get("label", "")).strip().lower() for channel in channels]
    pixels = plane(array, letters, rgba=len(labels) == 4 and labels[3] in ("a", "alpha"))
    return pixels, _pixel_size(letters, units, [levels[path], image])


_TYPES = {"channel": "C", "time": "T"}


def _axes(image: Mapping[str, Any], count: int) -> tuple[str, list[str | None]]:
    """Return a letter and the unit of each axis; those of versions 0.1 and 0.2 have no names."""
    axes = [
        axis if isinstance(axis, dict) else {"name": str(axis)}
        for axis in image.get("axes") or "tczyx"[-count:]
    ]
    letters = [_TYPES.get(axis.get("type", ""), axis["name"][:1].upper()) for axis in axes]
    if not {"Y", "X"} <= set(letters):  # named otherwise: the last two in space
        space = [n for n, axis in enumerate(axes) if axis.get("type", "space") == "space"]
        for letter, n in zip("XYZ", reversed(space), strict=False):
            letters[n] = letter
    return "".join(letters), [axis.get("unit") for axis in axes]


def _pixel_size(
    letters: str, units: list[str | None], owners: list[Mapping[str, Any]]
) -> float | None:
    """Multiply the scales of a level and of all levels, for y and x."""
    steps = [step for owner in owners for step in owner.get("coordinateTransformations", [])]
    indices = [letters.index(letter) for letter in "YX"]
    try:
        scales = [step["scale"] for step in steps if step.get("type") == "scale"]
        if any(len(scale) != len(letters) for scale in scales):
            return None
        lengths = [math.prod(float(scale[index]) for scale in scales) for index in indices]
    except (ValueError, TypeError, LookupError, AttributeError):
        return None  # the pixels are there; only their size stays unknown
    return side(*(micrometres(n, units[i]) for n, i in zip(lengths, indices, strict=True)))
