"""Training of a detector from centroids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from napari_wbc_nca.cell_types import detection_class
from napari_wbc_nca.methods.propagation.contribution import PUBLISHED_MIN_LIKELIHOOD
from napari_wbc_nca.methods.propagation.detect import (
    build_detector,
    detector_card,
    scaled_by_cells,
    sigma_of,
)
from napari_wbc_nca.methods.propagation.samples import (
    AnnotatedField,
    PatchBatch,
    PatchSampler,
    classes_of,
    labelled_classes,
    mean_squares,
    network_input,
    prepare,
    scale_is_known,
)
from napari_wbc_nca.methods.propagation.scale import widths
from napari_wbc_nca.methods.trainer import Trainer, check_classes, start_from
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.ops.metrics import f1, match_points
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams

_THRESHOLDS = np.arange(0.2, 0.75, 0.05)  # among which a trained model's is chosen
_FAINT = 0.1  # peaks below are never cells
_FIRST_LOGIT = -3.0
_NOMINAL_DIAMETER = 48.0  # written where none is known


class PropagationTrainer(Trainer[AnnotatedField, PatchBatch]):
    """Training of a U-Net that predicts the likelihood of a cell's centre at each pixel.

    Nishimura et al., *Weakly Supervised Cell Instance Segmentation by Propagating from
    Detection Response* (MICCAI 2019), section 2.1; one output for each class of cells.
    """

    method = "propagation"
    compatible = ("propagation",)
    params: PropagationTrainParams

    @cached_property
    def scaled(self) -> bool:
        """Return whether pictures are brought to one size of cells."""
        return scale_is_known(self.samples, self.params.diameter)

    @cached_property
    def labelled(self) -> dict[str, set[str]]:
        """List the classes that each source labels."""
        return labelled_classes(self.samples)

    def find_classes(self) -> tuple[str, ...]:
        """List the classes of the samples, or of the model that training starts from."""
        found = classes_of(self.samples)
        if self.init is None:
            return found
        check_classes(self.init, set(found))
        return self.init.classes

    def inherit(self, init: Checkpoint) -> PropagationTrainParams:
        """Replace the parameters that `init` decides."""
        return replace(
            self.params,
            widths=str(init.architecture["widths"]),
            colour="rgb" if init.architecture["channels_in"] == 3 else "grey",
            normalisation=init.normalisation["name"],
            diameter=init.diameter if scaled_by_cells(init) else 0.0,
            pixel_size=init.pixel_size,
            sigma=sigma_of(init),
        )

    def build_network(self) -> tuple[dict[str, Any], nn.Module]:
        """Build the U-Net."""
        if self.init is not None:
            network = build_detector(self.init.architecture)
            start_from(network, self.init)
            return dict(self.init.architecture), network
        architecture = {
            "channels_in": 3 if self.params.colour == "rgb" else 1,
            "outputs": len(self.classes),
            "widths": self.params.widths,
            "align_corners": False,
        }
        network = build_detector(architecture)
        # Hardly any pixel is a centre: from one half everywhere, the first epochs would only fall.
        network.state_dict()["head.bias"].fill_(_FIRST_LOGIT)
        return architecture, network

    def labels(self, sample: Sample) -> Sequence[str]:
        """List the classes of a sample's cells."""
        return [detection_class(kind) for kind in sample.kinds]

    def prepare(self, sample: Sample, held: bool) -> list[AnnotatedField]:
        """Bring a sample to the model's scale, finer where patches are scaled."""
        oversampling = self.params.max_scale_factor if self.scaled and not held else 1.0
        labelled = self.labelled[sample.source]
        return [prepare(sample, self.classes, labelled, self.params, oversampling)]

    def set_items(self, learn: list[AnnotatedField], held: list[AnnotatedField]) -> None:
        """Draw patches of the fields."""
        self.sampler, self.held = PatchSampler(learn, self.params), held
        # A class that covers few pixels counts as much as one that covers many.
        square = torch.from_numpy(mean_squares(learn, self.params.sigma)).float()
        self.class_weights = 1 / square.clamp(min=1e-6)

    def losses(self, batch: PatchBatch, seed: int) -> dict[str, torch.Tensor]:
        """Compute the weighted mean square error of the likelihood."""
        images, targets, labelled, weights = map(
            self.fabric.to_device, (batch.images, batch.targets, batch.labelled, self.class_weights)
        )
        likelihood = torch.sigmoid(self.learner(images))
        return {"loss": squared_error(likelihood, targets, labelled, weights)}

    def validate(self) -> dict[str, float]:
        """Measure the F-measure of peaks in the fields held out; 1 minus its mean is the loss."""
        maps = [self._likelihood(field) for field in self.held]
        scores = f_measures(maps, self.held, self.params, PUBLISHED_MIN_LIKELIHOOD)
        known = [score for score in scores if score is not None]
        if not known:
            return {}
        return {"validation_loss": 1 - float(np.mean(known)), "f_measure": float(np.mean(known))}

    def make_checkpoint(self) -> Checkpoint:
        """Return the trained detector, with thresholds chosen on the fields held out."""
        params = self.params
        maps = [self._likelihood(field) for field in self.held]
        least = dict(zip(self.classes, self._thresholds(maps), strict=True))
        ratios = [r for m in maps for values in m for r, _ in widths(values, params.sigma)]
        width = float(np.median(ratios)) if ratios else 1.0
        return Checkpoint(
            method=self.method,
            architecture=self.architecture,
            weights=self.weights(),
            classes=self.classes,
            diameter=params.diameter or _NOMINAL_DIAMETER,
            pixel_size=params.pixel_size,
            window=params.patch_size,
            normalisation={"name": params.normalisation},
            card={**detector_card(params.sigma, least, self.scaled, width), **self.card()},
        )

    def _thresholds(self, maps: Sequence[npt.NDArray[np.float32]]) -> list[float]:
        """Find each class's threshold of best F-measure on the fields held out."""
        if not maps:
            return [PUBLISHED_MIN_LIKELIHOOD] * len(self.classes)
        tried = [f_measures(maps, self.held, self.params, float(least)) for least in _THRESHOLDS]
        best = []
        for scores in zip(*tried, strict=True):
            values = np.asarray([np.nan if score is None else score for score in scores])
            # Of thresholds that do equally well, the one in the middle.
            good = _THRESHOLDS[values >= np.nanmax(values, initial=0) - 1e-9]
            best.append(float(good[len(good) // 2]) if len(good) else PUBLISHED_MIN_LIKELIHOOD)
        return best

    @torch.no_grad()
    def _likelihood(self, field: AnnotatedField) -> npt.NDArray[np.float32]:
        """Return ``(classes, h, w)`` likelihood of a field at the model's scale."""
        params = self.params
        image = network_input(field.pixels.float(), {"name": params.normalisation}, params.colour)
        logits = self.network(self.fabric.to_device(image[None]))
        return np.asarray(torch.sigmoid(logits)[0].cpu().numpy())


train = PropagationTrainer.run


def squared_error(
    likelihood: torch.Tensor, targets: torch.Tensor, labelled: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Compute the weighted mean square error over the classes labelled in each patch.

    `likelihood` and `targets` are ``(B, classes, h, w)``, `labelled` is ``(B, classes)`` bool and
    `weights` ``(classes,)``.
    """
    errors = ((likelihood - targets) ** 2).mean((2, 3)) * weights
    return (errors * labelled).sum() / labelled.sum().clamp(min=1)


def f_measures(
    maps: Sequence[npt.NDArray[np.float32]],
    fields: Sequence[AnnotatedField],
    params: PropagationTrainParams,
    least: float,
) -> list[float | None]:
    """Compute the F-measure of each class's peaks above `least`; None where no field labels it.

    Peaks and centroids are assigned one to one within ``params.match_distance``, optimally.
    """
    if not fields:
        return []
    counts = np.zeros((len(fields[0].labelled), 3), int)
    for likelihood, field in zip(maps, fields, strict=True):
        for number in np.flatnonzero(field.labelled):
            found = find_peaks(likelihood[number], max(least, _FAINT), params.sigma)
            hits = len(match_points(field.centres[number], found, params.match_distance))
            counts[number] += hits, len(field.centres[number]), len(found)
    labelled = np.any([field.labelled for field in fields], axis=0)
    return [
        f1(*(int(number) for number in own)) if known else None
        for own, known in zip(counts, labelled, strict=True)
    ]
