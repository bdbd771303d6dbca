"""Nuclei, contributions and centroids of a result that follow the classes of its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.layers import Labels, Points
from napari.utils.colormaps import DirectLabelColormap

from napari_wbc_nca.widgets.class_colours import HIDDEN, NEW, as_hex, layer_colours
from napari_wbc_nca.widgets.features_table import UNKNOWN, with_index
from napari_wbc_nca.widgets.missed_places import MISSED, update_places
from napari_wbc_nca.widgets.planes import content_of

if TYPE_CHECKING:
    from napari.layers import Layer

_LINKS: WeakKeyDictionary[Labels, list[Callable[[], None]]] = WeakKeyDictionary()
"""What is called when the features of a layer of cells have changed."""
_FOLLOWING = ("nucleus", "contribution", "pca")
"""Label images whose labels take the classes of the cells."""


def link_layers(cells: Labels, others: Iterable[Layer]) -> None:
    """Have other layers of a result follow the classes and colours of `cells` from now on.

    Of `others`, labels take the class of the cell that they lie in, and points that of the cell in
    the column ``index`` of their features. Those of deleted cells are hidden until it is undone,
    and points of likely missed cells while a cell lies there or somebody dismissed them.
    """
    cells = getattr(cells, "__wrapped__", cells)  # plugins get proxies
    known = cells in _LINKS
    _LINKS[cells] = [_follower(cells, layer) for layer in others if _can_follow(cells, layer)]
    if not known:
        cells.events.features.connect(_on_features)


def _can_follow(cells: Labels, layer: Layer) -> bool:
    """Return whether a layer shows points, or labels that follow `cells`, in memory."""
    if isinstance(layer, Points):
        return True
    if not isinstance(layer, Labels) or content_of(layer) not in _FOLLOWING:
        return False
    known, other = cells.data, layer.data
    arrays = isinstance(other, np.ndarray) and isinstance(known, np.ndarray)
    return arrays and other.shape == known.shape


def _on_features(event: Any) -> None:
    for update in _LINKS.get(event.source, ()):
        update()


def _follower(cells: Labels, layer: Layer) -> Callable[[], None]:
    """Return the function that brings `layer` up to date; it keeps neither layer alive."""
    points = update_places if content_of(layer) == MISSED else _update_points
    update = _LabelsUpdate(layer) if isinstance(layer, Labels) else points
    known, target = ref(cells), ref(layer)

    def run() -> None:
        source, other = known(), target()
        if source is not None and other is not None:
            update(source, other)

    return run


def _update_points(cells: Labels, points: Points) -> None:
    """Give points the class and colour of their cells; hide those of cells that are gone."""
    if "index" not in points.features or not len(points.features):
        return
    classes = dict(zip(cells.features["index"], cells.features["class"], strict=True))
    labels = points.features["index"]
    there = labels.isin(classes).to_numpy()
    names = np.where(there, labels.map(classes), points.features["class"])
    if not (names == points.features["class"].to_numpy()).all():
        points.features = points.features.assign(**{"class": names})
        colours = layer_colours(cells)
        points.face_color = [colours.get(name, NEW) for name in names]
    shown = there | labels.isna().to_numpy()  # points that were just set have no cell yet
    if not np.array_equal(points.shown, shown):
        points.shown = shown


class _LabelsUpdate:
    """Gives nuclei the class and colour of the cells that they lie in, other labels by number."""

    def __init__(self, layer: Labels) -> None:
        self._pixels: tuple[Any, Any] | None = None
        self._shown: tuple[Any, ...] | None = None
        for name in ("paint", "set_data"):
            getattr(layer.events, name).connect(self._forget)

    def __call__(self, cells: Labels, layer: Labels) -> None:
        """Bring the features and the colours of `layer` up to date."""
        places, pixels = self._places(layer)
        nuclei = content_of(layer) == "nucleus"
        under = cells.data.reshape(-1)[pixels] if nuclei else places
        labels, names = (cells.features[name].to_numpy() for name in ("index", "class"))
        shown = (under, labels, names, cells.colormap, layer.colormap, layer.features)
        if self._shown is not None and all(map(_equal, shown, self._shown)):
            return
        colours = layer_colours(cells)
        if not colours or not isinstance(layer.colormap, DirectLabelColormap):
            return
        known = dict(zip(labels.tolist(), names.tolist(), strict=True))
        pairs = zip(places.tolist(), under.tolist(), strict=True)
        classes = {label: known[cell] for label, cell in pairs if cell in known}
        self._show(layer, places.tolist(), classes, colours)
        self._shown = (*shown[:4], layer.colormap, layer.features)

    def _show(
        self,
        layer: Labels,
        places: list[int],
        classes: Mapping[int, str],
        colours: Mapping[str, str],
    ) -> None:
        """Give the labels at `places` the class of their cell, and hide those without one."""
        table = with_index(layer.features)
        names = [classes.get(label, UNKNOWN) for label in table["index"].tolist()]
        if "class" not in table or names != table["class"].tolist():
            layer.features = table.assign(**{"class": names})
        shown = {label: colours.get(name, NEW) for label, name in classes.items()}
        wanted = dict.fromkeys(places, HIDDEN) | shown
        known = {label: as_hex(colour) for label, colour in layer.colormap.color_dict.items()}
        if any(known.get(label) != colour for label, colour in wanted.items()):
            rest: dict[int | None, str] = {None: NEW, 0: HIDDEN}
            layer.colormap = DirectLabelColormap(color_dict=rest | wanted)

    def _places(self, layer: Labels) -> tuple[Any, Any]:
        """Return each label and one of its pixels, counted row by row: the middle one."""
        if self._pixels is None:
            values = layer.data.reshape(-1)
            pixels = np.flatnonzero(values)
            order = np.argsort(values[pixels], kind="stable")
            labels, first, count = np.unique(
                values[pixels][order], return_index=True, return_counts=True
            )
            self._pixels = labels, pixels[order][first + count // 2]
        return self._pixels

    def _forget(self, event: Any = None) -> None:
        self._pixels = self._shown = None


def _equal(first: Any, second: Any) -> bool:
    """Whether two arrays have the same values, or two other things are one."""
    if isinstance(first, np.ndarray):
        return isinstance(second, np.ndarray) and np.array_equal(first, second)
    return first is second
