"""Pictures of a report: crops of cells and whole images, as data that a page holds in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.ops.crops import crop_window, overlap, plane_index
from napari_wbc_nca.ops.outlines import trace_outlines

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.types import Image
    from napari_wbc_nca.workflow.cell_sources import ImageCells

LARGEST_FIELD = 1400
"""Side in pixels of the picture of a whole image."""
_QUALITY = 88
Outlines = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picture:
    """Picture with outlines over it.

    Attributes
    ----------
    source
        ``data:`` address of a JPEG.
    width, height
        In pixels of the image.
    outlines
        SVG path of each outline, in pixels of the image, and its colour ``#rrggbb``.
    labels
        Place ``x, y`` in pixels, and text of each label.
    """

    source: str
    width: int
    height: int
    outlines: Outlines = ()
    labels: tuple[tuple[float, float, int], ...] = ()


class Pictures:
    """Pictures of the cells of one image, which is read once.

    An ImageError, TableError or OSError says why there are none.

    Parameters
    ----------
    found
        Cells and where their image is.
    side
        Side of all crops in pixels.
    """

    def __init__(self, found: ImageCells, side: int) -> None:
        self._found, self._side = found, side
        self._labels = np.asarray(found.read_labels())
        self._planes: dict[tuple[int, ...], Image] = {}
        self._plane(self._indices()[0])

    def cell(self, label: int, colour: str) -> Picture:
        """Crop around a cell, with its outline."""
        row: Any = self._found.cells.loc[label]
        index = plane_index(row, self._labels.shape[:-2])
        origin = crop_window(row, self._side)
        inside, target = overlap(self._labels.shape[-2:], origin, self._side)
        mask = np.zeros((self._side, self._side), bool)
        mask[target] = self._labels[index][inside] == label
        path = svg_path(mask)
        return self._crop(index, inside, target, ((path, colour),) if path else ())

    def place(self, y: float, x: float) -> Picture:
        """Crop around a place where there may be a cell, of a single plane."""
        corner = {"box_y0": y, "box_y1": y, "box_x0": x, "box_x1": x}
        inside, target = overlap(
            self._labels.shape[-2:], crop_window(corner, self._side), self._side
        )
        return self._crop(self._indices()[0], inside, target, ())

    def is_cell(self, y: float, x: float) -> bool:
        """Return whether a place of a single plane lies on a cell."""
        plane = self._labels[self._indices()[0]]
        height, width = plane.shape
        return bool(plane[min(max(round(y), 0), height - 1), min(max(round(x), 0), width - 1)])

    def field(self, colours: Mapping[int, str]) -> Picture | None:
        """Return the picture of the whole image with all outlines; None of a stack."""
        if any(n > 1 for n in self._labels.shape[:-2]):
            return None
        index = self._indices()[0]
        image, labels = self._plane(index), self._labels[index]
        step = max(1, ceil(max(labels.shape) / LARGEST_FIELD))
        rgb = np.asarray(to_rgb(image.pixels[::step, ::step], image.contrast)).round()
        outlines = tuple(
            (_path([ring for piece in pieces for ring in piece]), colours.get(label, "#ffffff"))
            for label, pieces in trace_outlines(labels).items()
        )
        height, width = labels.shape
        cells = self._found.cells[["box_x0", "box_y0"]].astype(float)
        numbers = tuple((x, y, int(label)) for label, x, y in cells.itertuples())
        return Picture(_data(rgb.astype(np.uint8)), width, height, outlines, numbers)

    def _indices(self) -> list[tuple[int, ...]]:
        return list(np.ndindex(*self._labels.shape[:-2]))

    def _plane(self, index: tuple[int, ...]) -> Image:
        if index not in self._planes:
            self._planes = {index: self._found.read_image(index)}  # one at a time
        return self._planes[index]

    def _crop(
        self,
        index: tuple[int, ...],
        inside: Any,
        target: Any,
        outlines: tuple[tuple[str, str], ...],
    ) -> Picture:
        image = self._plane(index)
        out = np.full((self._side, self._side, 3), 255, np.uint8)
        out[target] = np.asarray(to_rgb(image.pixels[inside], image.contrast)).round()
        return Picture(_data(out), self._side, self._side, outlines)


def svg_path(mask: npt.NDArray[np.bool_]) -> str:
    """Outline of a mask ``(h, w)`` as the path of an SVG, along the edges of pixels.

    Examples
    --------
    >>> svg_path(np.array([[False, True]]))
    'M1 0H2V1H1Z'
    """
    return _path(
        [ring for piece in trace_outlines(mask.astype(np.uint8)).get(1, []) for ring in piece]
    )


def _path(rings: list[npt.NDArray[Any]]) -> str:
    """Return the path of rings that turn at right angles."""
    parts = []
    for ring in rings:
        start = ring[0]
        steps = (f"V{y}" if x == before[1] else f"H{x}" for before, (y, x) in pairwise(ring))
        parts.append(f"M{start[1]} {start[0]}{''.join(steps)}Z")
    return "".join(parts)


def _data(rgb: npt.NDArray[np.uint8]) -> str:
    from PIL import Image as Pictures

    stream = io.BytesIO()
    Pictures.fromarray(rgb).save(stream, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
