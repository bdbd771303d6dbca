"""Images and layers as a project lists them, and label images written from their journals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import REJECTED
from napari_wbc_nca.io._files import to_json, write_files
from napari_wbc_nca.io.results import LABELS, RECORD, TABLE, write_json, write_labels
from napari_wbc_nca.project.journal import cell_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.project.journal import Journal


@dataclass(frozen=True)
class ImageRecord:
    """Image of a project, which is never copied or changed.

    Attributes
    ----------
    id
        Number in the project.
    path
        Where it was found last.
    sha256
        Of the file, by which it is known when it was moved.
    pixel_size
        Side of a pixel in µm; None where unknown.
    reviewed
        When its review was finished, in UTC; None before.
    """

    id: int
    path: Path
    sha256: str
    pixel_size: float | None
    reviewed: str | None = None


@dataclass(frozen=True)
class LayerRecord:
    """Label layer of an image in a project.

    Attributes
    ----------
    id, name
        Number in the project, and name.
    run
        Record of the run that made it; empty where it was drawn by hand.
    corrections
        Edits that are applied.
    last
        Time of the last transaction in UTC; empty where there is none.
    transactions
        Edits, undo and redo so far.
    """

    id: int
    name: str
    run: Mapping[str, Any]
    corrections: int
    last: str
    transactions: int

    @property
    def position(self) -> str:
        """Position of the one plane of a stack that the layer shows, such as ``-3``; else empty."""
        planes = self.run.get("planes") or ["()"]
        return "".join(f"-{n}" for n in re.findall(r"\d+", planes[0])) if len(planes) == 1 else ""


def layer_record(image: ImageRecord, layer: LayerRecord) -> dict[str, Any]:
    """Return the record of the run that made a layer, with what was corrected since."""
    runs = layer.run.get("provenance") or [{}]
    made = dict(runs[0]) if isinstance(runs, list) else dict(runs)
    return {
        "program": "napari-wbc-nca",
        **made,
        "input": {
            **made.get("input", {}),
            "source": str(image.path),
            "sha256": image.sha256,
            "pixel_size": image.pixel_size,
        },
        "corrections": layer.corrections,
        "corrected": layer.last,
        "transactions": layer.transactions,
    }


def write_snapshot(
    folder: Path, name: str, image: ImageRecord, layer: LayerRecord, journal: Journal
) -> list[Path]:
    """Write a layer as it is now, without rejected cells, in the files that ``segment`` writes.

    Parameters
    ----------
    folder, name
        That gets ``NAME_labels.tif``, ``NAME_cells.csv`` and ``NAME.json``, and NAME; a layer of
        one plane of a stack has its position behind NAME.

    Returns
    -------
    list of Path
        The files, in that order; each appears whole or not at all.
    """
    import pandas as pd

    name, record = f"{name}{layer.position}", layer_record(image, layer)
    files = [folder / f"{name}{ending}" for ending in (LABELS["cell"], TABLE, RECORD)]
    if _is_current(files, record):
        return files
    labels, rows = journal.restore()
    rows = cell_rows(rows)
    rejected = [label for label, row in rows.items() if row.get("status") == REJECTED]
    labels[np.isin(labels, rejected)] = 0
    rows = {label: row for label, row in rows.items() if label not in rejected}
    table = pd.DataFrame([rows[label] for label in sorted(rows)])
    table = table.drop(columns="index", errors="ignore")
    if "label" not in table:
        table = pd.DataFrame({"label": np.zeros(0, int), "class": np.zeros(0, object)})
    writers: list[Callable[[Path], object]] = [
        lambda path: write_labels(path, _flat(labels), image.pixel_size),
        lambda path: table.to_csv(path, index=False, encoding="utf-8"),
        lambda path: write_json(path, record),
    ]
    return write_files(dict(zip(files, writers, strict=True)))


def _is_current(files: list[Path], record: Mapping[str, Any]) -> bool:
    """Return whether files that were written before show a layer as it is now."""
    if not all(file.exists() for file in files):
        return False
    try:
        written = json.loads(files[-1].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(written == to_json(record))


def _flat(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Remove leading axes of length 1: the labels of one plane are an image."""
    lead = labels.shape[:-2]
    return labels.reshape(labels.shape[-2:]) if all(n == 1 for n in lead) else labels
