"""Pairs of images and label images as TIFF.

``images/NAME.tif`` holds the pixels as they are, ``labels/NAME.tif`` a cell's label at each of its
pixels, ``labels/NAME_cells.csv`` its class. ``nuclei/NAME.tif`` has the same labels in the nuclei
where these are known, ``ignore/NAME.tif`` is 255 where nobody reviewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.formats.files import (
    CELLS,
    beside,
    made,
    read_cells,
    read_picture,
    write_cells,
    write_tiff,
)
from napari_wbc_nca.formats.items import ExportError, Item, item, nuclei

if TYPE_CHECKING:
    from napari_wbc_nca.formats.params import ExportParams


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write pairs, in a folder for each split."""
    for one in items:
        place, name = folder / one.split, f"{one.name}.tif"
        labels = made(place / "labels")
        write_tiff(labels / name, one.labels, one.pixel_size)
        write_cells(labels / f"{one.name}{CELLS}", one.cells)
        if one.pixels is not None:
            write_tiff(made(place / "images") / name, np.asarray(one.pixels), one.pixel_size)
        if (inner := nuclei(one)) is not None:
            write_tiff(made(place / "nuclei") / name, inner, one.pixel_size)
        if one.ignore is not None:
            mask = one.ignore.astype(np.uint8) * np.uint8(255)
            write_tiff(made(place / "ignore") / name, mask, one.pixel_size)


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items of a folder of pairs, or of one label image."""
    files = [path] if path.is_file() else sorted(path.rglob("labels/*.tif"))
    if not files:
        raise ExportError(f"{path}: no label image; expected labels/NAME.tif in it")
    return [_read(file, pixels) for file in files]


def _read(path: Path, pixels: Any) -> Item:
    labels, size = read_picture(path)
    place, split = path.parent.parent, path.parent.parent.name
    paired = path.parent.name == "labels"
    if pixels is None and paired:
        pixels, _ = read_picture(beside(place / "images", path.stem))
    cells = read_cells(path.with_name(f"{path.stem.removesuffix('_labels')}{CELLS}"))
    one = item(path.stem, labels, cells, pixels, size)
    inner, mask = (
        read_picture(beside(place / kind, path.stem) if paired else None)[0]
        for kind in ("nuclei", "ignore")
    )
    return replace(
        one,
        nucleus=None if inner is None else np.asarray(inner),
        ignore=None if mask is None else np.asarray(mask) > 0,
        split=split if split in ("train", "val", "test") else "",
    )
