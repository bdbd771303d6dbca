"""A field cut into tiles whose cores partition it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes
    ----------
    core
        Rows and columns of the field that this tile answers for.
    halo
        Rows and columns to read: the core and its surroundings, as far as the field goes.
    """

    core: Slices
    halo: Slices

    @property
    def inner(self) -> Slices:
        """The core within the halo."""
        y, x = (
            slice(core.start - halo.start, core.stop - halo.start)
            for core, halo in zip(self.core, self.halo, strict=True)
        )
        return y, x


def tiles(shape: tuple[int, int], tile: int, halo: int) -> Iterator[Tile]:
    """Tiles of a ``(Y, X)`` field in raster order.

    Parameters
    ----------
    shape
        Height and width of the field in pixels.
    tile
        Side of a core in pixels; the last row and column may be smaller.
    halo
        Pixels read beyond the core on every side, clipped at the field's border.

    Raises
    ------
    ValueError
        When `tile` is not positive or `halo` is negative.

    Examples
    --------
    >>> [t.core[1] for t in tiles((4, 7), tile=4, halo=1)]
    [slice(0, 4, None), slice(4, 7, None)]
    """
    if tile < 1 or halo < 0:
        raise ValueError(f"tile is {tile} and halo {halo}; give tile ≥ 1 and halo ≥ 0")
    for y in _spans(shape[0], tile, halo):
        for x in _spans(shape[1], tile, halo):
            yield Tile((y[0], x[0]), (y[1], x[1]))


def _spans(length: int, tile: int, halo: int) -> Iterator[Slices]:
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        yield slice(start, stop), slice(max(0, start - halo), min(length, stop + halo))
