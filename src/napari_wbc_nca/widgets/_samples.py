"""The bundled smears, under File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io.bundled import sample_path
from napari_wbc_nca.io.images import read

if TYPE_CHECKING:
    from napari.types import LayerDataTuple


def first_smear() -> list[LayerDataTuple]:
    """A smear with a neutrophil."""
    return [_layer("smear-1")]


def second_smear() -> list[LayerDataTuple]:
    """A smear of another laboratory."""
    return [_layer("smear-2")]


def typed_field() -> list[LayerDataTuple]:
    """A field with white blood cells of two types."""
    return [_layer("typed")]


def _layer(name: str) -> tuple[Any, dict[str, Any], str]:
    return read(sample_path(name)).pixels, {"name": name}, "image"
