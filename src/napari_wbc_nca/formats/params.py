"""Parameters of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_wbc_nca.params import bounded

SplitBy = Literal["image", "slide", "patient"]


@dataclass(frozen=True)
class ExportParams:
    """Parameters of an export, for all formats."""

    validation: float = bounded(0.0, "Share of the images that is kept for validation", 0, 0.9)
    test: float = bounded(0.0, "Share of the images that is kept for a test", 0, 0.9)
    split_by: SplitBy = bounded(
        "image", "What stays whole when images are split; slides and patients need a table"
    )
    seed: int = bounded(0, "Seed of the split", 0)
    crop: float = bounded(27.0, "Side of a single-cell crop", 1, 1000, "µm")
    pixel_size: float = bounded(0.0, "Side of a pixel; 0 takes the image's own", 0, 100, "µm")
    annotator: str = bounded("", "Who reviewed the labels, for the provenance")
    force: bool = bounded(False, "Replace an earlier export of the same format")
