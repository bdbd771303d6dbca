"""Training of a detector from centroids."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_wbc_nca.methods.propagation.learner import DetectorLoop
from napari_wbc_nca.methods.propagation.network import (
    LEAST,
    build,
    card,
    scaled_by_cells,
    sigma_of,
)
from napari_wbc_nca.methods.propagation.samples import kinds_of, prepare, scale_is_known, split
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.types import Checkpoint, Progress

if TYPE_CHECKING:
    from napari_wbc_nca.io.datasets import Sample
    from napari_wbc_nca.methods.loop import State
    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams

_FIRST = -3.0  # logit that an untrained network gives
_NOMINAL = 48.0  # diameter that is written where none is known


def train(
    samples: Sequence[Sample],
    params: PropagationTrainParams,
    init: Checkpoint | None = None,
    state_file: Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train a detector: a U-Net that tells each pixel how likely it is a cell's centre.

    Nishimura et al., *Weakly Supervised Cell Instance Segmentation by Propagating from
    Detection Response* (MICCAI 2019), section 2.1; one output for each kind of cell.

    Parameters
    ----------
    samples
        Pictures with points or boxes; a kind is taught by the sources that label it.
    params
        Size of the network and everything about its training.
    init
        Detector to start from; its kinds, architecture and normalisation are kept.
    state_file
        Written after each epoch; training goes on from it where it exists, and removes it at
        the end.

    Yields
    ------
    Progress
        After each prepared sample and each epoch, with the loss and the F-measure.

    Raises
    ------
    ValueError
        When there is nothing to learn from, or `init` does not fit.
    """
    check(params)
    kinds = kinds_of(samples)
    if init is not None:
        _check_fit(init, kinds)
        kinds, params = init.classes, _as(init, params)
    scaled = scale_is_known(samples, params.diameter)
    kept, held = split(samples, params.validation, params.seed)
    learn = yield from prepare(kept, kinds, params, params.scaling if scaled else 1.0)
    validate = yield from prepare(held, kinds, params)
    architecture = {
        "channels_in": 3 if params.colour == "rgb" else 1,
        "outputs": len(kinds),
        "widths": params.widths,
        "align_corners": False,
    }
    if init is not None:
        architecture = dict(init.architecture)
    torch.manual_seed(params.seed)
    network = build(architecture)
    # Hardly any pixel is a centre: from one half everywhere, the first epochs would only fall.
    network.state_dict()["head.bias"].fill_(_FIRST)
    if init is not None:
        network.load_state_dict({k: torch.tensor(v) for k, v in init.weights.items()})
    loop = DetectorLoop(network, params, learn, validate, state_file)
    yield from loop.epochs()
    least = loop.thresholds() if validate else [LEAST] * len(kinds)
    return Checkpoint(
        method="propagation",
        architecture=architecture,
        weights={k: v.detach().cpu().numpy().copy() for k, v in network.state_dict().items()},
        classes=kinds,
        diameter=params.diameter or _NOMINAL,
        pixel_size=params.pixel_size,
        window=params.patch,
        normalisation={"name": params.normalisation},
        card={
            **card(params.sigma, dict(zip(kinds, least, strict=True)), scaled, loop.width()),
            **_record(samples, params, loop.state, init),
        },
    )


def _check_fit(init: Checkpoint, kinds: Sequence[str]) -> None:
    """Refuse a checkpoint that training of these kinds cannot start from."""
    if init.method != "propagation":
        raise ValueError(
            f"{init.name} is a model of {init.method}; start from a detector of propagation, or "
            "train anew"
        )
    if unknown := set(kinds) - set(init.classes):
        raise ValueError(
            f"the samples have kinds that {init.name} does not know: "
            f"{', '.join(sorted(unknown))}; it knows {', '.join(init.classes)}. Leave them out, or "
            "train anew"
        )


def _as(init: Checkpoint, params: PropagationTrainParams) -> PropagationTrainParams:
    """Parameters with what a checkpoint that training starts from has settled."""
    return replace(
        params,
        widths=str(init.architecture["widths"]),
        colour="rgb" if init.architecture["channels_in"] == 3 else "grey",
        normalisation=init.normalisation["name"],
        diameter=init.diameter if scaled_by_cells(init) else 0.0,
        pixel_size=init.pixel_size,
        sigma=sigma_of(init),
    )


def _record(
    samples: Sequence[Sample],
    params: PropagationTrainParams,
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
