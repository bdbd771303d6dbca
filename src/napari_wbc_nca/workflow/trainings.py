"""Trainings that were begun and not finished: kept under the name of the model they are to give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io import zoo
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, from_mapping

if TYPE_CHECKING:
    from napari_wbc_nca.workflow.train import Request


def folder() -> Path:
    """Folder of what is needed to go on with a training."""
    return zoo.user_folder().parent / "trainings"


def state_of(name: str) -> Path:
    """File in which the training of a model called `name` stands."""
    return folder() / f"{name}.state"


def stopped() -> list[str]:
    """Names of models whose training was stopped, or killed, before its end."""
    return sorted(path.stem for path in folder().glob("*.state"))


def begin(name: str, request: Request, model: str, *, anew: bool = False) -> Request:
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
    state = state_of(name)
    record = state.with_suffix(".json")
    if anew:
        forget(name)
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


def forget(name: str) -> None:
    """Remove what is kept of a training: it is finished, or starts anew."""
    state = state_of(name)
    for path in (state, state.with_suffix(".json")):
        path.unlink(missing_ok=True)


def _again(begun: dict[str, Any], request: Request) -> Any:
    """Parameters as a training was begun with; how long and where it runs may be new."""
    now = as_dict(request.params)
    free: dict[str, Any] = {
        name: now[name] for name in ("epochs", "patience", "device") if name in now
    }
    return from_mapping(registry.get(request.method).train_params, {**begun, **free})
