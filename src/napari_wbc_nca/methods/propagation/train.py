"""Training of a detector from centroids."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_wbc_nca.methods.propagation.network import (
    LEAST,
    build,
    card,
    scaled_by_cells,
    sigma_of,
)
from napari_wbc_nca.methods.propagation.patches import Batch, Patches, presented
from napari_wbc_nca.methods.propagation.samples import (
    kinds_of,
    prepare,
    scale_is_known,
    shares,
    split,
)
from napari_wbc_nca.methods.propagation.scale import widths
from napari_wbc_nca.methods.trainer import Trainer
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.ops.metrics import f1, match_points
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.datasets.readers import Sample
    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams
    from napari_wbc_nca.methods.propagation.samples import AnnotatedField
    from napari_wbc_nca.methods.trainer import TrainingState
    from napari_wbc_nca.models.unet import UNet


_TRIED = np.arange(0.2, 0.75, 0.05)  # thresholds among which a trained model's is chosen
_FAINT = 0.1  # peaks below are never cells


def squared_error(likelihood: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean square error over the kinds that a patch teaches.

    Parameters
    ----------
    likelihood
        ``(B, kinds, h, w)``.
    batch
        Targets, and what is taught.
    weights
        ``(kinds,)``.
    """
    errors = ((likelihood - batch.targets) ** 2).mean((2, 3)) * weights
    return (errors * batch.taught).sum() / batch.taught.sum().clamp(min=1)


class DetectorLoop(Trainer):
    """Training of a detector.

    Parameters
    ----------
    network
        To be trained.
    params
        Everything about the training.
    learn, held
        Fields to learn from, and to validate on at the model's scale.
    state_file
        As in :class:`~napari_wbc_nca.methods.trainer.Trainer`.
    """

    params: PropagationTrainParams

    def __init__(
        self,
        network: UNet,
        params: PropagationTrainParams,
        learn: Sequence[AnnotatedField],
        held: Sequence[AnnotatedField],
        state_file: Path | None,
    ) -> None:
        super().__init__(network, params, state_file)
        self.patches, self.held = Patches(learn, params), held
        # A kind that covers few pixels is worth as much as one that covers many.
        share = torch.from_numpy(shares(learn, params.sigma)).float()
        self.weights = self.fabric.to_device(1 / share.clamp(min=1e-6))

    def epoch(self) -> Generator[Progress, None, dict[str, float]]:
        """Train on as many patches as an epoch has."""
        losses: list[float] = []
        for batch in self._batches():
            likelihood = torch.sigmoid(self.learner(batch.images))
            loss = squared_error(likelihood, batch, self.weights)
            self.step(loss)
            losses.append(float(loss.detach()))
            yield Progress(self.state.epoch, self.params.epochs, f"Training, batch {len(losses)}")
        return {"loss": float(np.mean(losses))}

    def _batches(self) -> Iterator[Batch]:
        """Batches of an epoch; the next is drawn while the last is learnt from."""
        wanted = self.params.samples_per_epoch or len(self.patches.fields)
        random = np.random.default_rng((self.params.seed, self.state.epoch))
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(self.patches.draw, self.params.batch_size, random)
            for _ in range(max(1, wanted // self.params.batch_size)):
                batch = following.result()
                following = pool.submit(self.patches.draw, self.params.batch_size, random)
                move = self.fabric.to_device
                yield Batch(move(batch.images), move(batch.targets), move(batch.taught))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """F-measure of the peaks of the fields held out; one minus its mean is the loss."""
        scores = f_measures(
            [self._map(field) for field in self.held], self.held, self.params, LEAST
        )
        known = [score for score in scores if score is not None]
        if not known:
            return {}
        return {"validation_loss": 1 - float(np.mean(known)), "f_measure": float(np.mean(known))}

    @torch.no_grad()
    def thresholds(self) -> list[float]:
        """For each kind the least likelihood that has the best F-measure on what is held out."""
        maps = [self._map(field) for field in self.held]
        tried = [f_measures(maps, self.held, self.params, float(least)) for least in _TRIED]
        best = []
        for scores in zip(*tried, strict=True):
            values = np.asarray([np.nan if score is None else score for score in scores])
            # Of thresholds that do equally well, the one in the middle.
            good = np.flatnonzero(values >= np.nanmax(values, initial=0) - 1e-9)
            best.append(float(_TRIED[good[len(good) // 2]]) if len(good) else LEAST)
        return best

    @torch.no_grad()
    def width(self) -> float:
        """Median width of the peaks of what is held out, relative to σ; 1 where there are none."""
        maps = (values for field in self.held for values in self._map(field))
        found = [ratio for values in maps for ratio, _ in widths(values, self.params.sigma)]
        return float(np.median(found)) if found else 1.0

    def _map(self, field: AnnotatedField) -> npt.NDArray[np.float32]:
        """``(kinds, h, w)`` likelihood of a field at the model's scale."""
        params = self.params
        image = presented(field.pixels.float(), {"name": params.normalisation}, params.colour)
        logits = self.network(self.fabric.to_device(image[None]))
        return np.asarray(torch.sigmoid(logits)[0].cpu().numpy())


def f_measures(
    maps: Sequence[npt.NDArray[np.float32]],
    fields: Sequence[AnnotatedField],
    params: PropagationTrainParams,
    least: float,
) -> list[float | None]:
    """F-measure of each kind's peaks above `least`; None where nothing teaches it.

    Peaks and centroids are assigned one to one within ``params.distance``, optimally.
    """
    if not fields:
        return []
    counts = np.zeros((len(fields[0].taught), 3), int)
    for found, field in zip(maps, fields, strict=True):
        for kind in np.flatnonzero(field.taught):
            places = find_peaks(found[kind], max(least, _FAINT), params.sigma)
            hits = len(match_points(field.centres[kind], places, params.match_distance))
            counts[kind] += hits, len(field.centres[kind]), len(places)
    taught = np.any([field.taught for field in fields], axis=0)
    return [
        f1(*(int(number) for number in own)) if known else None
        for own, known in zip(counts, taught, strict=True)
    ]


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
    kept, held = split(samples, params.validation_share, params.seed)
    learn = yield from prepare(kept, kinds, params, params.max_scale_factor if scaled else 1.0)
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
        window=params.patch_size,
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
    state: TrainingState,
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
