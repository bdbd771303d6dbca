"""Parameters of workflows that no method owns."""

from __future__ import annotations

from dataclasses import dataclass

from napari_wbc_nca.params import bounded


@dataclass(frozen=True)
class ReportParams:
    """What a report shows."""

    max_crops: int = bounded(60, "Largest number of pictures of cells of a type, an image", 0)
    max_fields: int = bounded(20, "Largest number of whole images that are shown", 0)
