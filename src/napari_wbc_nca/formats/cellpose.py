"""cellpose: ``NAME.tif``, ``NAME_masks.tif`` for training and ``NAME_seg.npy`` for its GUI.

cellpose has no classes: ``NAME_cells.csv`` beside them holds these. It cannot ignore pixels either:
unreviewed ones are grey in the picture.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import AUTO
from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.items import ExportError, Item, item
from napari_wbc_nca.io.images import read_labels
from napari_wbc_nca.io.results import TABLE

MASKS, SEG = "_masks.tif", "_seg.npy"
_ENDS = ("_cp_masks.tif", "_cp_masks.png", MASKS, "_masks.png", SEG)
"""What follows a picture's stem; cellpose's own commands write ``_cp_masks``."""


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write files of each image, in a folder for each split."""
    for one in items:
        place = files.make_folder(folder / one.split)
        if one.pixels is not None:
            colours = files.to_colours(one, hide=True)
            files.write_tiff(place / f"{one.name}.tif", colours, one.pixel_size)
        files.write_tiff(place / f"{one.name}{MASKS}", one.labels, one.pixel_size)
        files.write_cells(place / f"{one.name}{TABLE}", one.cells)
        with (place / f"{one.name}{SEG}").open("wb") as file:
            np.save(file, np.array(_gui(one, classes), dtype=object), allow_pickle=True)


def _gui(one: Item, classes: Sequence[str]) -> dict[str, Any]:
    """Make a file for cellpose's window, whose lists have an entry for each integer."""
    from skimage.segmentation import find_boundaries

    palette = files.class_rgb(classes)
    row = one.cells["label"].to_numpy() - 1
    largest = int(one.labels.max(initial=0))
    by_person, painted = np.zeros(largest, bool), np.full((largest, 3), 255, np.uint8)
    by_person[row] = one.cells["origin"] != AUTO
    if len(row):
        painted[row] = [palette[name] for name in one.cells["class"]]
    area = np.bincount(one.labels.ravel(), minlength=1)[1:]
    diameter = float(np.median(np.sqrt(area[area > 0] * 4 / np.pi))) if area.any() else 30.0
    edges = find_boundaries(np.pad(one.labels, 1), mode="inner")  # the image's edge is one too
    return {
        "filename": f"{one.name}.tif",
        "masks": one.labels,
        "outlines": one.labels * edges[1:-1, 1:-1],
        "colors": painted,
        "ismanual": by_person,
        "chan_choose": [0, 0],
        "flows": [],
        "diameter": diameter,
        "est_diam": diameter,
    }


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read a folder, or one ``_masks.tif`` or ``_seg.npy``."""
    patterns = [f"**/*{end}" for end in (MASKS, "_masks.png", SEG)]
    hint = f"neither {MASKS} nor {SEG} in it; save the masks in cellpose"
    return [_read(file, pixels) for file in files.find_files(path, patterns, hint)]


def _read(path: Path, pixels: Any) -> Item:
    end = next((end for end in _ENDS if path.name.endswith(end)), path.suffix)
    stem = path.name.removesuffix(end)
    labels = _read_masks(path) if end == SEG else read_labels(path)[0]
    cells = files.read_cells(path.with_name(f"{stem}{TABLE}"))
    own, size = files.read_picture(files.find_picture(path.parent, stem))
    one = item(stem, labels, cells, own if pixels is None else pixels, size)
    return replace(one, split=files.split_of(path.parent))


def _read_masks(path: Path) -> npt.NDArray[Any]:
    """Read the masks of a file for cellpose's window, a pickle of which only arrays are read."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            if version != (1, 0):
                raise ValueError(f"its version is {version}")
            return np.asarray(_Arrays(file).load().item()["masks"])
    except (ValueError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise ExportError(
            f"{path} holds no masks that can be read: {error}; save them as {MASKS} in cellpose"
        ) from error


class _Arrays(pickle.Unpickler):
    """Unpickler of arrays, and lists and dicts of them: others could run anything."""

    def find_class(self, module: str, name: str) -> Any:
        known = module == "numpy" or module.rpartition(".")[0] in ("numpy.core", "numpy._core")
        if known and name in ("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which is no array")
