"""Parameters of the foreground; free of heavy imports, so that forms load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_wbc_nca.params import bounded

Response = Literal["edges", "contrast", "both"]
Threshold = Literal["otsu", "otsu_log", "triangle", "fixed", "adaptive"]


@dataclass(frozen=True)
class ForegroundParams:
    """Segmentation of cells from the empty background; lengths are in pixels of the picture."""

    response: Response = bounded(
        "edges",
        "Response to cells: 'edges' is the paper's Sobel magnitude, 'contrast' the "
        "distance from the background's colour, 'both' the larger of the two",
    )
    smooth: float = bounded(1.0, "Gaussian before the Sobel filter", 0, 100, "px")
    resmooth: float = bounded(1.5, "Gaussian after the Sobel filter", 0, 100, "px")
    erode: int = bounded(5, "Side of the square that erodes; 1 does not", 1, 99, "px")
    threshold: Threshold = bounded(
        "otsu",
        "One threshold for all of the picture, by Otsu, by Otsu of the logarithm (where some "
        "cells are far darker than others), by the triangle rule or 'fixed'; 'adaptive' "
        "compares each pixel with its surroundings",
    )
    factor: float = bounded(0.9, "Factor of the threshold by Otsu or triangle", 0.01, 10)
    level: float = bounded(0.02, "Threshold where it is fixed", 0, 10, "of full brightness")
    block: int = bounded(101, "Surroundings of the adaptive threshold", 3, 9999, "px")
    offset: float = bounded(
        0.01, "Offset of the adaptive threshold from the surroundings", -1, 1, "of full brightness"
    )
    fill: float = bounded(30.0, "Diameter up to which holes are filled", 0, 10_000, "px")
    smallest: float = bounded(8.0, "Diameter below which pieces are dropped", 0, 10_000, "px")
