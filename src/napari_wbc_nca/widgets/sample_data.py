"""Open the bundled smears and synthetic cultures, under File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wbc_nca.datasets.synthetic import KINDS, culture
from napari_wbc_nca.io.images import read, sample_path

if TYPE_CHECKING:
    from napari.types import LayerDataTuple

_SHAPE = (384, 512)


def first_smear() -> list[LayerDataTuple]:
    """Open a smear with a neutrophil."""
    return [_layer("smear-1")]


def second_smear() -> list[LayerDataTuple]:
    """Open a smear of another laboratory."""
    return [_layer("smear-2")]


def typed_field() -> list[LayerDataTuple]:
    """Open a field with white blood cells of two types."""
    return [_layer("typed")]


def populations() -> list[LayerDataTuple]:
    """Make a culture of each population, such as CellMixer is trained on."""
    return [
        (culture((kind,), _SHAPE, seed).pixels, {"name": kind}, "image")
        for seed, kind in enumerate(KINDS)
    ]


def mixed_culture() -> list[LayerDataTuple]:
    """Make a culture of mixed populations, with the true class of each pixel."""
    made = culture(tuple(KINDS), _SHAPE, len(KINDS))
    known = {"name": f"classes: {', '.join(KINDS)}", "visible": False}
    return [(made.pixels, {"name": "culture"}, "image"), (made.classes, known, "labels")]


def _layer(name: str) -> tuple[Any, dict[str, Any], str]:
    return read(sample_path(name)).pixels, {"name": name}, "image"
