"""Define the parameters of an evaluation; free of torch, so that the command line loads fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_wbc_nca.params import bounded

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

CLASS_METHOD = "cellmixer"
"""The method whose models give each pixel a class."""

Kind = Literal["auto", "crops", "fields", "labels"]


@dataclass(frozen=True)
class EvaluateParams:
    """Data and criteria of an evaluation."""

    kind: Kind = bounded(
        "auto",
        "'crops' of one cell or whole 'fields', with masks; 'labels' without masks: boxes, "
        "points or a folder a class; 'auto' finds out which it is",
    )
    classes: str = bounded(
        "", "Class names of YOLO indices, comma-separated; from classes.txt where empty"
    )
    include: str = bounded("", "File that lists the pictures to use; all where empty")
    types: str = bounded(
        "", "Types to measure, comma-separated; all that the model knows where empty"
    )
    projections: str = bounded(
        "", "Projections to compare, comma-separated; the model's own where empty"
    )
    overlap: float = bounded(0.5, "Minimum IoU at which a cell counts as found", 0.01, 1)
    centre_distance: float = bounded(
        10.0,
        "Distance up to which a found centre is that of a true cell, one to one, as the paper of "
        "propagation measures detection",
        0,
        10_000,
        "px",
        advanced=True,
    )
    worst: int = bounded(12, "Cells in the plot of the lowest scores", 0, 100, advanced=True)


@dataclass(frozen=True)
class CrossValidateParams(EvaluateParams):
    """Parameters of a cross-validation, within one data set or between several."""

    folds: int = bounded(
        5,
        "Parts of each data set; each is measured by a model that was trained on the others",
        2,
        100,
    )


def measures_classes(
    models: Sequence[Checkpoint], data: Sequence[str | Path], params: EvaluateParams
) -> bool:
    """Test whether `models` are measured pixel by pixel on `data`, rather than by their cells.

    They are where all of them give each pixel a class and a folder holds masks, unless another
    `kind` of data is asked for; then parameters for cells raise ValueError.
    """
    masked = any(next(Path(folder).rglob("*_mask.png"), None) for folder in data)
    other = any(model.method != CLASS_METHOD for model in models)
    if params.kind != "auto" or not masked or other:
        return False
    default = EvaluateParams()
    for name in ("classes", "include", "types", "projections", "overlap"):
        if getattr(params, name) != getattr(default, name):
            raise ValueError(
                f"{name} does not matter where the class of each pixel is measured; leave it out, "
                "or choose the kind 'crops' or 'fields' to measure cells"
            )
    return True
