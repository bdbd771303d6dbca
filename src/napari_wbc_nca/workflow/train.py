"""Train a model of any method from weakly labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io import datasets, zoo
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.workflow.finish import finish

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint


def train(
    method: str,
    data: str | Path | Sequence[datasets.Sample],
    *,
    init: str | Path | Checkpoint | None = None,
    state_file: str | Path | None = None,
    **params: Any,
) -> Checkpoint:
    """Train a model from classes, boxes or points; no masks.

    Parameters
    ----------
    method
        Name in the registry, such as ``nca_wss``.
    data
        Whatever :func:`napari_wbc_nca.io.datasets.read` takes, or samples.
    init
        Model to start from; its classes, architecture and normalisation are kept.
    state_file
        Written after each epoch; training goes on from it where it exists.
    **params
        Fields of the method's training parameters.

    Returns
    -------
    Checkpoint
        To be used at once, or kept by :func:`napari_wbc_nca.io.weights.save`.

    Raises
    ------
    ValueError
        For an unknown method or parameter, and for data or a model that cannot be used.

    Examples
    --------
    >>> train("nca_wss", "crops", epochs=16).classes  # doctest: +SKIP
    ('lymphocyte', 'monocyte', 'none')
    """
    known = registry.get(method)
    chosen: Any = from_mapping(known.train_params, params)
    samples = datasets.read(data) if isinstance(data, str | Path) else data
    start = zoo.resolve(init) if isinstance(init, str | Path) else init
    state = None if state_file is None else Path(state_file)
    steps = registry.load(known.train)(samples, chosen, init=start, state_file=state)
    trained: Checkpoint = finish(steps)
    return trained
