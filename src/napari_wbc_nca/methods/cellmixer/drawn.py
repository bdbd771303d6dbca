"""Cells that somebody drew, or corrected: every pixel that was reviewed is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io.masks import read_drawn
from napari_wbc_nca.methods.cellmixer.boxes import Cut, around_box, pixels_of
from napari_wbc_nca.ops.mixing import IGNORED, Labels

if TYPE_CHECKING:
    from napari_wbc_nca.io.samples import Masks, Sample


def drawn_labels(
    sample: Sample,
    masks: Masks,
    numbers: Mapping[str, int],
    size: tuple[int, int],
    shape: tuple[int, ...],
    factor: float,
) -> Labels:
    """Class of each pixel of a field whose cells were drawn.

    Parameters
    ----------
    sample, masks
        The field, and its masks.
    numbers
        Class name to number; cells of other classes are ignored.
    size
        Height and width of the picture.
    shape
        The same in model pixels.
    factor
        Image pixels per model pixel.

    Returns
    -------
    ``(Y, X)`` uint8 in model pixels: 0 outside of all cells, `IGNORED` where nobody reviewed.
    """
    drawn = read_drawn(masks, size)
    found = np.zeros(size, np.uint8)
    for kind in set(sample.kinds):
        own = [n for n, k in zip(masks.labels, sample.kinds, strict=True) if k == kind]
        found[np.isin(drawn.cell, own)] = numbers.get(kind) or IGNORED
    found[drawn.ignored] = IGNORED
    return found[np.ix_(*(_nearest(*sides, factor) for sides in zip(size, shape, strict=True)))]


def drawn_cuts(
    sample: Sample,
    labels: Labels,
    numbers: Mapping[str, int],
    around: str,
    factor: float,
    side: int,
) -> Iterator[Cut]:
    """Cuts of a field whose cells were drawn, as :func:`~.boxes.cuts` makes them of boxes.

    All of it is known, so that cells of other classes keep theirs.
    """
    if around:
        yield Cut((slice(None), slice(None)), labels, numbers[around])
    for box, kind in zip(np.asarray(sample.boxes, float) / factor, sample.kinds, strict=True):
        if numbers.get(kind) and kind != around:
            part = around_box(box, labels.shape, side)
            yield Cut(part, labels[part].copy(), numbers[kind])


def without_ignored(cut: Cut, sample: Sample, factor: float) -> Cut:
    """`cut` without what teaches nothing: the boxes that the sample says to ignore."""
    if sample.ignored is None:
        return cut
    rows, columns = cut.part
    labels = cut.labels.copy()
    corner = np.tile([rows.start or 0, columns.start or 0], 2)
    for box in np.asarray(sample.ignored, float) / factor - corner:
        labels[pixels_of(box, labels.shape)] = IGNORED
    return cut._replace(labels=labels)


def _nearest(size: int, wanted: int, factor: float) -> npt.NDArray[np.intp]:
    """Pixel of a side of `size` that lies in the middle of each model pixel."""
    middles = ((np.arange(wanted) + 0.5) * factor).astype(np.intp)
    return np.asarray(middles.clip(0, size - 1))
