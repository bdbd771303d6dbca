"""Train a model of any method from labelled data, or fine-tune one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.datasets.samples import image_id
from napari_wbc_nca.io import model_store, weights
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.finetune import continue_params, finetune_params
from napari_wbc_nca.params import as_dict, from_mapping
from napari_wbc_nca.progress import run_to_end

if TYPE_CHECKING:
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint


_FEW = 5
"""Cells of a class below which a note says that they are few."""


def train(
    method: str,
    data: str | Path | Sequence[readers.Sample],
    *,
    init: str | Path | Checkpoint | None = None,
    finetune: bool = False,
    state_file: str | Path | None = None,
    **params: Any,
) -> Checkpoint:
    """Train a model from classes, boxes or points, and from masks where there are any.

    Parameters
    ----------
    method
        Name in the registry, such as ``nca_wss``.
    data
        Whatever :func:`napari_wbc_nca.datasets.readers.read` takes, or samples.
    init
        Model to start from; its classes, architecture and normalisation are kept, and so is what
        CellMixer takes for a cell; see :func:`napari_wbc_nca.methods.finetune.continue_params`.
    finetune
        Fine-tune `init` with a few corrected images: at a low learning rate and its scale. See
        :func:`napari_wbc_nca.methods.finetune.finetune_params`.
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
    start = model_store.resolve(init) if isinstance(init, str | Path) else init
    if finetune and start is None:
        raise ValueError("there is no model to fine-tune; give one as init")
    chosen: Any
    if start is None:
        chosen = from_mapping(known.train_params, params)
    else:
        chosen = (
            finetune_params(start, params) if finetune else continue_params(method, start, params)
        )
    samples = readers.read(data) if isinstance(data, str | Path) else data
    state = None if state_file is None else Path(state_file)
    return run_to_end(run(Request(method, chosen, start, state), samples))


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
    request: Request, samples: Sequence[readers.Sample]
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
    # An evaluation says which of its images the model was trained on.
    earlier = request.init.card.get("images", []) if request.init else []
    images = {*earlier, *(image_id(readers.read_rgb(sample)) for sample in samples)}
    return replace(trained, card={**trained.card, "images": sorted(images)})


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
    return weights.load(model_store.register(replace(trained, name=name), name))


def free_name(wanted: str) -> str:
    """`wanted`, or with the first number that makes it no model's name yet."""
    taken = set(model_store.names())
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def notes(samples: Sequence[readers.Sample]) -> list[str]:
    """What a person should know of the data before they are learnt from; often nothing."""
    counts = Counter(name for sample in samples for name in sample.names)
    cells = {name: n for name, n in counts.items() if name != readers.NONE}
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


def training_folder() -> Path:
    """Folder of what is needed to go on with a training."""
    return model_store.user_folder().parent / "trainings"


def state_file_of(name: str) -> Path:
    """File in which the training of a model called `name` stands."""
    return training_folder() / f"{name}.state"


def stopped_trainings() -> list[str]:
    """Names of models whose training was stopped, or killed, before its end."""
    return sorted(path.stem for path in training_folder().glob("*.state"))


def start_training(name: str, request: Request, model: str, *, anew: bool = False) -> Request:
    """Make a training one that can be gone on with.

    A training of that name that was stopped goes on, by the parameters it was begun with.

    Parameters
    ----------
    name
        Name of the model to be.
    request
        What is asked for.
    model
        Name or file of the model it starts from; empty for none.
    anew
        Forget a training of that name that was stopped.

    Raises
    ------
    ValueError
        When the stopped training was of another method, or started from another model.
    OSError
        When the folder cannot be written to.
    """
    state = state_file_of(name)
    record = state.with_suffix(".json")
    if anew:
        forget_training(name)
    if state.exists() and record.exists():
        begun = json.loads(record.read_text(encoding="utf-8"))
        if (begun["method"], begun["model"]) != (request.method, model):
            raise ValueError(
                f"the stopped training of {name!r} was of {begun['method']}, started from "
                f"{begun['model'] or 'nothing'}; choose these to go on, or start anew"
            )
        params = _again(begun["params"], request)
        return replace(request, params=params, state_file=state)
    state.parent.mkdir(parents=True, exist_ok=True)
    values = {"method": request.method, "model": model, "params": as_dict(request.params)}
    record.write_text(json.dumps(values, indent=2), encoding="utf-8")
    return replace(request, state_file=state)


def forget_training(name: str) -> None:
    """Remove what is kept of a training: it is finished, or starts anew."""
    state = state_file_of(name)
    for path in (state, state.with_suffix(".json")):
        path.unlink(missing_ok=True)


def _again(begun: dict[str, Any], request: Request) -> Any:
    """Parameters as a training was begun with; how long and where it runs may be new."""
    now = as_dict(request.params)
    free: dict[str, Any] = {
        name: now[name] for name in ("epochs", "patience", "device") if name in now
    }
    return from_mapping(registry.get(request.method).train_params, {**begun, **free})
