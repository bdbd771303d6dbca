"""Training of `cellmixer` from homogeneous populations."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_wbc_nca.methods.cellmixer.learner import MixerLoop
from napari_wbc_nca.methods.cellmixer.network import make, start
from napari_wbc_nca.methods.cellmixer.params import by_recipe
from napari_wbc_nca.methods.cellmixer.samples import (
    Picture,
    classes_of,
    normalisation_of,
    prepare,
)
from napari_wbc_nca.methods.cellmixer.sizes import diameters
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.types import Checkpoint, Progress

if TYPE_CHECKING:
    from napari_wbc_nca.io.samples import Sample
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
    from napari_wbc_nca.methods.loop import State

_NOMINAL = 1.0  # µm a model pixel, written where it is unknown


def train(
    samples: Sequence[Sample],
    params: CellmixerTrainParams,
    init: Checkpoint | None = None,
    state_file: Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train a network that gives each pixel a class, on mixtures of homogeneous pictures.

    *CellMixer: Annotation-free Semantic Cell Segmentation of Heterogeneous Cell Populations*.

    Parameters
    ----------
    samples
        Pictures of one class each, or fields with boxes; see
        :mod:`napari_wbc_nca.methods.cellmixer.boxes`.
    params
        Foreground, mixtures, network and everything about its training.
    init
        Model to start from; its classes, architecture and normalisation are kept.
    state_file
        Written after each epoch; training goes on from it where it exists, and removes it at
        the end.

    Yields
    ------
    Progress
        After each prepared sample and each epoch, with the losses.

    Raises
    ------
    ValueError
        When there is nothing to learn from, or `init` does not fit.
    """
    check(params)
    _check_values(params)
    if init is not None:
        params = _as(init, params)
    classes = classes_of(samples, params.populations) if init is None else init.classes
    if init is not None:
        _check_fit(init, samples)
    torch.manual_seed(params.seed)
    if init is None:
        network, architecture = start(params, len(classes))
    else:
        architecture = dict(init.architecture)
        network = make(architecture)
        network.load_state_dict({k: torch.tensor(v) for k, v in init.weights.items()})
    params = by_recipe(params, architecture["network"])
    side = params.crop
    pictures = yield from prepare(samples, params, classes, side)
    learn, held = split(pictures, params.validation, params.seed)
    loop = MixerLoop(network, params, learn, held, len(classes), side, state_file)
    yield from loop.epochs()
    typical = diameters(pictures, classes)
    scaled = params.diameter > 0 and any(sample.boxes is not None for sample in samples)
    return Checkpoint(
        method="cellmixer",
        architecture=architecture,
        weights={k: v.detach().cpu().numpy().copy() for k, v in network.state_dict().items()},
        classes=classes,
        diameter=params.diameter if scaled else max(typical.values()),
        pixel_size=params.pixel_size or _NOMINAL,
        window=side,
        normalisation=normalisation_of(params),
        card={
            "scale": "cells" if scaled else "pixels",
            "pixel_size_known": params.pixel_size > 0,
            "several": params.overlaps == "both",
            "diameters": typical,
            **_record(samples, params, loop.state, init),
        },
    )


def split(
    pictures: Sequence[Picture], share: float, seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Hold out a share of each class's groups; a class of one group keeps it.

    A group stays on one side; where pictures of several classes are of one, the class with
    fewest pictures decides.
    """
    held: set[str] = set()
    kept: set[str] = set()
    numbers = [picture.number for picture in pictures]
    for number in sorted(set(numbers), key=numbers.count):
        groups = sorted({picture.group for picture in pictures if picture.number == number})
        free = [group for group in groups if group not in held | kept]
        wanted = round(share * len(groups)) - len(held.intersection(groups))
        order = np.random.default_rng((seed, number)).permutation(free)
        most = max(0, min(wanted, len(groups) - len(held.intersection(groups)) - 1))
        held.update(order[:most].tolist())
        kept.update(order[most:].tolist())
    learn = [picture for picture in pictures if picture.group not in held]
    return learn, [picture for picture in pictures if picture.group in held]


def _check_values(params: CellmixerTrainParams) -> None:
    if -1 < params.cross_entropy < 0:
        raise ValueError(
            f"cross_entropy is {params.cross_entropy:g}; give 0 or more, or -1 for the network's "
            "own"
        )
    if params.lowest_share > params.highest_share:
        raise ValueError(
            f"lowest_share is {params.lowest_share:g} and highest_share {params.highest_share:g}; "
            "the first must not exceed the second"
        )


def _check_fit(init: Checkpoint, samples: Sequence[Sample]) -> None:
    """Refuse a checkpoint that training of these samples cannot start from."""
    if init.method != "cellmixer":
        raise ValueError(
            f"{init.name} is a model of {init.method}; start from a model of cellmixer, or train "
            "anew"
        )
    found = {kind for sample in samples for kind in sample.kinds}
    if missing := set(init.classes[1:]) - found:
        raise ValueError(
            f"{init.name} knows {', '.join(init.classes[1:])}, but {', '.join(sorted(missing))} "
            "is not labelled in the samples; add pictures of it, or train anew"
        )


def _as(init: Checkpoint, params: CellmixerTrainParams) -> CellmixerTrainParams:
    """Parameters with what a checkpoint that training starts from has settled."""
    own = {name: value for name, value in init.normalisation.items() if name != "name"}
    return replace(
        params,
        normalisation=init.normalisation["name"],
        diameter=init.diameter if init.card.get("scale") == "cells" else 0.0,
        overlaps="both" if init.card.get("several") else "second",
        **own,
    )


def _record(
    samples: Sequence[Sample],
    params: CellmixerTrainParams,
    state: State,
    init: Checkpoint | None,
) -> dict[str, Any]:
    """What a reader of the card must know."""
    sources = sorted({sample.source for sample in samples})
    return {
        "data": {name: sum(s.source == name for s in samples) for name in sources},
        "params": as_dict(params),
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "validation": state.history[state.best_epoch - 1] if state.history else {},
        "parent": {"name": init.name, "sha256": init.sha256} if init else None,
    }
