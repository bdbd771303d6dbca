"""Train a model of any method from labelled data, or fine-tune one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.datasets import readers
from napari_wbc_nca.datasets.samples import LabelError, Sample, image_id, read_rgb
from napari_wbc_nca.datasets.splits import NO_VALIDATION, group_of, hold_out_groups
from napari_wbc_nca.io import model_store, weights
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.registry import continue_params, finetune_params, training_params
from napari_wbc_nca.params import as_dict, from_mapping
from napari_wbc_nca.progress import run_to_end

if TYPE_CHECKING:
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint


_FEW = 5
"""Cells of a class below which a note says that they are few."""


def train(
    method: str,
    data: str | Path | Sequence[Sample],
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
        CellMixer takes for a cell; see :func:`napari_wbc_nca.methods.registry.continue_params`.
    finetune
        Fine-tune `init` with a few corrected images: at a low learning rate and its scale. See
        :func:`napari_wbc_nca.methods.registry.finetune_params`.
    state_file
        Written after each epoch; training resumes from it where it exists. Remove it when the
        model is saved.
    **params
        Fields of the method's training parameters.

    Returns
    -------
    Checkpoint
        For use at once; write it with :func:`napari_wbc_nca.io.weights.save`.

    Raises
    ------
    ValueError
        For an unknown method or parameter, and for data or a model that cannot be used.

    Examples
    --------
    >>> train("nca_wss", "crops", epochs=16).classes  # doctest: +SKIP
    ('lymphocyte', 'monocyte', 'none')
    """
    start = model_store.resolve(init) if isinstance(init, str | Path) else init
    if finetune and start is None:
        raise ValueError("there is no model to fine-tune; give one as init")
    chosen: Any
    if start is None:
        chosen = training_params(method, params)
    else:
        chosen = (
            finetune_params(start, params) if finetune else continue_params(method, start, params)
        )
    samples = readers.read(data) if isinstance(data, str | Path) else data
    state = None if state_file is None else Path(state_file)
    return run_to_end(run_training(TrainingRequest(method, chosen, start, state), samples))


@dataclass(frozen=True, eq=False)
class TrainingRequest:
    """Method, parameters, model to start from, and file in which a training's state is kept."""

    method: str
    params: Any
    init: Checkpoint | None = None
    state_file: Path | None = None


def run_training(
    request: TrainingRequest, samples: Sequence[Sample]
) -> Generator[Progress, None, Checkpoint]:
    """Train step by step; as :func:`train`."""
    work = registry.load(registry.get(request.method).train)
    trained: Checkpoint = yield from work(
        samples, request.params, init=request.init, state_file=request.state_file
    )
    # An evaluation says which of its images the model was trained on.
    images = set(request.init.card.get("images", [])) if request.init else set()
    for sample in samples:
        with suppress(LabelError):  # removed since it was trained on
            images.add(image_id(read_rgb(sample)))
    return replace(trained, card={**trained.card, "images": sorted(images)})


def store_model(trained: Checkpoint, name: str) -> Checkpoint:
    """Save a trained model among the user's models under `name`; return it with its hash.

    Raises a ValueError when the name is taken or none, or the file cannot be written.
    """
    return weights.load(model_store.register(replace(trained, name=name), name))


def unused_name(name: str) -> str:
    """Return `name`, or with the first number that makes it no model's name yet."""
    taken = set(model_store.names())
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def data_notes(samples: Sequence[Sample], params: Any) -> list[str]:
    """List what a user should know of the data before training; often nothing."""
    counts = Counter(name for sample in samples for name in sample.names if name != NONE)
    boxed = {name for sample in samples if sample.boxes is not None for name in sample.names}
    found = []
    for name, number in sorted(counts.items()):
        if number < _FEW:
            noun = "cell" if name in boxed else "picture"
            are = f"is 1 {noun}" if number == 1 else f"are {number} {noun}s"
            found.append(
                f"There {are} of {name}: label some more, from other pictures where you can."
            )
    if len(counts) == 1:
        (only,) = counts
        found.append(
            f"All cells are {only}: the model cannot learn to distinguish it from other types."
        )
    groups, kinds = [group_of(sample) for sample in samples], [sample.kinds for sample in samples]
    share = params.validation_share
    if share and not hold_out_groups(groups, kinds, share, params.seed).any():
        found.append(NO_VALIDATION)
    return found


def state_file_of(name: str) -> Path:
    """Return the file in which the state of the training of model `name` is kept."""
    return model_store.user_models_folder().parent / "trainings" / f"{name}.state"


def stopped_trainings() -> list[str]:
    """List the names of models whose training was stopped, or killed, before its end."""
    return sorted(path.stem for path in state_file_of("").parent.glob("*.state"))


def begin_training(
    name: str, request: TrainingRequest, model: str, *, restart: bool = False
) -> TrainingRequest:
    """Record a training, so that it can be resumed, or resume the one of that name.

    A stopped training is resumed with the parameters it was begun with; `restart` forgets it.
    `name` is that of the model to be, `model` name or file of the one it starts from, or empty. A
    ValueError says when the stopped training was of another method, or started from another model;
    an OSError when the folder cannot be written to.
    """
    state = state_file_of(name)
    record = state.with_suffix(".json")
    if restart:
        forget_training(name)
    if state.exists() and record.exists():
        begun = json.loads(record.read_text(encoding="utf-8"))
        if (begun["method"], begun["model"]) != (request.method, model):
            raise ValueError(
                f"the stopped training of {name!r} was of {begun['method']}, started from "
                f"{begun['model'] or 'nothing'}; choose these to resume it, or start again"
            )
        now = as_dict(request.params)
        free = {field: now[field] for field in ("epochs", "patience", "device")}
        params = registry.get(request.method).train_params
        return replace(
            request, params=from_mapping(params, {**begun["params"], **free}), state_file=state
        )
    state.parent.mkdir(parents=True, exist_ok=True)
    values = {"method": request.method, "model": model, "params": as_dict(request.params)}
    record.write_text(json.dumps(values, indent=2), encoding="utf-8")
    return replace(request, state_file=state)


def forget_training(name: str) -> None:
    """Remove the files of a training that is finished or starts again."""
    state = state_file_of(name)
    for path in (state, state.with_suffix(".json")):
        path.unlink(missing_ok=True)
