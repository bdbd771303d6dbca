"""Cells to review, and the Review dock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from reviewing import add_cells, close_dock, open_dock

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.review.dock import ReviewWidget


@pytest.fixture
def layer(viewer: Any) -> Any:
    return add_cells(viewer)


@pytest.fixture
def dock(viewer: Any, layer: Any) -> Iterator[ReviewWidget]:
    docked = open_dock(viewer)
    yield docked
    close_dock(viewer, docked)


@pytest.fixture
def column(layer: Any) -> Callable[[str], dict[int, Any]]:
    """Column of the layer's features by label."""
    return lambda name: dict(zip(layer.features["index"], layer.features[name], strict=True))
