"""nnU-Net v2: a raw data set of pictures and class maps.

nnU-Net learns classes of pixels, so that cells of one class that touch become one. What nobody
reviewed gets its ``ignore`` label. Images for validation stay among the training images, since
nnU-Net divides these itself; ``splits_final.json`` says how we did, and takes effect when it is
copied to the folder of the preprocessed data set.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.items import ExportError, Item, class_map, item, table_from_rows
from napari_wbc_nca.io.images import read_labels

FOLDER = "Dataset001_cells"
END = ".png"


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write the data set; ExportError where no image is left for training."""
    training = [one for one in items if one.split != "test"]
    if not training:
        raise ExportError("all images are for the test; nnU-Net needs some for training")
    place = folder / FOLDER
    for one in items:
        end = "Ts" if one.split == "test" else "Tr"
        picture = place / f"images{end}" / f"{one.name}_0000{END}"
        files.write_png(picture, files.to_colours(one))
        files.write_png(place / f"labels{end}" / f"{one.name}{END}", class_map(one, classes))
    labels = {"background": 0} | {name: 1 + index for index, name in enumerate(classes)}
    if any(one.ignore is not None for one in items):
        labels["ignore"] = 1 + len(classes)
    description = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": labels,
        "numTraining": len(training),
        "file_ending": END,
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    files.write_json(place / "dataset.json", description, indent=2)
    if validation := [one.name for one in training if one.split == "val"]:
        fold = {"train": [one.name for one in training if one.split != "val"], "val": validation}
        files.write_json(place / "splits_final.json", [fold], indent=2)


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read a raw data set; each connected part of a class is a cell."""
    hint = "no dataset.json; give a raw data set of nnU-Net"
    (found, *_) = files.find_files(path, ["**/dataset.json"], hint)
    place, content = found.parent, files.read_json(found)
    values = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise ExportError(f"{found} has no labels; expected a number for each class")
    if not all(isinstance(value, int) for value in values.values()):
        raise ExportError(f"{found}: its labels are regions; expected a number for each class")
    names = {value: name for name, value in values.items() if value}
    end = content.get("file_ending", END)
    items = []
    for split, folder in (("", "Tr"), ("test", "Ts")):
        for file in sorted((place / f"labels{folder}").glob(f"*{end}")):
            stem = file.name.removesuffix(end)
            own = _picture(place / f"images{folder}", stem, end) if pixels is None else pixels
            items.append(replace(_item(stem, file, names, own), split=split))
    return items


def _picture(folder: Path, stem: str, end: str) -> Any:
    """Read a picture, or three files with a channel each."""
    found = sorted(folder.glob(f"{glob.escape(stem)}_[0-9][0-9][0-9][0-9]{end}"))
    planes = [files.read_picture(file)[0] for file in found]
    if len(planes) == 3 and {plane.ndim for plane in planes} == {2}:
        return np.stack(planes, axis=-1)
    return planes[0] if planes else None


def _item(stem: str, file: Path, names: dict[int, str], pixels: Any) -> Item:
    from skimage.measure import label

    values = read_labels(file)[0]
    kinds = {value: name for value, name in names.items() if name != "ignore"}
    cells = label(np.where(np.isin(values, list(kinds)), values, 0), connectivity=2)
    numbers, first = np.unique(cells, return_index=True)
    rows = [
        {"label": int(number), "class": kinds[int(values.ravel()[at])]}
        for number, at in zip(numbers, first, strict=True)
        if number
    ]
    one = item(stem, cells, table_from_rows(rows), pixels)
    mask = np.isin(values, list(names.keys() - kinds.keys()))
    if others := sorted(set(np.unique(values).tolist()) - {0, *names}):
        note = f"{stem}: {len(others)} values without a class are left out, such as {others[0]}"
        one = replace(one, notes=(note,))
    return replace(one, ignore=mask) if mask.any() else one
