"""Features of segmented cells, as the frozen network of a model pools them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_wbc_nca.methods.field import fine_part, open_field
from napari_wbc_nca.methods.nca.cells import cell_or_evidence
from napari_wbc_nca.methods.nca.classifier import TypeClassifier
from napari_wbc_nca.methods.nca.outline import OutlineExample
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.models.residual import ResidualClassifier
from napari_wbc_nca.ops.overlaps import mask_box
from napari_wbc_nca.ops.stain import without_usual
from napari_wbc_nca.progress import Progress, map_progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Centre, Field, Part
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.types import Cell, Checkpoint, Image

Features = npt.NDArray[np.float32]


def cell_features(
    image: Image,
    checkpoint: Checkpoint,
    cells: Sequence[Cell],
    diameter: float,
    params: NcaParams,
) -> Generator[Progress, None, Features]:
    """Pool the features by which a model types cells that are already segmented.

    Parameters
    ----------
    image
        Image of the cells, in red, green, blue.
    checkpoint
        Automaton, or residual classifier of the cells that one finds.
    cells
        The cells, one or more.
    diameter
        Of a typical cell in image pixels, at which an automaton looks at the image.
    params
        Rotations, seed, fire rate and device.

    Returns
    -------
    ndarray
        ``(N, passes, F)`` inputs of the last layer of the classifier; passes differ in rotation
        and, of a residual classifier, stain treatment.
    """
    network = load_network(checkpoint, params.device)
    _, field = open_field(image, as_run(checkpoint, params))
    if isinstance(network, ResidualClassifier):
        classifier = TypeClassifier(network, checkpoint, params, field)
        return (yield from _residual_features(network, classifier, cells))
    view = field.rescaled(diameter / checkpoint.diameter)
    centres = [view.from_image(box_middle(cell)) for cell in cells]
    automaton = cast("NCA", network)
    return (yield from _automaton_features(automaton, checkpoint.window, view, centres, params))


def _residual_features(
    network: ResidualClassifier, classifier: TypeClassifier, cells: Sequence[Cell]
) -> Generator[Progress, None, Features]:
    found = []
    device = next(network.parameters()).device
    for number, cell in enumerate(cells):
        density = torch.from_numpy(classifier.window(cell))[None].to(device)
        with torch.inference_mode():
            found.append(network.features(classifier.passes(density)).cpu().numpy())
        yield _progress(number + 1, len(cells))
    return np.stack(found)


def _automaton_features(
    network: NCA, window: int, view: Field, centres: Sequence[Centre], params: NcaParams
) -> Generator[Progress, None, Features]:
    """Pool the hidden units of the classifier over windows around `centres` in model pixels."""
    found: list[Features] = []
    for first in range(0, len(centres), params.batch_size):
        parts = [view.window(at, window) for at in centres[first : first + params.batch_size]]
        images = torch.stack([view.read(part) for part in parts])
        images = images.to(next(network.parameters()).device)
        origin = torch.tensor([[rows.start, columns.start] for rows, columns in parts])
        turned = []
        for rotation in range(params.tta_rotations):
            pixels = torch.rot90(images, rotation, (2, 3)).contiguous()
            steps = network.rollout_steps(pixels, params.seed, origin, fire_rate=params.fire_rate)
            report = partial(_reported, first, len(centres))
            states = yield from map_progress(steps, report)
            with torch.inference_mode():
                turned.append(F.relu(network.fc2(network.pooled(states))).cpu().numpy())
        found.append(np.stack(turned, 1))
    return np.concatenate(found)


def _reported(first: int, count: int, _: tuple[int, int]) -> Progress:
    return _progress(first, count)


def _progress(done: int, count: int) -> Progress:
    return Progress(done, count, "Reading the features of cells")


def as_run(checkpoint: Checkpoint, params: NcaParams) -> Checkpoint:
    """Return a model as a run looks at an image by it: colours of crops are never restored."""
    if params.locate != "whole":
        return checkpoint
    return replace(checkpoint, normalisation=without_usual(checkpoint.normalisation))


def box_middle(cell: Cell) -> Centre:
    """Return the middle of a cell's box, in pixels of its image."""
    rows, columns = mask_box(cell)
    return (rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2


@dataclass(frozen=True, eq=False)
class OutlineWindow:
    """Window of a cell whose outline can be grown again: the fine pixels `around` it."""

    label: int
    around: Part
    example: OutlineExample


def outline_windows(
    checkpoint: Checkpoint,
    view: Field,
    labels: npt.NDArray[Any],
    cells: Sequence[tuple[int, Centre]],
    params: NcaParams,
) -> Generator[Progress, None, list[OutlineWindow]]:
    """Compute the windows in which the outlines of cells are grown.

    Parameters
    ----------
    checkpoint
        Automaton that finds cells.
    view
        Field at its scale.
    labels
        ``(Y, X)`` of the image, as a person left them.
    cells
        Label and middle, in image pixels, of each cell.
    params
        Seed, fire rate and device.
    """
    network, fine = cast("NCA", load_network(checkpoint, params.device)), view.fine_density()
    found: list[OutlineWindow] = []
    for first in range(0, len(cells), params.batch_size):
        some = cells[first : first + params.batch_size]
        parts = [view.window(view.from_image(middle), checkpoint.window) for _, middle in some]
        images = torch.stack([view.read(part) for part in parts])
        images = images.to(next(network.parameters()).device)
        origin = torch.tensor([[rows.start, columns.start] for rows, columns in parts])
        steps = network.rollout_steps(images, params.seed, origin, fire_rate=params.fire_rate)
        states = yield from map_progress(steps, partial(_reported, first, len(cells)))
        for (label, middle), part, state in zip(some, parts, states, strict=True):
            with torch.inference_mode():
                coarse = cell_or_evidence(network, state[None])[0].cpu().numpy()
            around = fine_part(part, fine.shape)
            y, x = fine.from_image(middle)
            known = fine.sample_labels(labels, around)
            example = OutlineExample(
                view.interpolate(coarse, part, fine.factor, around),
                fine.read_pixels(around),
                known == label,
                (known > 0) & (known != label),
                (y - around[0].start, x - around[1].start),
            )
            found.append(OutlineWindow(label, around, example))
    return found
