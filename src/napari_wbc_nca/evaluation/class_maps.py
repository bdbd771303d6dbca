"""Measure models that give each pixel a class, as Table 1 of the CellMixer paper does."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import WBC
from napari_wbc_nca.datasets.label_files import read_names
from napari_wbc_nca.datasets.masks import IGNORE, label_file
from napari_wbc_nca.datasets.samples import LabelError, image_id, is_picture
from napari_wbc_nca.evaluation.cells import training_notes
from napari_wbc_nca.evaluation.ground_truth import CELL, read_grey, read_ignored
from napari_wbc_nca.evaluation.report import Report, markdown
from napari_wbc_nca.io.images import prepare, read, read_labels
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.ops.metrics import class_scores, confusion_matrix
from napari_wbc_nca.ops.mixing import IGNORED, background_statistics, mix, mix_masks
from napari_wbc_nca.params import as_dict
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint, Image
from napari_wbc_nca.workflow import segment

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.methods.params import PredictParams

ARTIFICIAL = "artificial"
"""Name of the mixtures that are made of the images of a folder ``unmixed``."""
CELLS = "cells"
"""Name of the row that holds the means over the classes of cells."""
_UNMIXED = "unmixed"


@dataclass(frozen=True, eq=False)
class ClassImage:
    """An image of the data set `data`, and the index in `names`, ``(Y, X)``, of each pixel's class.

    The background is the first of the names; pixels that nobody annotated are `IGNORED`, 255.
    """

    data: str
    image: Image
    classes: npt.NDArray[np.uint8]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ClassEvaluation(Report):
    """Results of models that give each pixel a class.

    Attributes
    ----------
    classes
        model, data, class, accuracy, iou, pixels; after the classes of the cells, a row
        ``cells`` with their means.
    provenance
        Models, data and every parameter of prediction.
    """

    stem: ClassVar[str] = "classes"

    classes: pd.DataFrame
    provenance: dict[str, Any]

    def text(self) -> str:
        """Return classes in rows, accuracy and IoU of each model side by side, as Markdown."""
        notes = "".join(f"Note: {note}\n\n" for note in self.notes)
        return notes + format_classes(self.classes)

    def headline(self) -> str:
        """Return the mean IoU of the classes of cells, by model and data set."""
        means = self.classes[self.classes["class"] == CELLS].to_dict("records")
        shown = [f"{row['model']} on {row['data']} {row['iou']:.3f}" for row in means]
        return f"Mean IoU of the cells' classes: {', '.join(shown)}"


def measure_classes(
    models: Sequence[Checkpoint], data: Sequence[str | Path], params: PredictParams
) -> Generator[Progress, None, ClassEvaluation]:
    """Measure accuracy and IoU of each class, with progress after each image and model.

    `models` are of a method that gives a label image ``class``, `data` folders as in
    :func:`read_class_images`.
    """
    images = [image for folder in data for image in read_class_images(folder)]
    counts: dict[tuple[int, str], Any] = {}
    total, done = len(images) * len(models), 0
    for image in images:
        for number, model in enumerate(models):
            result = yield from segment.run(image.image, model, params)
            predicted = map_classes(np.asarray(result.labels["class"]), model.classes, image.names)
            key = (number, image.data)
            size = len(image.names) + 1  # the last is for classes outside of the ground truth
            counts[key] = counts.get(key, 0) + confusion_matrix(image.classes, predicted, size)
            done += 1
            yield Progress(done, total, f"measured {image.image.name}")
    names = {image.data: (*image.names, "others") for image in images}
    rows = [
        _with_mean(class_scores(count, names[name])).assign(model=models[number].name, data=name)
        for (number, name), count in counts.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    record = {
        "models": [{"model": model.name, "sha256": model.sha256} for model in models],
        "data": [str(folder) for folder in data],
        "notes": [note for model in models for note in _notes(model, images)],
        **as_dict(params),
    }
    return ClassEvaluation(table[["model", "data", "class", "accuracy", "iou", "pixels"]], record)


def _notes(model: Checkpoint, images: Sequence[ClassImage]) -> list[str]:
    known = model.card.get("images", ())
    own = [image for image in images if image.data != ARTIFICIAL]
    names = [
        i.image.name for i in own if known and image_id(_rgb(i).round().astype(np.uint8)) in known
    ]
    return training_notes(model, {image.data for image in own}, names, len(own))


def _with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """Append the mean over the classes of cells that are in the ground truth."""
    cells = table[(table.index > 0) & (table["pixels"] > 0)]
    means = {"accuracy": cells["accuracy"].mean(), "iou": cells["iou"].mean()}
    row = pd.DataFrame([{"class": CELLS, **means, "pixels": cells["pixels"].sum()}])
    return pd.concat([table, row], ignore_index=True)


def map_classes(
    classes: npt.NDArray[Any], names: Sequence[str], target: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Change indices in `names` into indices in `target`; a class that is not there is last."""
    indices = [target.index(name) if name in target else len(target) for name in names]
    return np.asarray(np.asarray(indices, np.int64)[classes])


def read_class_images(folder: str | Path) -> Iterator[ClassImage]:
    """Read the images of a folder that have a class for each pixel.

    Beside each ``NAME.*`` lies ``NAME_mask.png`` with an index a pixel, of the names in
    ``classes.txt`` from 1 on, and 255 where nobody annotated; without ``classes.txt`` it is an
    expert's mask of white blood cells: 0, 128 and 255. In either, pixels above 0 in
    ``NAME_ignore.png`` were not annotated, and count nowhere. A folder of such folders is read
    whole; of one called ``unmixed`` artificial mixtures are made too. Without any such image, or
    with a mask that does not fit, a LabelError is raised.
    """
    path = Path(folder)
    folders = [inner for inner in sorted(path.glob("*")) if inner.is_dir()]
    masks = sorted(path.glob("*_mask.png"))
    if not masks and not folders:
        raise LabelError(
            f"{path}: no NAME_mask.png beside the pictures; a class map needs the true class of "
            "each pixel"
        )
    for inner in () if masks else folders:
        yield from read_class_images(inner)
    images = [_read(path, mask) for mask in masks]
    yield from images
    if path.name == _UNMIXED:
        yield from mix_images(images)


def mix_images(images: Sequence[ClassImage]) -> Iterator[ClassImage]:
    """Mix each image at even shares with the next one that shows other classes.

    Of images of different sizes, the upper left corner that both have is mixed.
    """
    for index, first in enumerate(images):
        others = [*images[index + 1 :], *images[:index]]
        own = first.classes[first.classes != IGNORED]
        different = [o for o in others if not np.intersect1d(o.classes, own).any()]
        if different:
            yield _mix(first, different[index % len(different)])


def _mix(first: ClassImage, second: ClassImage) -> ClassImage:
    """Mix two images on a background of their mean brightness and noise."""
    pairs = [
        (np.ascontiguousarray(np.moveaxis(_rgb(image) / 255, -1, 0), np.float32), image.classes)
        for image in (first, second)
    ]
    backgrounds = [background_statistics(*pair) for pair in pairs]
    if backgrounds[0] is None or backgrounds[1] is None:
        raise LabelError(
            f"{first.image.source}, {second.image.source}: no background between the cells"
        )
    mean, std = (np.mean([b[k] for b in backgrounds if b], axis=0)[:, None, None] for k in (0, 1))
    part = tuple(slice(side) for side in np.minimum(first.classes.shape, second.classes.shape))
    one, two = (values[(slice(None), *part)] for values, _ in pairs)
    mixed = mix(one, two, 0.5, (backgrounds[0], backgrounds[1])) / np.float32(np.sqrt(0.5))
    rgb = ((mean + std * mixed).clip(0, 1) * 255).round().astype(np.uint8)
    image = Image(np.moveaxis(rgb, 0, -1), f"{first.image.name} + {second.image.name}")
    classes = mix_masks(first.classes[part], second.classes[part])
    return ClassImage(ARTIFICIAL, image, classes, first.names)


def _rgb(image: ClassImage) -> npt.NDArray[Any]:
    return np.asarray(to_rgb(prepare(image.image)))


def _read(folder: Path, mask: Path) -> ClassImage:
    """Read an image and its mask."""
    stem = mask.stem.removesuffix("_mask")
    paths = [path for path in folder.iterdir() if path.stem == stem and is_picture(path)]
    if not paths:
        raise LabelError(f"{mask} has no picture beside it")
    listed, image_path = folder / "classes.txt", min(paths)
    image = read(image_path)
    known = listed.exists()
    values = read_labels(mask)[0] if known else read_grey(mask) >= CELL
    names = ("background", *(read_names(listed) if known else [WBC]))
    if values.shape != image.shape:
        raise LabelError(f"{mask} is {values.shape}, but its picture is {image.shape} pixels")
    largest = int(values[values != IGNORED].max(initial=0))
    if largest >= len(names):
        raise LabelError(f"{mask} holds class {largest}, but {listed} names {len(names) - 1}")
    if (ignored := label_file(image_path, IGNORE)) is not None:
        values = np.where(read_ignored(ignored, image.shape), IGNORED, values)
    return ClassImage(folder.name, image, values.astype(np.uint8), names)


def format_classes(table: pd.DataFrame) -> str:
    """Format classes in rows, accuracy and IoU of each model side by side, as Markdown."""
    tables = []
    models = list(dict.fromkeys(table["model"]))
    for data, rows in table.groupby("data", sort=False):
        columns = {str(data): list(dict.fromkeys(rows["class"]))}
        for model in models:
            own = rows[rows["model"] == model].set_index("class").reindex(columns[str(data)])
            columns |= {f"{model} accuracy": [*own["accuracy"]], f"{model} IoU": [*own["iou"]]}
        tables.append(markdown(pd.DataFrame(columns)))
    return "\n\n".join(tables) + "\n"
