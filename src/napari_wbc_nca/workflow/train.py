"""Train a model of any method from labelled data, or teach one further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io import datasets, weights, zoo
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.further import further, onward
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.workflow.finish import finish

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint, Progress

_FEW = 5
"""Cells of a class below which a note says that they are few."""


def train(
    method: str,
    data: str | Path | Sequence[datasets.Sample],
    *,
    init: str | Path | Checkpoint | None = None,
    teach: bool = False,
    state_file: str | Path | None = None,
    **params: Any,
) -> Checkpoint:
    """Train a model from classes, boxes or points, and from masks where there are any.

    Parameters
    ----------
    method
        Name in the registry, such as ``nca_wss``.
    data
        Whatever :func:`napari_wbc_nca.io.datasets.read` takes, or samples.
    init
        Model to start from; its classes, architecture and normalisation are kept, and so is what
        CellMixer takes for a cell; see :func:`napari_wbc_nca.methods.further.onward`.
    teach
        Teach `init` further by a few corrected pictures: gently, and at its own scale. See
        :func:`napari_wbc_nca.methods.further.further`.
    state_file
        Written after each epoch; training goes on from it where it exists. Remove it when the
        model is kept.
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
    start = zoo.resolve(init) if isinstance(init, str | Path) else init
    if teach and start is None:
        raise ValueError("there is no model to teach further; give one as init")
    chosen: Any
    if start is None:
        chosen = from_mapping(known.train_params, params)
    else:
        chosen = further(start, params) if teach else onward(method, start, params)
    samples = datasets.read(data) if isinstance(data, str | Path) else data
    state = None if state_file is None else Path(state_file)
    return finish(run(Request(method, chosen, start, state), samples))


@dataclass(frozen=True, eq=False)
class Request:
    """A training that is asked for.

    Attributes
    ----------
    method
        Name in the registry.
    params
        Training parameters of that method.
    init
        Model to start from; None starts anew.
    state_file
        Written after each epoch; training goes on from it where it exists.
    """

    method: str
    params: Any
    init: Checkpoint | None = None
    state_file: Path | None = None


def run(
    request: Request, samples: Sequence[datasets.Sample]
) -> Generator[Progress, None, Checkpoint]:
    """Train step by step; as :func:`train`."""
    if request.init is not None and request.init.method not in _kin(request.method):
        raise ValueError(
            f"{request.init.name} is a model of {request.init.method}, and {request.method} cannot "
            f"start from it; choose {request.init.method}, or another model"
        )
    work = registry.load(registry.get(request.method).train)
    trained: Checkpoint = yield from work(
        samples, request.params, init=request.init, state_file=request.state_file
    )
    return trained


def _kin(method: str) -> tuple[str, ...]:
    """Methods whose models `method` can start from."""
    automata = ("nca_wss", "nca_max")
    return automata if method in automata else (method,)


def keep(trained: Checkpoint, name: str) -> Checkpoint:
    """Keep a trained model among the user's own under `name`; never in place of another.

    Returns
    -------
    Checkpoint
        As it was written, with its hash.

    Raises
    ------
    ValueError
        When the name is taken or none, or the file cannot be written.
    """
    return weights.load(zoo.register(replace(trained, name=name), name))


def free_name(wanted: str) -> str:
    """`wanted`, or with the first number that makes it no model's name yet."""
    taken = set(zoo.names())
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def notes(samples: Sequence[datasets.Sample]) -> list[str]:
    """What a person should know of the data before they are learnt from; often nothing."""
    counts = Counter(name for sample in samples for name in sample.names)
    cells = {name: n for name, n in counts.items() if name != datasets.NONE}
    boxed = {name for sample in samples if sample.boxes is not None for name in sample.names}
    found = [
        f"There {_are(n, 'cell' if name in boxed else 'picture')} of {name}: label some more, "
        "from other pictures where you can."
        for name, n in sorted(cells.items())
        if n < _FEW
    ]
    if len(cells) == 1:
        (only,) = cells
        found.append(f"All cells are {only}: the model cannot learn to tell it from other types.")
    return found


def _are(count: int, noun: str) -> str:
    """How many there are, as a sentence goes on."""
    return f"is 1 {noun}" if count == 1 else f"are {count} {noun}s"
