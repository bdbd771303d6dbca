"""One training of a detector: mean square error of the likelihood, F-measure of the peaks."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wbc_nca.methods.loop import Loop
from napari_wbc_nca.methods.propagation.network import LEAST
from napari_wbc_nca.methods.propagation.patches import Batch, Patches, presented
from napari_wbc_nca.methods.propagation.samples import shares
from napari_wbc_nca.methods.propagation.scale import widths
from napari_wbc_nca.ops.assignment import assign
from napari_wbc_nca.ops.metrics import f1
from napari_wbc_nca.ops.peaks import peaks
from napari_wbc_nca.types import Progress

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams
    from napari_wbc_nca.methods.propagation.samples import Field
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


class DetectorLoop(Loop):
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
        As in :class:`~napari_wbc_nca.methods.loop.Loop`.
    """

    params: PropagationTrainParams

    def __init__(
        self,
        network: UNet,
        params: PropagationTrainParams,
        learn: Sequence[Field],
        held: Sequence[Field],
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
            following = pool.submit(self.patches.draw, self.params.batch, random)
            for _ in range(max(1, wanted // self.params.batch)):
                batch = following.result()
                following = pool.submit(self.patches.draw, self.params.batch, random)
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

    def _map(self, field: Field) -> npt.NDArray[np.float32]:
        """``(kinds, h, w)`` likelihood of a field at the model's scale."""
        params = self.params
        image = presented(field.pixels.float(), {"name": params.normalisation}, params.colour)
        logits = self.network(self.fabric.to_device(image[None]))
        return np.asarray(torch.sigmoid(logits)[0].cpu().numpy())


def f_measures(
    maps: Sequence[npt.NDArray[np.float32]],
    fields: Sequence[Field],
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
            places = peaks(found[kind], max(least, _FAINT), params.sigma)
            hits = len(assign(field.centres[kind], places, params.distance))
            counts[kind] += hits, len(field.centres[kind]), len(places)
    taught = np.any([field.taught for field in fields], axis=0)
    return [
        f1(*(int(number) for number in own)) if known else None
        for own, known in zip(counts, taught, strict=True)
    ]
