"""Pictures of each class from labelled data: a folder a class, or fields with boxes or masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.images import in_colours, read
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.cellmixer import boxes
from napari_wbc_nca.methods.cellmixer.boxes import drawn_cuts, drawn_labels, without_ignored
from napari_wbc_nca.methods.cellmixer.field import BACKGROUND, ReferencedField, as_picture, whole
from napari_wbc_nca.ops.foreground import foreground
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.ops.mixing import Labels, Pixels, Statistics, background_statistics
from napari_wbc_nca.params import fields
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of one population; where cells were drawn, others may be in it.

    Attributes
    ----------
    pixels
        ``(3, Y, X)`` float32 at the model's scale, stain-normalised where that is asked for.
    mask
        ``(Y, X)`` uint8: 0 background, `number` its cells, or ``IGNORED``; numbers of other
        classes where cells were drawn.
    number
        Of its class; the background is 0.
    statistics
        Of its background; None where a stain normalisation has brought that to 0.
    group
        What must stay on one side of a split.
    """

    pixels: Pixels
    mask: Labels
    number: int
    statistics: Statistics | None
    group: str


def classes_of(samples: Sequence[Sample], listed: str) -> tuple[str, ...]:
    """Class names in the order of the outputs, the background first.

    Parameters
    ----------
    samples
        What is to be learnt from.
    listed
        Classes to learn, joined by commas; all that are labelled where empty.

    Raises
    ------
    ValueError
        When a listed class is not labelled, or none is left.
    """
    found = Counter(kind for sample in samples for kind in sample.kinds)
    wanted = [name.strip().lower() for name in listed.split(",") if name.strip()]
    for name in wanted:
        if name not in found:
            raise ValueError(
                f"class {name!r} is not labelled anywhere; labelled are {', '.join(sorted(found))}"
            )
    names = [name for name in wanted or sorted(found) if name != BACKGROUND]
    if not names:
        raise ValueError("no picture has a class; give a folder of pictures for each population")
    return (BACKGROUND, *names)


def normalisation_of(params: CellmixerTrainParams) -> dict[str, Any]:
    """What a checkpoint keeps of the normalisation; the paper's needs the foreground."""
    names = [field.name for field in fields(ForegroundParams)]
    own = params.normalisation == BACKGROUND
    kept = {name: getattr(params, name) for name in names} if own else {}
    return {"name": params.normalisation, **kept}


def prepare(
    samples: Sequence[Sample], params: CellmixerTrainParams, classes: Sequence[str], side: int
) -> Generator[Progress, None, list[Picture]]:
    """Homogeneous pictures of all samples.

    Parameters
    ----------
    samples
        Pictures that show one class each, or fields with boxes.
    params
        Foreground, normalisation and scale.
    classes
        Names, the background first.
    side
        Of a crop in model pixels.

    Yields
    ------
    Progress
        After each sample.

    Raises
    ------
    ValueError
        Naming the picture that holds no foreground or no background, and the class that no
        picture is left of.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    boxed = [sample for sample in samples if sample.boxes is not None]
    sizes = boxes.relative_sizes(boxed)
    around = boxes.surrounding(boxed, classes)
    pictures: list[Picture] = []
    for done, sample in enumerate(samples, start=1):
        if sample.boxes is None:
            pictures += _homogeneous(sample, params, numbers)
        else:
            factor = boxes.factor(sample, sizes, params.diameter)
            pictures += _cut(sample, params, numbers, around, factor, side)
        yield Progress(done, len(samples), "Finding the foreground")
    for name, number in numbers.items():
        if number and not any(picture.number == number for picture in pictures):
            raise ValueError(
                f"no picture of class {name!r} can be used: its cells are too small, or always "
                "among others; leave the class out, or give single crops of it"
            )
    return pictures


def rgb_of(sample: Sample) -> Any:
    """Colours ``(Y, X, 3)`` in 0–255 of a sample; of any bit depth, with colours or without."""
    if sample.pixels is not None:
        return to_rgb(sample.pixels)
    return np.asarray(to_rgb(in_colours(read(sample.path)).pixels))


def _homogeneous(
    sample: Sample, params: CellmixerTrainParams, numbers: Mapping[str, int]
) -> list[Picture]:
    """The picture of a sample that shows one class; none where that is not to be learnt."""
    number = numbers.get(sample.kinds[0])
    if not number:
        return []
    pixels, mask = seen(rgb_of(sample), 1.0, params)
    if not mask.any():
        raise ValueError(
            f"{sample.path}: no foreground was found in this picture of class "
            f"{sample.kinds[0]!r}; change the foreground's threshold, or leave the picture out"
        )
    labels = mask.astype(np.uint8) * np.uint8(number)
    return [_picture(pixels, labels, number, sample, params)]


def _cut(
    sample: Sample,
    params: CellmixerTrainParams,
    numbers: Mapping[str, int],
    around: str,
    factor: float,
    side: int,
) -> list[Picture]:
    """Parts of a field with boxes, and crops of single cells.

    Cells that were drawn are taken as they are; else the foreground tells what they are.
    """
    rgb = rgb_of(sample)
    pixels, mask = seen(rgb, factor, params)
    if sample.masks is None:
        cuts = boxes.cuts(sample, mask, numbers, around, factor, side)
    else:
        size = (int(rgb.shape[0]), int(rgb.shape[1]))
        labels = drawn_labels(sample, sample.masks, numbers, size, mask.shape, factor)
        cuts = drawn_cuts(sample, labels, numbers, around, factor, side)
    found = []
    for cut in (without_ignored(cut, sample, factor) for cut in cuts):
        if (cut.labels == cut.number).any():
            part = (slice(None), *cut.part)
            found.append(_picture(pixels[part].copy(), cut.labels, cut.number, sample, params))
    return found


def seen(rgb: Any, factor: float, params: CellmixerTrainParams) -> tuple[Pixels, Any]:
    """Pixels ``(3, Y, X)`` at the model's scale, not yet referred to the background, and mask."""
    plain = {"name": "published", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    own = params.normalisation == BACKGROUND
    field = ReferencedField(rgb, factor, plain if own else {"name": params.normalisation})
    pixels = field.read(whole(field.shape))
    return pixels, foreground(as_picture(pixels), params)


def _picture(
    pixels: Pixels, labels: Labels, number: int, sample: Sample, params: CellmixerTrainParams
) -> Picture:
    statistics = None
    if params.normalisation == BACKGROUND:
        statistics = background_statistics(pixels, labels)
        if statistics is None:
            raise ValueError(
                f"{sample.path}: no background is left beside the cells; raise the foreground's "
                "threshold, or leave the picture out"
            )
    return Picture(pixels, labels, number, statistics, f"{sample.source}/{sample.group}")
