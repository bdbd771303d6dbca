"""Measure both NCA methods by their papers' recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_wbc_nca.datasets.readers import read

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wbc_nca.datasets.samples import Sample

FIVE_TYPES = {
    "neutrophil_segmented": "neutrophil",
    "neutrophil_band": "neutrophil",
    **{name: name for name in ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")},
}


def read_crops(folder: Path, types: Mapping[str, str]) -> list[Sample]:
    """Read the crops of a folder whose class is one of `types`, under its name there."""
    samples = [sample for sample in read(folder) if sample.names[0] in types]
    return [replace(sample, names=(types[sample.names[0]],)) for sample in samples]
