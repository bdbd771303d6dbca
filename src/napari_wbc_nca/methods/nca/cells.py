"""Classification of windows, and segmentation of the cells in their middle."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi
from torch.nn.functional import avg_pool2d

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.methods.field import FINE, fine_part
from napari_wbc_nca.methods.nca.outline import border_of, smoothed_growth
from napari_wbc_nca.methods.prompts import COVERED, EMPTY, on_background, prompt_notes
from napari_wbc_nca.methods.result import PCA
from napari_wbc_nca.models.lrp import relevance
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.ops.doubt import SMALL
from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.ops.outlines import outline_contrast, roundness
from napari_wbc_nca.ops.regions import nucleus_region
from napari_wbc_nca.ops.response import (
    mask_from_response,
    otsu_threshold,
    pca_otsu,
    pca_response,
)
from napari_wbc_nca.progress import Progress, map_progress
from napari_wbc_nca.types import Candidate, Cell, Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Centre, Field, Part
    from napari_wbc_nca.methods.nca.classifier import TypeClassifier
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.ops.growth import BorderReadout


Projection = Callable[[NCA, torch.Tensor], torch.Tensor]
"""``(network, state (B, H, W, C)) -> (B, H, W)`` response in 0–1, larger where the cell is."""

_EVIDENCE_MEAN = 5  # side of the square over which evidence is averaged


def pca(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Compute the first principal component of each window's features, as NCA-WSS does."""
    return torch.stack([_unit(torch.from_numpy(pca_response(w.cpu().numpy()))) for w in state])


def _unit(response: torch.Tensor) -> torch.Tensor:
    """Scale to 0–1; zeros where constant."""
    low, high = response.min(), response.max()
    return (response - low) / (high - low) if high > low else torch.zeros_like(response)


def evidence(network: NCA, state: torch.Tensor) -> torch.Tensor:
    r"""Compute how much the class head finds a cell in each pixel's own features.

    .. math:: r = \sigma\Big(\mathrm{mean}_{5\times5}
        \big(\log\sum_{c \ne none} e^{z_c} - z_{none}\big)\Big)

    The last class is taken for none, as in all models trained here; without any readout (a
    published checkpoint, which knows no such class) it is the log-sum-exp alone.
    """
    logits = network.pixel_logits(state)
    if network.centre is None:
        response = logits.logsumexp(-1)
    else:
        response = logits[..., :-1].logsumexp(-1) - logits[..., -1]
    margin = _EVIDENCE_MEAN // 2
    smooth = avg_pool2d(response[:, None], _EVIDENCE_MEAN, 1, margin, count_include_pad=False)
    return smooth[:, 0].sigmoid()


def centre_readout(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Compute the probability of a cell by the linear readout, trained on boxes."""
    return network.readout(state)[..., 0].sigmoid()


def cell_or_evidence(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Compute the probability of a cell by the centre readout, or by the evidence without one."""
    return evidence(network, state) if network.centre is None else centre_readout(network, state)


def nucleus_or_evidence(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Compute the probability of nucleus by the second readout, or by the evidence without one."""
    if network.centre is None:
        return evidence(network, state)
    return network.readout(state)[..., 1].sigmoid()


PROJECTIONS: dict[str, Projection] = {
    "pca": pca,
    "evidence": evidence,
    "centre": centre_readout,
    "grown": cell_or_evidence,
}
_LIKELIHOODS = {"cell_likelihood": cell_or_evidence, "nucleus_likelihood": nucleus_or_evidence}
"""Columns of the table of cells, and the projection that they are measured by."""
GROWN = "grown"
"""Projection after which :func:`~napari_wbc_nca.ops.growth.grow_region` follows."""


Map = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]
Report = Callable[[float], Progress]
"""Progress from the share of a batch that is done, 0–1."""

_MAPPED_CHANNELS = 3  # most relevant channels shown of a cell
_EPSILON = 1e-6  # of the relevance propagation
_SMALLEST = 0.5  # least diameter of a cell that the network found, in typical diameters
_MOST = 0.9  # quantile of the likelihoods in a mask that is taken for the cell's
_CERTAIN = 0.7  # probability of nucleus that a tenth of such a cell has at least
_RING = 3  # width of the surroundings a mask is compared with, in thirtieths of its window
_BAND = 0.05  # width of the bands on both sides of an outline that are compared, in diameters
_NARROW = 0.5  # difference of the two best types from which on no further seeds are tried
_PROMPT = 1 / 6  # radius around a prompt that is searched for stained matter, in diameters


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """Window around a centre, last state ``(h, w, C)`` and probabilities ``(classes,)``.

    `agreement` has the share of the rotations, and of further seeds, that name the likeliest type.
    `turned` is the response ``(h, w)`` of a rotation, turned back; None without rotations.
    """

    part: Part
    state: torch.Tensor
    probabilities: Probabilities
    agreement: dict[str, float]
    turned: Map | None


class SegmentedCells(NamedTuple):
    """Cells at some centres, notes on prompts that gave none, and centres that were rejected."""

    cells: list[Cell]
    notes: list[str]
    rejected: list[Candidate]


@dataclass(frozen=True, eq=False)
class CellSegmenter:
    """Classifies the windows around located centres, and segments the cells in them."""

    network: NCA
    checkpoint: Checkpoint
    params: NcaParams
    view: Field
    classifier: TypeClassifier | None = None  # which types the cells in place of the network

    @cached_property
    def fine(self) -> Field:
        """Return the field at whose pixels responses become masks."""
        return self.view.fine_density()

    def segment(self, centres: Sequence[Centre]) -> Generator[Progress, None, SegmentedCells]:
        """Segment the cells at `centres` (model pixels)."""
        prompted = self.params.locate in ("points", "boxes")
        given, lost = len(centres), {EMPTY: 0, COVERED: 0}
        if prompted:
            centres = yield from self._without_empty(centres)
            lost[EMPTY] = given - len(centres)
        finished: list[Cell] = []
        rejected: list[Candidate] = []
        for first in range(0, len(centres), self.params.batch_size):
            some = centres[first : first + self.params.batch_size]
            report = partial(self._progress, first, len(centres))
            predictions = yield from self._classify(some, report)
            done: list[Cell] = []
            for centre, prediction in zip(some, predictions, strict=True):
                cell = self._cell(centre, prediction, centres)
                if isinstance(cell, Candidate):
                    rejected.append(cell)
                elif cell is not None:
                    done.append(cell)
                yield report(1)
            if self.classifier is not None:
                done = yield from self.classifier.classify(done, report(1))
            finished += done
            lost[COVERED] += len(some) - len(done)
            total = first + len(some)
            yield Progress(total, len(centres), "Segmenting cells", cells=tuple(done))
        notes = prompt_notes(self.params.locate, given, lost) if prompted else []
        return SegmentedCells(finished, notes, rejected)

    def _classify(
        self, centres: Sequence[Centre], report: Report
    ) -> Generator[Progress, None, list[WindowPrediction]]:
        """Classify windows by the mean over rotations by 90°; the states are those of the first."""
        count, seed = self.params.tta_rotations, self.params.seed
        parts = [self.view.window(centre, self.checkpoint.window) for centre in centres]
        images = torch.stack([self.view.read(part) for part in parts])
        images = images.to(next(self.network.parameters()).device)
        origin = torch.tensor([[rows.start, columns.start] for rows, columns in parts])
        first, rotations = images, []
        turned_back: Sequence[Map | None] = [None] * len(centres)
        for rotation in range(count):
            turned = torch.rot90(images, rotation, (2, 3)).contiguous()
            steps = self.network.rollout_steps(
                turned, seed, origin, fire_rate=self.params.fire_rate
            )
            states = yield from map_progress(steps, partial(_report_step, report, rotation, count))
            first = states if rotation == 0 else first
            if rotation == 1:
                turned_back = self._turned_back(states)
            rotations.append(self._probabilities(states))
        mean = np.mean(rotations, axis=0)
        agreement = yield from self._agreement(images, origin, rotations, report)
        found = zip(parts, first, mean, agreement, turned_back, strict=True)
        return [WindowPrediction(*one) for one in found]

    def _turned_back(self, states: torch.Tensor) -> list[Map]:
        """Compute the responses of windows that were turned by 90°, turned back."""
        with torch.inference_mode():
            found = torch.cat([self._projection(self.network, state[None]) for state in states])
        return list(torch.rot90(found, -1, (1, 2)).cpu().numpy())

    def _agreement(
        self,
        images: torch.Tensor,
        origin: torch.Tensor,
        rotations: Sequence[Probabilities],
        report: Report,
    ) -> Generator[Progress, None, list[dict[str, float]]]:
        """Compute the share of rotations, and of further seeds, that name the likeliest type."""
        best, lead = self._likeliest(np.mean(rotations, axis=0))
        shares = {}
        if len(rotations) > 1:
            same = [self._likeliest(found)[0] == best for found in rotations]
            shares["rotation_agreement"] = np.mean(same, axis=0)
        if self.params.agreement_seeds:
            near, named = np.flatnonzero(lead < _NARROW), []
            # One window more: matrix products are bit-equal from two rows on.
            asked = np.union1d(near, [0, len(images) - 1])
            for number in range(1, self.params.agreement_seeds + 1 if len(near) else 1):
                steps = self.network.rollout_steps(
                    images[asked],
                    self.params.seed + number,
                    origin[asked],
                    fire_rate=self.params.fire_rate,
                )
                states = yield from map_progress(steps, lambda _: report(1))
                named.append(self._likeliest(self._probabilities(states))[0] == best[asked])
            shares["seed_agreement"] = np.ones(len(images))
            if named:
                shares["seed_agreement"][asked] = np.mean(named, axis=0)
        return [{name: float(v[at]) for name, v in shares.items()} for at in range(len(images))]

    def _likeliest(self, found: Probabilities) -> tuple[npt.NDArray[np.intp], Probabilities]:
        """Find the ``(N,)`` likeliest types other than none, and their lead over the next."""
        classes = self.checkpoint.classes
        types = [n for n, name in enumerate(classes) if name != NONE]
        order = np.sort(found[:, types], axis=1)
        lead = order[:, -1] - order[:, -2] if len(types) > 1 else order[:, -1]
        return np.asarray(types)[found[:, types].argmax(1)], lead

    def _probabilities(self, states: torch.Tensor) -> Probabilities:
        """Classify ``(N, h, w, C)`` states: ``(N, classes)``, the same however many there are."""
        with torch.inference_mode():
            found = torch.cat([self.network.classify(state[None]) for state in states])
        sigmoid = self.checkpoint.card.get("activation") == "sigmoid"
        found = found.cpu().double()  # after the move: not every device knows double precision
        return np.asarray((found.sigmoid() if sigmoid else found.softmax(1)).numpy())

    def _without_empty(self, centres: Sequence[Centre]) -> Generator[Progress, None, list[Centre]]:
        """Leave out prompts on background where the network finds no cell, either."""
        radius = _PROMPT * self.checkpoint.diameter
        empty = on_background(self.view, np.asarray(centres), radius)
        if NONE in self.checkpoint.classes:
            none = self.checkpoint.classes.index(NONE)
            start = self._progress(0, len(centres), 0)
            for number in np.flatnonzero(empty).tolist():
                (prediction,) = yield from self._classify([centres[number]], lambda _: start)
                empty[number] = prediction.probabilities[none] > 0.5
        return [centre for centre, own in zip(centres, empty, strict=True) if not own]

    def _progress(self, first: int, count: int, share: float) -> Progress:
        """Return progress within the batch that begins with centre `first` of `count`."""
        batch = min(self.params.batch_size, count - first)
        return Progress(first + int(share * batch), count, "Segmenting cells")

    def _cell(
        self, centre: Centre, prediction: WindowPrediction, centres: Sequence[Centre]
    ) -> Cell | Candidate | None:
        """Segment the cell at `centre`; a candidate where it is no certain white blood cell."""
        state, part = prediction.state, prediction.part
        probabilities = dict(
            zip(self.checkpoint.classes, prediction.probabilities.tolist(), strict=True)
        )
        middle, known = self.view.to_image(centre), 1 - probabilities.get(NONE, 0.0)
        if self.params.locate == "evidence" and known < 0.5:
            return Candidate(*middle, known, "the model takes it for no white cell")
        name = max((n for n in probabilities if n != NONE), key=probabilities.__getitem__)
        around = fine_part(part, self.fine.shape)
        density = self.fine.read_pixels(around)
        inner = self._inner(middle, around)
        coarse = self._coarse(self._projection, state)
        response = self._response(coarse, part, around, density, inner)
        box = self.fine.image_part(around)
        corner = (box[0].start, box[1].start)
        sharp = self.fine.interpolate(response, around, 1, box)
        own = _nearest(sharp.shape, middle, [self.view.to_image(c) for c in centres], corner)
        at = (middle[0] - corner[0], middle[1] - corner[1])
        threshold = otsu_threshold(response)
        mask = mask_from_response(np.where(own, sharp, 0), threshold, at)
        if not mask.any():
            return None
        if reason := self._uncertain(state, part, around, box, mask):
            return Candidate(*middle, known, reason)
        dark = nucleus_region(density, response > threshold).astype(np.float32)
        return Cell(
            centre=middle,
            origin=corner,
            mask=mask,
            nucleus=mask & (self.fine.interpolate(dark, around, 1, box) > 0.5),
            response=sharp,
            label_class=name,
            probabilities=probabilities,
            confidence=probabilities[name] * _contrast(sharp, mask),
            maps={
                **(self._maps(prediction, name, box) if self.params.maps else {}),
                **({PCA: self._pca_otsu(prediction, box) * own} if self.params.pca else {}),
            },
            measures={
                **self._measures(prediction, around, box, mask, own, density, inner),
                "centre_offset": self._offset(mask, at),
                **prediction.agreement,
            },
        )

    def _measures(
        self,
        window: WindowPrediction,
        around: Part,
        box: Part,
        mask: npt.NDArray[np.bool_],
        own: npt.NDArray[np.bool_],
        density: Map,
        inner: Centre,
    ) -> dict[str, float]:
        """Measure, at fine pixels, how sure a cell and its outline are.

        `mask` and `own`, the pixels to which no other centre is nearer, are those of the image.
        """
        rows, columns = (
            np.clip(np.rint((np.asarray(span) + 0.5) * self.fine.factor - 0.5 - at), 0, size - 1)
            for span, at, size in zip(around, (box[0].start, box[1].start), mask.shape, strict=True)
        )
        at_fine = np.ix_(rows.astype(int), columns.astype(int))
        cell = mask[at_fine]
        if not cell.any():
            return {}
        diameter = FINE * self.checkpoint.diameter
        width = max(1, round(_BAND * diameter))
        measures = {
            "contrast": outline_contrast(density.mean(-1).clip(0), cell, width),
            "roundness": roundness(cell),
            "relative_diameter": 2 * float(np.sqrt(cell.sum() / np.pi)) / diameter,
        }
        for name, projection in _LIKELIHOODS.items():
            found = self._project(projection, window.state, window.part, around)
            measures[name] = float(np.quantile(found[cell], _MOST))
            ring = ndi.binary_dilation(cell, iterations=2 * width) & ~cell
            if projection is cell_or_evidence and ring.any():
                measures["surroundings"] = float(found[ring].mean())
        if window.turned is not None:
            response = self._response(window.turned, window.part, around, density, inner)
            centre = tuple(float(np.mean(side)) for side in np.nonzero(cell))
            response = np.where(own[at_fine], response, 0)
            other = mask_from_response(response, otsu_threshold(response), (centre[0], centre[1]))
            measures["outline_agreement"] = iou(cell, other)
        return measures

    def _offset(self, mask: npt.NDArray[np.bool_], centre: Centre) -> float:
        """Measure how far the middle of a mask is from where it was found, in diameters."""
        middle = np.argwhere(mask).mean(0)
        return float(np.hypot(*(middle - centre)) / self.checkpoint.diameter / self.view.factor)

    def _pca_otsu(self, window: WindowPrediction, box: Part) -> Map:
        """Segment a window by the PCA and Otsu of its features, at the resolution of the model."""
        plain = pca_otsu(window.state.cpu().numpy()).astype(np.float32)
        return np.asarray(self.view.enlarge(plain, window.part, box))

    @cached_property
    def _chosen(self) -> str:
        """Return the name of the projection that is chosen."""
        asked = self.params.projection
        return str(self.checkpoint.card.get("projection", "pca") if asked == "model" else asked)

    @cached_property
    def _border(self) -> BorderReadout:
        return border_of(self.checkpoint)

    @property
    def _projection(self) -> Projection:
        return PROJECTIONS[self._chosen]

    def _inner(self, middle: Centre, around: Part) -> Centre:
        """Return a position in image pixels as one in the fine pixels of `around`."""
        y, x = self.fine.from_image(middle)
        return y - around[0].start, x - around[1].start

    def _response(self, coarse: Map, part: Part, around: Part, density: Map, inner: Centre) -> Map:
        """Compute the response of a window at the fine pixels `around`, from its projection.

        The cell is looked for at `inner`, in these pixels.
        """
        response = self.view.interpolate(coarse, part, self.fine.factor, around)
        if self._chosen != GROWN:
            return response
        return smoothed_growth(response, density, self._border, inner)

    def _project(
        self, projection: Projection, state: torch.Tensor, part: Part, around: Part
    ) -> Map:
        """Return the projection of a window's state, at the fine pixels `around`."""
        coarse = self._coarse(projection, state)
        return self.view.interpolate(coarse, part, self.fine.factor, around)

    def _coarse(self, projection: Projection, state: torch.Tensor) -> Map:
        """Compute the projection ``(h, w)`` of a window's state, at its own pixels."""
        with torch.inference_mode():
            return np.asarray(projection(self.network, state[None])[0].cpu().numpy())

    def _uncertain(
        self, state: torch.Tensor, part: Part, around: Part, box: Part, mask: npt.NDArray[np.bool_]
    ) -> str:
        """Say why a mask is no white cell: small, or without the nucleus that red cells lack."""
        if self.params.locate != "evidence":  # cells that a user marked always pass
            return ""
        dark = self._project(nucleus_or_evidence, state, part, around)
        values = self.fine.interpolate(dark, around, 1, box)[mask]
        width = 2 * np.sqrt(mask.sum() / np.pi) / self.view.factor
        if width < _SMALLEST * self.checkpoint.diameter:
            return SMALL
        return "" if np.quantile(values, _MOST) >= _CERTAIN else "it has no certain nucleus"

    def _maps(self, window: WindowPrediction, name: str, box: Part) -> dict[str, Map]:
        """Return the most relevant channels for class `name`, in their order, scaled to 0–1."""
        network, target = self.network, self.checkpoint.classes.index(name)
        layers = (network.fc2, network.fc3)
        weights = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        with torch.inference_mode():
            pooled = network.pooled(window.state[None])
            scores = relevance(pooled, *weights, target=target, epsilon=_EPSILON)[0].cpu()
        # A channel's relevance is that of all its statistics together.
        scores = scores.view(-1, network.channels).sum(0)
        maps = {}
        for rank, channel in enumerate(scores.argsort(descending=True)[:_MAPPED_CHANNELS], 1):
            scaled = _unit(window.state[..., int(channel)]).cpu().numpy()
            title = f"{rank}: channel {int(channel)}, relevance {float(scores[channel]):+.2f}"
            maps[title] = self.view.interpolate(scaled, window.part, 1, box)
        return maps


def _report_step(report: Report, rotation: int, count: int, step: tuple[int, int]) -> Progress:
    """Return progress of one rotation of several."""
    done, total = step
    return report((rotation + done / total) / count)


def _nearest(
    shape: tuple[int, ...], middle: Centre, centres: Sequence[Centre], corner: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Find the pixels of a window to which no other centre is nearer."""
    y, x = np.ogrid[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]]
    own = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
    result = np.ones(shape, bool)
    for cy, cx in centres:
        inside = 0 <= cy - corner[0] < shape[0] and 0 <= cx - corner[1] < shape[1]
        if inside and (cy, cx) != middle:
            result &= own <= (y - cy) ** 2 + (x - cx) ** 2
    return result


def _contrast(response: Map, mask: npt.NDArray[np.bool_]) -> float:
    """Subtract the mean response around a mask from that in it: 1 for a sharp outline."""
    width = max(1, min(mask.shape) * _RING // 30)
    ring = ndi.binary_dilation(mask, iterations=width) & ~mask
    around = float(response[ring].mean()) if ring.any() else 0.0
    return float(np.clip(response[mask].mean() - around, 0, 1))
