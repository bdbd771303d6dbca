"""Simulate an annotator who follows the queue of a review, and measure what the first fifth holds.

    WBC_NCA_DATA=/data python benchmarks/review_queue.py segment FOLDER [SET ...] [--every N]
    python benchmarks/review_queue.py rank FOLDER [SET ...]

``segment`` segments the pictures of the sets with `wbc-smear` at its defaults and keeps the results
in ``FOLDER``; it goes on where it was interrupted. ``rank`` puts the cells and the likely missed
places of all pictures of a set into one queue by doubt. A cell is wrong where it has no partner
among the labelled ones, another type than its partner's, or an IoU below 0.7 with it: of masks, or
where only boxes are known of the cell's box. A labelled cell without a partner is wrong too, and in
the queue where a place lies in it. Printed are the wrong ones among the first 20 % of the queue
over the most that can be there, min(1, 0.2 / share of wrong ones).
"""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.cell_types import NONE, TYPES, canonical
from napari_wbc_nca.evaluation.ground_truth import (
    EvaluationImage,
    GroundTruth,
    read_ground_truth,
    read_images,
)
from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.ops import metrics
from napari_wbc_nca.ops.crops import BOX
from napari_wbc_nca.ops.doubt import doubt, missed_doubt
from napari_wbc_nca.ops.review_table import calibration
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.workflow.segment import run

SMEARS = "wbc,rbc,platelet"
SETS = {
    "masks/cellavision": "",
    "fields": SMEARS,
    "smears/val": SMEARS,
    "typed": ",".join(TYPES),
    "smears/train": SMEARS,
}
"""Folder of the data to the classes of its rows."""
MEASURED = ("masks/cellavision", "fields", "smears/val", "typed")
SPLITS = Path(__file__).parent / "splits"
PARTS = {"fields": "fields_never_trained.txt", "typed": "typed_heldout.txt"}
"""Pictures of a set that never trained."""
PARTNER = 0.1  # least IoU of a cell with a labelled one that it is meant to be
GOOD = 0.7  # least IoU of an outline that is right
FIRST = 0.2  # share of the queue that is looked through


@dataclass(frozen=True, eq=False)
class Result:
    """Segmentation of a picture, as it is kept."""

    cells: pd.DataFrame
    labels: npt.NDArray[np.uint16]
    record: dict[str, Any]


def images_of(name: str) -> list[EvaluationImage]:
    """List the pictures of a set."""
    params = EvaluateParams(classes=SETS[name])
    return read_images(Path(os.environ["WBC_NCA_DATA"]) / name, params)


def segment(folder: Path, sets: list[str], every: int) -> None:
    """Segment the pictures of sets and keep the results."""
    model = model_store.resolve("wbc-smear")
    for name in sets:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for image in images_of(name)[::every]:
            path = folder / name / f"{image.name}.pickle"
            if path.exists():
                continue
            found = run_to_end(run(read(image.sample.path), model, NcaParams()))
            labels = np.asarray(found.labels["cell"]).astype(np.uint16)
            kept = found.cells, labels, dict(found.provenance)
            path.with_suffix(".part").write_bytes(pickle.dumps(kept))
            path.with_suffix(".part").replace(path)


def result_of(folder: Path, name: str, image: EvaluationImage) -> Result | None:
    """Read the result of a picture of a set; None where it was not segmented."""
    path = folder / name / f"{image.name}.pickle"
    return Result(*pickle.loads(path.read_bytes())) if path.exists() else None


def items(name: str, result: Result, truth: GroundTruth) -> Iterator[dict[str, Any]]:
    """List what a reviewer of a picture looks at or should: doubt, and what is wrong with it.

    Each has its `label`, 0 for none, and the number of the labelled cell it is `meant` to be.
    """
    cells = result.cells
    white = np.array([canonical(kind) != NONE for kind in cells["class"]], bool)
    cells = cells[white].reset_index(drop=True)
    shared = pair_scores(truth, cells, result.labels)
    own = {int(b): int(a) for a, b in metrics.match_scores(shared, PARTNER)}
    temperature, params = calibration(result.record)
    rated = doubt(cells, result.labels.shape, params, temperature)
    for number, kind in enumerate(cells["class"]):
        partner = own.get(number)
        wrong = "false" if partner is None else ""
        if partner is not None and shared[partner, number] < GOOD:
            wrong = "outline"
        if partner is not None and truth.names[partner] in TYPES:
            wrong = "type" if canonical(kind) != truth.names[partner] else wrong
        found = {"label": int(cells["label"].iloc[number]), "meant": partner}
        yield {"image": name, "doubt": rated["doubt"].iloc[number], "wrong": wrong, **found}
    missed = set(range(len(truth.names))) - set(own.values())
    for place in result.record.get("likely_missed", ()):
        inside = [cell for cell in missed if holds(truth, cell, place["y"], place["x"])]
        missed -= set(inside[:1])
        rate = missed_doubt(place["score"], place["reason"])
        found = {"label": 0, "meant": inside[0] if inside else None}
        yield {"image": name, "doubt": rate, "wrong": "missed" if inside else "", **found}
    for cell in missed:
        yield {"image": name, "doubt": np.nan, "wrong": "missed", "label": 0, "meant": cell}


def pair_scores(
    truth: GroundTruth, cells: pd.DataFrame, labels: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """IoU of each labelled cell (row) with each cell found (column)."""
    if truth.cell is not None:
        found = metrics.label_iou(truth.cell, labels.astype(np.uint32))
        return np.asarray(found[:, cells["label"].to_numpy(int) - 1])
    boxes = cells[list(BOX)].to_numpy(float)
    assert truth.boxes is not None
    return np.asarray(metrics.box_iou(truth.boxes, boxes))


def holds(truth: GroundTruth, cell: int, y: float, x: float) -> bool:
    """Whether a place lies in a labelled cell."""
    if truth.cell is not None:
        at = (min(max(round(v), 0), n - 1) for v, n in zip((y, x), truth.cell.shape, strict=True))
        return bool(truth.cell[tuple(at)] == cell + 1)
    assert truth.boxes is not None
    y0, x0, y1, x1 = truth.boxes[cell]
    return bool(y0 <= y < y1 and x0 <= x < x1)


def measure(queue: pd.DataFrame) -> dict[str, Any]:
    """Count the wrong items in the first fifth of a queue, over the most that can be there.

    Items without a doubt are in no queue; they count as wrong all the same, but not in the share
    ``in the queue``.
    """
    order = queue.dropna(subset="doubt").sort_values("doubt", ascending=False, kind="stable")
    looked = order.head(round(FIRST * len(order)))
    wrong, found = int((queue["wrong"] != "").sum()), int((looked["wrong"] != "").sum())
    kinds = queue["wrong"].value_counts().drop("", errors="ignore").to_dict()
    absent = int(queue["doubt"].isna().sum())
    shares = [found / max(1, min(count, len(looked))) for count in (wrong, wrong - absent)]
    counts = {"items": len(order), "wrong": wrong, **kinds, "not in the queue": absent}
    return {**counts, "found": found, "share": shares[0], "share in the queue": shares[1]}


def rank(folder: Path, sets: list[str]) -> None:
    """Measure the queue of each set, and of its pictures that never trained."""
    for name in sets:
        rows: list[dict[str, Any]] = []
        for image in images_of(name):
            if (result := result_of(folder, name, image)) is not None:
                rows += items(image.name, result, read_ground_truth(image))
        queue = pd.DataFrame(rows)
        print(f"{name}, {queue['image'].nunique()} pictures: {line(measure(queue))}", flush=True)
        if name in PARTS:
            kept = {Path(n).stem for n in (SPLITS / PARTS[name]).read_text().split()}
            unseen = queue[queue["image"].isin(kept)]
            count = unseen["image"].nunique()
            print(f"{name}, {count} that never trained: {line(measure(unseen))}", flush=True)


def line(found: dict[str, Any]) -> str:
    """Write a measurement in a line."""
    counts = ", ".join(f"{key} {value}" for key, value in found.items() if "share" not in key)
    return f"{found['share']:.2f}, in the queue {found['share in the queue']:.2f} ({counts})"


def main() -> None:
    """Run one of the two stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("segment", "rank"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", default=[], metavar="SET")
    parser.add_argument("--every", type=int, default=1, help="Take every n-th picture")
    given = parser.parse_args()
    sets = given.sets or list(MEASURED)
    if given.stage == "segment":
        segment(given.folder, sets, given.every)
    else:
        rank(given.folder, sets)


if __name__ == "__main__":
    main()
