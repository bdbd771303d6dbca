"""Parameters of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_wbc_nca.params import Bounds

SplitBy = Literal["image", "slide", "patient"]


@dataclass(frozen=True)
class ExportParams:
    """Parameters of an export, for all formats."""

    validation: Annotated[
        float, Bounds("Share of the images that is kept for validation", low=0, high=0.9)
    ] = 0.0
    test: Annotated[
        float, Bounds("Share of the images that is kept for a test", low=0, high=0.9)
    ] = 0.0
    split_by: Annotated[
        SplitBy, Bounds("What stays whole when images are split; slides and patients need a table")
    ] = "image"
    seed: Annotated[int, Bounds("Seed of the split", low=0)] = 0
    crop: Annotated[float, Bounds("Side of a single-cell crop", "µm", low=1, high=1000)] = 27.0
    pixel_size: Annotated[
        float, Bounds("Side of a pixel; 0 takes the image's own", "µm", low=0, high=100)
    ] = 0.0
    annotator: Annotated[str, Bounds("Who reviewed the labels, for the provenance")] = ""
    force: Annotated[bool, Bounds("Replace an earlier export of the same format")] = False
