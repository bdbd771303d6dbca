"""Segment, type and correct white blood cells with weakly supervised cellular automata.

>>> import napari_wbc_nca as wbc
>>> model = wbc.load_model("wbc-smear")  # doctest: +SKIP
>>> found = wbc.segment("smear.jpg", model)  # doctest: +SKIP
>>> found.cells[["label", "class", "area_px"]]  # doctest: +SKIP

Each name is imported when it is first used, so that this package loads neither torch nor Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wbc_nca.evaluation.evaluate import evaluate
    from napari_wbc_nca.models.build import load_model
    from napari_wbc_nca.workflow.adapt import adapt
    from napari_wbc_nca.workflow.export import export, import_labels
    from napari_wbc_nca.workflow.report import report
    from napari_wbc_nca.workflow.segment import segment
    from napari_wbc_nca.workflow.train import train

__all__ = [
    "adapt",
    "evaluate",
    "export",
    "import_labels",
    "load_model",
    "report",
    "segment",
    "train",
]

_TARGETS = {
    "adapt": "napari_wbc_nca.workflow.adapt:adapt",
    "evaluate": "napari_wbc_nca.evaluation.evaluate:evaluate",
    "export": "napari_wbc_nca.workflow.export:export",
    "import_labels": "napari_wbc_nca.workflow.export:import_labels",
    "load_model": "napari_wbc_nca.models.build:load_model",
    "report": "napari_wbc_nca.workflow.report:report",
    "segment": "napari_wbc_nca.workflow.segment:segment",
    "train": "napari_wbc_nca.workflow.train:train",
}


def __getattr__(name: str) -> Any:
    """Import a public function, or read the version, at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-wbc-nca")
    if name not in _TARGETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_wbc_nca.methods.registry import load

    return load(_TARGETS[name])


def __dir__() -> list[str]:
    """Return public names, for completion."""
    return [*__all__, "__version__"]
