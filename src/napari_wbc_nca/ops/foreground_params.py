"""Parameters of the foreground; free of heavy imports, so that forms load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_wbc_nca.params import Bounds

Response = Literal["edges", "contrast", "both"]
Threshold = Literal["otsu", "otsu_log", "triangle", "fixed", "adaptive"]


@dataclass(frozen=True)
class ForegroundParams:
    """Segmentation of cells from the empty background; lengths are in pixels of the picture."""

    response: Annotated[
        Response,
        Bounds(
            "Response to cells: 'edges' is the paper's Sobel magnitude, 'contrast' the "
            "distance from the background's colour, 'both' the larger of the two"
        ),
    ] = "edges"
    smooth: Annotated[float, Bounds("Gaussian before the Sobel filter", "px", low=0, high=100)] = (
        1.0
    )
    resmooth: Annotated[float, Bounds("Gaussian after the Sobel filter", "px", low=0, high=100)] = (
        1.5
    )
    erode: Annotated[
        int, Bounds("Side of the square that erodes; 1 does not", "px", low=1, high=99)
    ] = 5
    threshold: Annotated[
        Threshold,
        Bounds(
            "One threshold for all of the picture, by Otsu, by Otsu of the logarithm (where some "
            "cells are far darker than others), by the triangle rule or 'fixed'; 'adaptive' "
            "compares each pixel with its surroundings"
        ),
    ] = "otsu"
    factor: Annotated[
        float, Bounds("Factor of the threshold by Otsu or triangle", low=0.01, high=10)
    ] = 0.9
    level: Annotated[
        float, Bounds("Threshold where it is fixed", "of full brightness", low=0, high=10)
    ] = 0.02
    block: Annotated[
        int, Bounds("Surroundings of the adaptive threshold", "px", low=3, high=9999)
    ] = 101
    offset: Annotated[
        float,
        Bounds(
            "How far a pixel exceeds its surroundings, adaptive",
            "of full brightness",
            low=-1,
            high=1,
        ),
    ] = 0.01
    fill: Annotated[
        float, Bounds("Diameter up to which holes are filled", "px", low=0, high=10_000)
    ] = 30.0
    smallest: Annotated[
        float, Bounds("Diameter below which pieces are dropped", "px", low=0, high=10_000)
    ] = 8.0
