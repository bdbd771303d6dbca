"""One labelled image on its way into a format, or out of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_wbc_nca.cell_types import ADDED, AUTO, NONE, WBC, canonical

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


LARGEST = np.iinfo(np.uint32).max
COLUMNS = ("label", "class", "origin")
"""First columns of every table of cells."""


class ExportError(ValueError):
    """Labels that cannot be exported or imported; says what came and what to do."""


class CellRow(NamedTuple):
    """Row of a table of cells; `others` holds the further columns that have a value."""

    label: int
    kind: str
    origin: str
    others: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Item:
    """One labelled image.

    Attributes
    ----------
    name
        Stem of its files.
    labels
        ``(Y, X)`` uint16, or uint32 where its integers need it.
    cells
        One row a label, ascending: ``label``, ``class``, ``origin`` (auto, edited, added), then
        any other columns.
    pixels, pixel_size
        ``(Y, X)`` or ``(Y, X, C)``, and the side of a pixel in µm; None where unknown.
    ignore, left_out
        ``(Y, X)`` bool: pixels that nobody reviewed, None where all were; labels of their cells.
    nucleus
        ``(Y, X)`` integers, 0 outside of all nuclei; None where they were not looked for.
    split
        ``train``, ``val`` or ``test``; empty where images are not split.
    record
        Where it came from, for the provenance.
    notes
        What a reader of the files must know: objects that were left out, files that are missing.
    """

    name: str
    labels: npt.NDArray[Any]
    cells: pd.DataFrame
    pixels: Any = None
    pixel_size: float | None = None
    ignore: npt.NDArray[np.bool_] | None = None
    left_out: tuple[int, ...] = ()
    nucleus: npt.NDArray[Any] | None = None
    split: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.labels.shape[0]), int(self.labels.shape[1])

    def classes(self) -> dict[int, str]:
        """Map labels to classes."""
        return dict(zip(self.cells["label"].tolist(), self.cells["class"].tolist(), strict=True))

    def rows(self) -> list[CellRow]:
        """List the cells in the order of the table."""
        from pandas import isna

        labels, kinds, origins = (self.cells[name].tolist() for name in COLUMNS)
        names = [name for name in self.cells if name not in COLUMNS]
        others = self.cells[names].to_dict("records") if names else [{}] * len(self.cells)
        known = [{str(k): v for k, v in m.items() if not isna(v) and v != ""} for m in others]
        return list(map(CellRow, labels, kinds, origins, known))


def table_from_rows(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of cells from rows, whose integers stay integers where some are missing."""
    import pandas as pd

    listed = list(rows)
    table = pd.DataFrame(listed, columns=list(dict.fromkeys([*COLUMNS, *chain(*listed)])))
    for name in table.columns[len(COLUMNS) :]:
        found = table[name].dropna()
        if len(found) < len(table) and all(type(row.get(name, 0)) is int for row in listed):
            table[name] = table[name].astype("Int64")
    return table


def item(
    name: str,
    labels: Any,
    cells: pd.DataFrame | None = None,
    pixels: Any = None,
    pixel_size: float | None = None,
    record: Mapping[str, Any] | None = None,
) -> Item:
    """Make a checked :class:`Item`.

    Parameters
    ----------
    name
        Name of the image; what a file's name cannot hold becomes ``_``.
    labels
        ``(Y, X)`` integers, 0 outside of all cells.
    cells
        Table with ``label`` and, where known, ``class`` and ``origin``. Labels without a row
        count as added, cells without a class as white blood cells of unknown type.
    pixels, pixel_size, record
        As in :class:`Item`.

    Raises
    ------
    ExportError
        When labels are none, or do not fit the image or the table.
    """
    checked = _check_labels(name, labels)
    if pixels is not None and tuple(pixels.shape[:2]) != checked.shape:
        raise ExportError(
            f"{name}: the labels are {_size(checked.shape)} pixels and the image "
            f"{_size(pixels.shape)}; give the image that the labels were drawn on"
        )
    stem = re.sub(r'[\\/:*?"<>|\0\s]+', "_", name).strip("._") or "image"
    table = _table(name, checked, cells)
    return Item(stem, checked, table, pixels, pixel_size, record=dict(record or {}))


def _check_labels(name: str, labels: Any) -> npt.NDArray[Any]:
    """Convert labels to uint16 where that holds them all, else to uint32."""
    array = np.asarray(labels)
    if array.ndim > 2 and array.size == array.shape[-1] * array.shape[-2]:
        array = array.reshape(array.shape[-2:])
    if array.ndim != 2 or array.dtype.kind not in "uib":
        raise ExportError(
            f"{name}: its labels are {array.dtype} of shape {array.shape}; expected one plane of "
            "integers (Y, X): give the label image, and one plane of a stack"
        )
    lowest, highest = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if lowest < 0 or highest > LARGEST:
        raise ExportError(
            f"{name}: its labels reach from {lowest} to {highest}; expected 0 to {LARGEST}: "
            "relabel the cells"
        )
    return array.astype(np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} × {shape[1]}"


def _table(name: str, labels: npt.NDArray[Any], cells: pd.DataFrame | None) -> pd.DataFrame:
    import pandas as pd

    present = np.unique(labels[labels > 0]).astype(np.int64)
    listed = pd.DataFrame({"label": []}) if cells is None else cells
    if "label" not in listed and "index" in listed:
        listed = listed.rename(columns={"index": "label"})
    if "label" not in listed:
        raise ExportError(
            f"{name}: the table of cells has no column label; found "
            f"{', '.join(map(str, listed.columns)) or 'nothing'}: give the CSV that segment wrote"
        )
    rows = listed.dropna(subset="label").drop_duplicates("label", keep="last").set_index("label")
    found = np.isin(present, rows.index.to_numpy())
    known = rows.reindex(present)
    core = {
        "label": present,
        "class": _texts(known, "class", np.full(len(present), WBC)),
        "origin": _texts(known, "origin", np.where(found, AUTO, ADDED)),
    }
    others = rows.drop(columns=["class", "origin", "index"], errors="ignore")
    if not found.all():  # a missing value would make integers floats
        integers = others.select_dtypes("integer").columns
        others = others.astype(dict.fromkeys(integers, "Int64"))
    others = others.reindex(present).reset_index(drop=True)
    first = pd.DataFrame(core).astype({"class": object, "origin": object})  # faster than str
    return pd.concat([first, others], axis=1)


def _texts(table: pd.DataFrame, column: str, default: npt.NDArray[Any]) -> list[str]:
    """Return texts of a column; `default` where it is missing, empty or NaN."""
    from pandas import isna

    values = table[column] if column in table else [None] * len(table)
    texts = ["" if isna(value) else _text(value) for value in values]
    return [text or str(other) for text, other in zip(texts, default, strict=True)]


def _text(value: Any) -> str:
    """Convert a class to text; a number that is a float since one is missing has no point."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return "" if text.strip() == "unknown" else text.strip()  # being corrected, no class yet


def keep_reviewed(whole: Item, reviewed: npt.NDArray[np.bool_]) -> Item:
    """Ignore everything outside of the `reviewed` ``(Y, X)`` pixels.

    A cell is taken with all its pixels when at least half of them were reviewed; else all its
    pixels are ignored. So no cell is taken in part, and none becomes background. ExportError where
    the regions do not fit the image, or hold nothing.
    """
    if reviewed.shape != whole.shape:
        raise ExportError(
            f"{whole.name}: the reviewed regions are {_size(reviewed.shape)} pixels and the "
            f"labels {_size(whole.shape)}; draw them on the same image"
        )
    if not reviewed.any():
        raise ExportError(
            f"{whole.name}: no pixel lies in the reviewed regions; draw them over the image, or "
            "export without them where all of it was reviewed"
        )
    labels, place = whole.cells["label"].to_numpy(), row_image(whole)
    size = np.bincount(place.ravel(), minlength=len(labels) + 1)
    inside = np.bincount(place[reviewed], minlength=len(labels) + 1)
    taken = inside >= 0.5 * size
    taken[0] = False
    kept = taken[place]
    return replace(
        whole,
        labels=np.where(kept, whole.labels, 0).astype(whole.labels.dtype),
        cells=whole.cells[taken[1:]].reset_index(drop=True),
        ignore=~np.where(place > 0, kept, reviewed),
        left_out=tuple(labels[~taken[1:]].tolist()),
    )


def row_image(one: Item) -> npt.NDArray[np.int32]:
    """Map each pixel to 1 + its cell's row in the table, 0 outside of all cells."""
    from skimage.util import map_array

    labels = one.cells["label"].to_numpy(one.labels.dtype)
    rows = np.arange(1, len(labels) + 1, dtype=np.int32)
    found: npt.NDArray[np.int32] = map_array(one.labels, labels, rows)
    return found


def unique_names(items: Sequence[Item]) -> list[str]:
    """Name each item; a number follows where two have the same name."""
    taken: set[str] = set()
    found = []
    for one in items:
        names = chain([one.name], (f"{one.name}_{number}" for number in count(2)))
        found.append(next(name for name in names if name.casefold() not in taken))
        taken.add(found[-1].casefold())
    return found


def class_map(one: Item, classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Map pixels to 1 + the index of their class, ignored ones to 1 + the number of classes.

    ``(Y, X)`` uint8, 0 background.
    """
    if len(classes) > np.iinfo(np.uint8).max - 1:
        raise ExportError(f"there are {len(classes)} classes; a class map holds 254 at most")
    number = {name: 1 + index for index, name in enumerate(classes)}
    found = np.array([0, *one.cells["class"].map(number)], np.uint8)[row_image(one)]
    if one.ignore is not None:
        found[one.ignore] = 1 + len(classes)
    return found


def nuclei_of_cells(one: Item) -> npt.NDArray[Any] | None:
    """Give nuclei the labels of their cells now; None where a white cell, drawn later, has none."""
    if one.nucleus is None:
        return None
    found = np.where(one.nucleus > 0, one.labels, 0)
    white = [label for label, name in one.classes().items() if canonical(name) != NONE]
    return found if np.isin(white, found).all() else None


def cell_measurements(one: Item) -> pd.DataFrame:
    """Measure centroids, boxes and areas of an item's cells; other columns stay."""
    from napari_wbc_nca.ops.labels import measure_cells

    sizes = measure_cells(one.labels).reset_index(drop=True)  # ascending, as the table is
    area = np.nan if one.pixel_size is None else one.pixel_size**2
    return one.cells.assign(**sizes, area_um2=sizes["area_px"] * area)


def note_hidden(labels: Iterable[int], found: npt.NDArray[Any]) -> tuple[str, ...]:
    """Say which of the `labels` that were drawn have no pixel in the label image `found`."""
    if not (hidden := sorted(set(labels) - set(np.unique(found).tolist()))):
        return ()
    listed = ", ".join(map(str, hidden[:5])) + (" …" if len(hidden) > 5 else "")
    return (
        f"{len(hidden)} cells have no pixel, since others cover them or they lie outside of the "
        f"image, and are left out: {listed}",
    )
