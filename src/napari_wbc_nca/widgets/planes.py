"""Planes of a layer, and where each of them lies in the world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pint
from napari.layers import Image as ImageLayer
from napari.utils.notifications import show_info
from napari.utils.transforms import Affine

from napari_wbc_nca.io.images import from_other_colours, turn_as_stated
from napari_wbc_nca.io.pixels import as_array, side
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Labels, Layer

Index = tuple[int, ...]
"""Position of a plane along the leading axes of a layer; empty for a single plane."""


@dataclass(frozen=True, eq=False)
class ImagePlanes:
    """Planes of an image layer, in any order of channels.

    `pixels` are ``(..., Y, X)`` or ``(..., Y, X, C)`` of level 0, `lead` the lengths of the leading
    axes (time, Z), `channel` the layer's axis of channels, counted from its last; None for RGB
    layers and single channels.
    """

    layer: Layer
    pixels: Any
    lead: Index
    channel: int | None

    @property
    def axes(self) -> list[int]:
        """Axes of the layer that results have too: all but the channels."""
        ndim = self.layer.ndim
        return [axis for axis in range(ndim) if axis - ndim != self.channel]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of each plane."""
        height, width = self.pixels.shape[len(self.lead) :][:2]
        return int(height), int(width)

    def planes(self) -> Iterator[Index]:
        """Iterate over the positions of all planes."""
        yield from np.ndindex(*self.lead)

    def image(self, index: Index) -> Image:
        """Return the plane at `index`, still lazy where the layer is."""
        name = "-".join([self.layer.name, *(str(i) for i in index)])
        return Image(self.pixels[index], name, pixel_size(self), self.layer.source.path)


def source_of(layer: Layer) -> ImagePlanes:
    """Sort the axes of an image layer into leading axes, plane and channels.

    An axis of three or four before or after the plane holds channels: ``(3, Y, X)`` is an RGB
    image, not a stack of three. Colours that cannot be converted to RGB raise an ImageError.
    """
    # A zarr array becomes a dask array: indexing it would read it whole.
    pixels = as_array(layer.data[0] if layer.multiscale else layer.data)
    if layer.rgb:
        pixels = from_other_colours(pixels, layer.source.path)
        return ImagePlanes(layer, pixels, pixels.shape[:-3], None)
    if pixels.ndim >= 3 and pixels.shape[-1] in (3, 4):
        return ImagePlanes(layer, pixels, pixels.shape[:-3], -1)
    if pixels.ndim >= 3 and pixels.shape[-3] in (3, 4):
        return ImagePlanes(layer, np.moveaxis(pixels, -3, -1), pixels.shape[:-3], -3)
    return ImagePlanes(layer, pixels, pixels.shape[:-2], None)


def turn_layer(layer: Layer) -> None:
    """Turn an image as its file states, which napari shows as it is stored."""
    if isinstance(layer, ImageLayer) and not layer.multiscale:
        turned = turn_as_stated(layer.data, layer.source.path)
        if turned is not None:
            layer.data = turned
            show_info(f"{layer.name} is turned as its file states")


def current_index(source: ImagePlanes, point: Sequence[float]) -> Index:
    """Return the index of the plane nearest to `point`, the viewer's sliders in the world."""
    inside = source.layer.world_to_data(tuple(point)[-source.layer.ndim :])
    return tuple(
        int(np.clip(round(at), 0, length - 1))
        for at, length in zip(inside, source.lead, strict=False)
    )


def pixel_size(source: ImagePlanes) -> float | None:
    """Return the side of a pixel in µm; None without a unit of length, or for no microscope's."""
    layer = source.layer
    try:
        sides = [
            float(abs(layer.scale[axis]) * (1 * layer.units[axis]).to("um").magnitude)
            for axis in source.axes[-2:]
        ]
    except pint.DimensionalityError:
        return None
    return side(*sides)


OURS = "napari_wbc_nca"
"""Key in the metadata of layers that we made."""
SHOWS = "shows"
"""Key in them of what a layer's integers are: ``cell``, ``nucleus``, ``class`` and so on."""


def content_of(layer: Layer) -> str:
    """Return what the integers of a Labels layer are: cells, where the metadata do not say."""
    return str(layer.metadata.get(OURS, {}).get(SHOWS, "cell"))


def placement(source: ImagePlanes, index: Index | None, *, flat: bool = False) -> dict[str, Any]:
    """Return the keyword arguments that put a result where its plane of `source` is.

    A result ``(1, ..., Y, X)`` belongs to the plane at `index`, one with all planes to None; a
    `flat` one ``(Y, X)`` is to be seen on all planes.
    """
    layer, keep = source.layer, source.axes[-2:] if flat else source.axes
    move = Affine(layer.scale, layer.translate, rotate=layer.rotate, shear=layer.shear)
    shift = np.zeros(layer.ndim)
    if index is not None:
        shift[: len(index)] = index
    square = np.ix_(keep, keep)
    skew = np.eye(layer.ndim)
    skew[np.triu_indices(layer.ndim, 1)] = layer.shear
    return {
        "scale": layer.scale[keep],
        "translate": np.asarray(move(shift))[keep],
        "rotate": layer.rotate[square],
        "shear": skew[square],
        "affine": layer.affine.affine_matrix[np.ix_([*keep, layer.ndim], [*keep, layer.ndim])],
        "units": [layer.units[axis] for axis in keep],
        "axis_labels": [layer.axis_labels[axis] for axis in keep],
    }


def to_plane(
    source: ImagePlanes, other: Layer, positions: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Convert positions ``(N, D)`` in data of another layer to ``(N, lead + 2)`` of `source`.

    These are leading axes, then y and x in pixels. Axes that `other` does not have are NaN: such a
    position belongs to all planes.
    """
    layer, axes, found = source.layer, source.axes, []
    for position in positions:
        world = np.asarray(other.data_to_world(position), float)[-layer.ndim :]
        missing = layer.ndim - len(world)
        inside = np.asarray(layer.world_to_data((0.0,) * missing + tuple(world)), float)
        inside[:missing] = np.nan
        found.append(inside[axes])
    return np.array(found, float).reshape(-1, len(axes))


def on_plane(positions: npt.NDArray[np.float64], index: Index) -> npt.NDArray[np.bool_]:
    """Return which positions of :func:`to_plane` lie on the plane at `index`."""
    lead = positions[:, : len(index)]
    inside = np.logical_or(np.isnan(lead), np.round(lead) == np.asarray(index))
    return np.asarray(inside.all(axis=1), bool)


def inside(source: ImagePlanes, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which positions of :func:`to_plane` lie on a pixel of their plane."""
    pixels = np.floor(positions[:, len(source.lead) :] + _HALF)
    return np.asarray(((pixels >= 0) & (pixels < source.shape)).all(axis=1), bool)


@dataclass(frozen=True, eq=False)
class Grid:
    """The pixels of an image's plane as places on a plane of another layer.

    Pixel ``p`` of the image lies at ``matrix @ p + offset``; these are ``(2, 2)`` and ``(2,)``.
    """

    shape: tuple[int, int]
    matrix: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a plane of `shape` lies pixel by pixel on the image."""
        corners = np.array([[y, x] for y in (0, self.shape[0]) for x in (0, self.shape[1])], float)
        apart = corners @ self.matrix.T + self.offset - corners
        return shape == self.shape and bool((np.abs(apart) < _HALF).all())

    def resample(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `plane` on the pixels of the image: each the nearest one, 0 outside."""
        out = np.zeros(self.shape, plane.dtype)
        columns = np.arange(self.shape[1])
        for row in range(self.shape[0]):  # row by row: places of all pixels take much memory
            at = np.outer(self.matrix[:, 0], np.full(columns.size, row))
            at += np.outer(self.matrix[:, 1], columns) + self.offset[:, None]
            y, x = np.floor(at + _HALF).astype(np.int64)
            inside = (y >= 0) & (y < plane.shape[0]) & (x >= 0) & (x < plane.shape[1])
            out[row, inside] = plane[y[inside], x[inside]]
        return out


_HALF = 0.5
"""Part of a pixel by which two grids may lie apart and still have the same nearest pixels."""


def grid_of(source: ImagePlanes, index: Index, labels: Layer) -> Grid:
    """Return where the pixels of an image's plane lie on the planes of a Labels layer.

    Scale, translation, rotation, shear and units of both layers count.
    """
    layer, ndim = source.layer, labels.ndim
    rates = _unit_ratios(source, labels)

    def place(y: float, x: float) -> npt.NDArray[np.float64]:
        inside = np.zeros(layer.ndim)
        inside[source.axes] = [*index, y, x]
        world = np.asarray(layer.data_to_world(inside), float)[source.axes][-ndim:] * rates
        missing = (0.0,) * (ndim - len(world))
        return np.asarray(labels.world_to_data((*missing, *world)), float)[-2:]

    offset = place(0, 0)
    return Grid(source.shape, np.stack([place(1, 0) - offset, place(0, 1) - offset], 1), offset)


def _unit_ratios(source: ImagePlanes, labels: Layer) -> npt.NDArray[np.float64]:
    """Return units of the labels in one unit of the image, by axis; 1 where they are of no kind."""
    units = [source.layer.units[axis] for axis in source.axes][-labels.ndim :]
    pairs = zip(units, labels.units[-len(units) :], strict=True)
    try:
        return np.array([float((1 * one).to(other).magnitude) for one, other in pairs])
    except pint.DimensionalityError:  # napari shows such layers as if their units were the same
        return np.ones(len(units))


def boxes_in(source: ImagePlanes, shapes: Layer) -> npt.NDArray[np.float64]:
    """Return the boxes around the shapes of a layer, in pixels of `source`.

    They are ``(N, lead + 4)``: leading axes as in :func:`to_plane`, then y0, x0, y1, x1.
    """
    lead = len(source.lead)
    rows = []
    for vertices in shapes.data:
        corners = to_plane(source, shapes, np.asarray(vertices, float))
        low, high = corners[:, lead:].min(axis=0), corners[:, lead:].max(axis=0)
        rows.append(np.concatenate([corners[0, :lead], low, high]))
    return np.array(rows, float).reshape(-1, lead + 4)


def labels_source(layer: Labels) -> ImagePlanes:
    """Return the planes of a Labels layer: all axes before the last two are leading ones."""
    return ImagePlanes(layer, layer.data, tuple(layer.data.shape[:-2]), None)
