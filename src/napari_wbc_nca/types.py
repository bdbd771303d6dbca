"""Data that the packages exchange: image, checkpoint, cell, segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


@dataclass(frozen=True)
class Contrast:
    """Meaning of an image's numbers: the one shown as 255, and the alpha of an opaque pixel."""

    white: float = 255.0
    opaque: float = 255.0


@dataclass(frozen=True, eq=False)
class Image:
    """One plane to be segmented.

    Attributes
    ----------
    pixels
        ``(Y, X)`` or ``(Y, X, C)`` as read; a NumPy, dask or zarr array. ``(Y, X, 1)``,
        ``(Y, X, 3)`` or ``(Y, X, 4)``, NumPy or dask, once
        :func:`~napari_wbc_nca.io.images.prepare` has checked it.
    name
        Stem under which outputs are filed.
    pixel_size
        Side of a pixel in µm; None where unknown.
    source
        File the pixels came from; None for arrays in memory.
    contrast
        Meaning of the whole image's numbers; None where the image was not checked. A part of a
        checked image keeps it.
    """

    pixels: Any
    name: str = "image"
    pixel_size: float | None = None
    source: str | None = None
    contrast: Contrast | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Trained weights and all that is needed to run them.

    Attributes
    ----------
    method
        Name in the registry of methods.
    architecture
        Keyword arguments of the method's network.
    weights
        Parameter name to float32 array.
    classes
        Class names in the order of the network's outputs.
    diameter
        Diameter in model pixels that a typical white blood cell has.
    pixel_size
        Side of a model pixel in µm.
    window
        Side of the window cut around a cell, in model pixels.
    normalisation
        Name of the stain normalisation, and its constants.
    card
        Data, licence, seed, epochs, metrics.
    name
        Name under which the model is offered.
    sha256
        Hash of the file the weights came from; empty when never saved.
    """

    method: str
    architecture: Mapping[str, Any]
    weights: Mapping[str, npt.NDArray[np.float32]]
    classes: tuple[str, ...]
    diameter: float
    pixel_size: float
    window: int
    normalisation: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    name: str = "unnamed"
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Cell:
    """Segmented cell, in pixels of its image.

    Attributes
    ----------
    centre
        Detected centre ``(y, x)``.
    origin
        Row and column of the masks' first pixel in the image.
    mask, nucleus
        ``(h, w)`` bool; the nucleus lies inside the mask.
    response
        ``(h, w)`` float32 in 0–1: likelihood that a pixel is the cell's; decides overlaps.
    label_class
        Class name.
    probabilities
        Class name to probability, in the checkpoint's order.
    confidence
        Of mask and class, 0–1; cells of low confidence come first in a review.
    maps
        Name to ``(h, w)`` float32 map, where maps were requested.
    measures
        Further columns of the table of cells: name to number.
    """

    centre: tuple[float, float]
    origin: tuple[int, int]
    mask: npt.NDArray[np.bool_]
    nucleus: npt.NDArray[np.bool_]
    response: npt.NDArray[np.float32]
    label_class: str
    probabilities: Mapping[str, float]
    confidence: float
    maps: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """Place where a cell was nearly found, which a reviewer should check.

    Attributes
    ----------
    y, x
        Position in pixels of the image.
    score
        How likely a cell is there, 0-1, as the model gives it.
    reason
        Why it is no cell of the result, in words.
    """

    y: float
    x: float
    score: float
    reason: str


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result of one image.

    Attributes
    ----------
    labels
        Name to ``(Y, X)`` uint32 label image: ``cell`` and ``nucleus`` with the same integers.
        A zarr array when the input was lazy.
    cells
        One row a cell: label, class, class_probability, confidence, centroid_y, centroid_x,
        box_y0, box_x0, box_y1, box_x1, area_px, nucleus_area_px, area_um2 (NaN where the
        pixel size is unknown), ``p_CLASS`` for every class, and measures of the method, of `nca`
        ``contrast`` of the outline and ``rotation_agreement``.
    maps
        Name to ``(Y, X)`` float32 map.
    provenance
        Settings and versions that reproduce the result; ``likely_missed`` lists the fields of
        each `Candidate`, where there are any.
    kept
        State of the method for updating a part of the result; never saved.
    """

    labels: Mapping[str, Any]
    cells: pd.DataFrame
    maps: Mapping[str, Any]
    provenance: Mapping[str, Any]
    kept: Any = None


ChannelOrder = Literal["auto", "rgb", "bgr"]
Device = Literal["auto", "cpu", "cuda", "mps"]
