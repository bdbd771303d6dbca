"""Prediction that both NCA methods share: find cells, cut windows, roll out, threshold."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.io.datasets import NONE
from napari_wbc_nca.io.images import check
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.locate import Centre, locate
from napari_wbc_nca.methods.network import build
from napari_wbc_nca.methods.params import SegmentParams
from napari_wbc_nca.methods.projection import PROJECTIONS, nucleus
from napari_wbc_nca.methods.result import collect
from napari_wbc_nca.methods.scale import image_diameter
from napari_wbc_nca.methods.view import Part, View
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.ops import stain
from napari_wbc_nca.ops.regions import nucleus_region
from napari_wbc_nca.ops.threshold import mask_from_response, otsu
from napari_wbc_nca.types import Cell, Checkpoint, Image, Progress, Segmentation

Points = npt.NDArray[Any]


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: SegmentParams,
    points: Points | None = None,
    boxes: Points | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segment and type the white blood cells of one image.

    Parameters
    ----------
    image
        A field or a single-cell crop, three colours.
    checkpoint
        Of an NCA method.
    params
        How; see :class:`~napari_wbc_nca.methods.params.SegmentParams`.
    points
        ``(N, 2)`` y, x in pixels, for ``locate="points"``.
    boxes
        ``(N, 4)`` y0, x0, y1, x1 in pixels, for ``locate="boxes"``.

    Yields
    ------
    Progress
        Every few steps of a rollout, with the cells finished since the last.

    Raises
    ------
    ValueError
        For an image, points or boxes that cannot be used, saying what to do.
    """
    check(image)
    network = build(checkpoint, params.device)
    rgb = to_rgb(image.pixels)
    light = stain.background(stain.sample(rgb))
    diameter = yield from image_diameter(rgb, image.pixel_size, network, checkpoint, params, boxes)
    view = View(rgb, diameter / checkpoint.diameter, checkpoint.normalisation)
    segmenter = _Segmenter(network, checkpoint, params, view, light)
    centres = yield from _centres(segmenter, points, boxes)
    cells = yield from segmenter.cells(centres)
    return collect(cells, image, checkpoint, params, diameter)


def _centres(
    segmenter: _Segmenter, points: Points | None, boxes: Points | None
) -> Generator[Progress, None, list[Centre]]:
    """Centres in model pixels, by what `locate` says."""
    params, view = segmenter.params, segmenter.view
    if params.locate == "whole":
        return [((view.shape[0] - 1) / 2, (view.shape[1] - 1) / 2)]
    if params.locate in ("points", "boxes"):
        given = points if params.locate == "points" else boxes
        if given is None or len(given) == 0:
            raise ValueError(
                f"locate is {params.locate!r}, but no {params.locate} were given; "
                f"add {params.locate} around the cells, or locate by 'evidence'"
            )
        middles = np.asarray(given, float)
        if params.locate == "boxes":
            middles = (middles[:, :2] + middles[:, 2:]) / 2
        return [(y, x) for y, x in ((middles + 0.5) / view.factor - 0.5).tolist()]
    if params.locate == "detector":
        raise ValueError("locate is 'detector', but no detector is there yet; use 'evidence'")
    tile = max(16, round(params.tile / view.factor))
    return (
        yield from locate(
            segmenter.network,
            view,
            segmenter.checkpoint.diameter,
            tile,
            params.seed,
            params.fire_rate,
        )
    )


@dataclass(frozen=True, eq=False)
class _Segmenter:
    """What turns centres into cells."""

    network: NCA
    checkpoint: Checkpoint
    params: SegmentParams
    view: View
    light: stain.Polynomial

    def cells(self, centres: Sequence[Centre]) -> Generator[Progress, None, list[Cell]]:
        """Cells at `centres`, a batch of windows at a time."""
        finished: list[Cell] = []
        for first in range(0, len(centres), self.params.batch):
            some = list(centres[first : first + self.params.batch])
            states, parts = yield from self._states(some, first, len(centres))
            done = [
                cell
                for centre, state, part in zip(some, states, parts, strict=True)
                if (cell := self._cell(centre, state, part, centres)) is not None
            ]
            finished += done
            yield Progress(
                first + len(some), len(centres), "Segmenting cells", cells=tuple(done)
            )
        return finished

    def _states(
        self, centres: Sequence[Centre], first: int, total: int
    ) -> Generator[Progress, None, tuple[torch.Tensor, list[Part]]]:
        """``(B, h, w, C)`` states of the windows around `centres`."""
        parts = [self.view.window(centre, self.checkpoint.window) for centre in centres]
        images = torch.stack([self.view.read(part) for part in parts])
        origin = torch.tensor([[rows.start, columns.start] for rows, columns in parts])
        device = next(self.network.parameters()).device
        steps = self.network.rollout_steps(
            images.to(device), self.params.seed, origin, fire_rate=self.params.fire_rate
        )
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value, parts
            yield Progress(first, total, "Segmenting cells")

    def _cell(
        self, centre: Centre, state: torch.Tensor, part: Part, centres: Sequence[Centre]
    ) -> Cell | None:
        """The cell at `centre`; None where the network sees no white blood cell."""
        with torch.inference_mode():
            probabilities = self._probabilities(state[None])
            response = PROJECTIONS[self._projection](self.network, state[None])[0].cpu().numpy()
        name = max(probabilities, key=probabilities.__getitem__)
        if self.params.locate == "evidence" and probabilities.get(NONE, 0.0) > 0.5:
            return None
        if name == NONE:
            name = max((n for n in probabilities if n != NONE), key=probabilities.__getitem__)
        box = self.view.box(part)
        fine = self.view.enlarge(response, part)
        fine = self._divide(fine, centre, centres, box)
        y, x = ((c + 0.5) * self.view.factor - 0.5 - s.start for c, s in zip(centre, box, strict=True))
        mask = mask_from_response(fine, otsu(response), (y, x))
        if not mask.any():
            return None
        inside = np.asarray(self.view.rgb[box])
        density = self.light(inside, (box[0].start, box[1].start), self.view.source_shape)
        dark = nucleus_region(density, mask)
        return Cell(
            centre=((y + box[0].start), (x + box[1].start)),
            origin=(box[0].start, box[1].start),
            mask=mask,
            nucleus=dark,
            response=fine,
            label_class=name,
            probabilities=probabilities,
            confidence=_confidence(fine, mask, probabilities, name),
        )

    @property
    def _projection(self) -> str:
        asked = self.params.projection
        return str(self.checkpoint.card.get("projection", "pca")) if asked == "model" else asked

    def _probabilities(self, state: torch.Tensor) -> Mapping[str, float]:
        logits = self.network.classify(state)[0].double().cpu()
        if self.checkpoint.card.get("activation") == "sigmoid":
            values = logits.sigmoid()
        else:
            values = logits.softmax(0)
        return dict(zip(self.checkpoint.classes, values.tolist(), strict=True))

    def _divide(
        self,
        fine: npt.NDArray[np.float32],
        centre: Centre,
        centres: Sequence[Centre],
        box: tuple[slice, slice],
    ) -> npt.NDArray[np.float32]:
        return fine


def _confidence(fine, mask, probabilities, name) -> float:
    """How sure: the class's probability times how far the response is from undecided."""
    return float(probabilities[name])
