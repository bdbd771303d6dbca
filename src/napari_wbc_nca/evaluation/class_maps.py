"""Measure models that give each pixel a class, as CellMixer's Table 1 does."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.datasets.label_files import read_names
from napari_wbc_nca.datasets.samples import LabelError, is_picture
from napari_wbc_nca.io.images import in_colours, read
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.ops.metrics import class_scores, confusion_matrix
from napari_wbc_nca.ops.mixing import background_statistics, mix, mix_masks
from napari_wbc_nca.params import as_dict
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Checkpoint, Image
from napari_wbc_nca.workflow import segment

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.methods.params import PredictParams

ARTIFICIAL = "artificial"
"""Name of the mixtures that are made of the pictures of a folder ``unmixed``."""
CELLS = "cells"
"""Name of the row that holds the means of the cells' classes."""
_UNMIXED = "unmixed"
_CYTOPLASM = 128  # value of expert masks that hold a white blood cell's cytoplasm and nucleus


@dataclass(frozen=True, eq=False)
class Known:
    """A picture whose classes are known.

    Attributes
    ----------
    data
        Name of its data set.
    image
        The picture.
    classes
        ``(Y, X)`` number of the class in `names`.
    names
        Of the classes, the background first.
    """

    data: str
    image: Image
    classes: npt.NDArray[np.uint8]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """What was measured of models that give each pixel a class.

    Attributes
    ----------
    table
        As of :func:`evaluate_classes`.
    provenance
        Models, data and every parameter of prediction.
    """

    table: pd.DataFrame
    provenance: dict[str, Any]


def evaluate_classes(
    models: Sequence[Checkpoint], data: Sequence[str | Path], params: PredictParams
) -> pd.DataFrame:
    """Accuracy and IoU of each class, of several models on several data sets.

    Parameters
    ----------
    models
        Of a method that gives a label image ``class``.
    data
        Folders as in :func:`known`.
    params
        Of prediction.

    Returns
    -------
    DataFrame
        model, data, class, accuracy, iou, pixels; after the classes of the cells, a row
        ``cells`` with their means.
    """
    return run_to_end(run(models, data, params))


def measure(
    models: Sequence[Checkpoint], data: Sequence[str | Path], params: PredictParams
) -> Generator[Progress, None, ClassEvaluation]:
    """Measure step by step as :func:`run`, and keep how it was done."""
    table = yield from run(models, data, params)
    known_by = [{"model": model.name, "sha256": model.sha256} for model in models]
    record = {"models": known_by, "data": [str(folder) for folder in data], **as_dict(params)}
    return ClassEvaluation(table, record)


def write(measured: ClassEvaluation, folder: str | Path) -> None:
    """Write ``classes.csv``, ``classes.md`` and ``evaluation.json`` into `folder`."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    measured.table.to_csv(place / "classes.csv", index=False)
    (place / "classes.md").write_text(text(measured.table), encoding="utf-8")
    record = json.dumps(measured.provenance, indent=2)
    (place / "evaluation.json").write_text(record, encoding="utf-8")


def run(
    models: Sequence[Checkpoint], data: Sequence[str | Path], params: PredictParams
) -> Generator[Progress, None, pd.DataFrame]:
    """Measure step by step; as :func:`evaluate_classes`.

    Yields
    ------
    Progress
        After each picture and model.
    """
    pictures = [picture for folder in data for picture in known(folder)]
    counts: dict[tuple[int, str], Any] = {}
    total, done = len(pictures) * len(models), 0
    for picture in pictures:
        for number, model in enumerate(models):
            result = yield from segment.run(picture.image, model, params)
            found = renumbered(np.asarray(result.labels["class"]), model.classes, picture.names)
            key = (number, picture.data)
            size = len(picture.names) + 1  # the last is for what the truth does not know
            counts[key] = counts.get(key, 0) + confusion_matrix(picture.classes, found, size)
            done += 1
            yield Progress(done, total, f"measured {picture.image.name}")
    names = {picture.data: (*picture.names, "others") for picture in pictures}
    rows = [
        _with_mean(class_scores(count, names[place])).assign(model=models[number].name, data=place)
        for (number, place), count in counts.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    return table[["model", "data", "class", "accuracy", "iou", "pixels"]]


def _with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the mean of the classes of cells that are in the truth."""
    cells = table[(table.index > 0) & (table["pixels"] > 0)]
    means = {"accuracy": cells["accuracy"].mean(), "iou": cells["iou"].mean()}
    row = pd.DataFrame([{"class": CELLS, **means, "pixels": cells["pixels"].sum()}])
    return pd.concat([table, row], ignore_index=True)


def renumbered(
    found: npt.NDArray[Any], own: Sequence[str], wanted: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Class map in the numbers of `wanted` names; a class that is not among them gets the last."""
    numbers = [wanted.index(name) if name in wanted else len(wanted) for name in own]
    return np.asarray(np.asarray(numbers, np.int64)[found])


def known(folder: str | Path) -> Iterator[Known]:
    """Pictures of a folder whose classes are known.

    Beside each ``NAME.*`` lies ``NAME_mask.png`` with a number a pixel, of the names in
    ``classes.txt`` from 1 on; without ``classes.txt`` it is an expert's mask of white blood
    cells: 0, 128 and 255. A folder of such folders is read whole; of one called ``unmixed``
    artificial mixtures are made too.

    Raises
    ------
    LabelError
        When there is no such picture, or a mask does not fit.
    """
    path = Path(folder)
    inside = [place for place in sorted(path.glob("*")) if place.is_dir()]
    masked = sorted(path.glob("*_mask.png"))
    if not masked and not inside:
        raise LabelError(
            f"{path}: no NAME_mask.png beside the pictures; a class map needs the true class of "
            "each pixel"
        )
    for place in () if masked else inside:
        yield from known(place)
    pictures = [_read(path, mask) for mask in masked]
    yield from pictures
    if path.name == _UNMIXED:
        yield from artificial(pictures)


def artificial(pictures: Sequence[Known]) -> Iterator[Known]:
    """Mixtures at even shares of each picture with the next one that shows another class.

    Of pictures of different sizes, the upper left corner that both have is mixed.
    """
    for index, first in enumerate(pictures):
        others = [*pictures[index + 1 :], *pictures[:index]]
        different = [o for o in others if not _shared(o, first)]
        if different:
            yield _mixture(first, different[index % len(different)])


def _shared(one: Known, two: Known) -> bool:
    return bool(np.intersect1d(one.classes, two.classes).any())


def _mixture(one: Known, two: Known) -> Known:
    """Both at even shares, with a background of their mean brightness and noise."""
    pixels = [_brightness(known) for known in (one, two)]
    found = [
        background_statistics(values, known.classes)
        for values, known in zip(pixels, (one, two), strict=True)
    ]
    if found[0] is None or found[1] is None:
        raise LabelError(f"{one.image.source}, {two.image.source}: no background between the cells")
    mean, std = (np.mean([s[k] for s in found if s], axis=0)[:, None, None] for k in (0, 1))
    part = tuple(slice(side) for side in np.minimum(one.classes.shape, two.classes.shape))
    first, second = (values[(slice(None), *part)] for values in pixels)
    mixed = mix(first, second, 0.5, (found[0], found[1])) / np.float32(np.sqrt(0.5))
    picture = ((mean + std * mixed).clip(0, 1) * 255).round().astype(np.uint8)
    name = f"{one.image.name} + {two.image.name}"
    image = Image(np.moveaxis(picture, 0, -1), name)
    classes = mix_masks(one.classes[part], two.classes[part])
    return Known(ARTIFICIAL, image, classes, one.names)


def _brightness(picture: Known) -> npt.NDArray[np.float32]:
    rgb = np.asarray(to_rgb(in_colours(picture.image).pixels)) / 255
    return np.ascontiguousarray(np.moveaxis(rgb, -1, 0), np.float32)


def _read(folder: Path, mask: Path) -> Known:
    """A picture and its mask."""
    from PIL import Image as Pictures

    stem = mask.stem.removesuffix("_mask")
    found = [path for path in folder.glob(f"{stem}.*") if is_picture(path)]
    if not found:
        raise LabelError(f"{mask} has no picture beside it")
    listed = folder / "classes.txt"
    with Pictures.open(mask) as drawn:
        # A palette's colours are for the eye: the number of a class is the pixel's own.
        numbered = listed.exists() and drawn.mode in ("1", "P")
        values = np.asarray(drawn if numbered else drawn.convert("L")).astype(np.uint8)
    image = read(found[0])
    if values.shape != image.shape:
        raise LabelError(f"{mask} is {values.shape}, but its picture is {image.shape} pixels")
    names: tuple[str, ...] = ("background", "wbc")
    if not listed.exists():
        classes = (values >= _CYTOPLASM // 2).astype(np.uint8)
    else:
        names, classes = ("background", *read_names(listed)), values
    if int(classes.max()) >= len(names):
        raise LabelError(
            f"{mask} holds class {int(classes.max())}, but {listed} names {len(names) - 1}"
        )
    return Known(folder.name, image, classes, names)


def text(table: pd.DataFrame) -> str:
    """Table for people: classes in rows, accuracy and IoU of each model side by side."""
    lines = []
    models = list(dict.fromkeys(table["model"]))
    for place in dict.fromkeys(table["data"]):
        own = table[table["data"] == place]
        lines.append(f"| {place} | " + " | ".join(f"{m} accuracy | {m} IoU" for m in models) + " |")
        lines.append("|---" * (1 + 2 * len(models)) + "|")
        for name in dict.fromkeys(own["class"]):
            cells = [
                f"{value:.3f}"
                for model in models
                for value in _figures(own[(own["model"] == model) & (own["class"] == name)])
            ]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _figures(rows: pd.DataFrame) -> tuple[float, float]:
    """Accuracy and IoU of a row; NaN where there is none."""
    if rows.empty:
        return float("nan"), float("nan")
    return float(rows["accuracy"].iloc[0]), float(rows["iou"].iloc[0])
