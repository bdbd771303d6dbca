"""Pictures of one class each, from a folder a class or from fields with boxes or masks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import BACKGROUND
from napari_wbc_nca.io import images
from napari_wbc_nca.methods.cellmixer import crops
from napari_wbc_nca.methods.field import BRIGHTNESS, BY_BACKGROUND, Field
from napari_wbc_nca.ops.foreground import foreground
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.ops.mixing import Labels, Pixels, Statistics, background_statistics
from napari_wbc_nca.params import fields, split_names
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams


@dataclass(frozen=True, eq=False)
class HomogeneousPicture:
    """A picture of one population at the model's scale; with masks, other classes may be in it."""

    pixels: Pixels  # (3, Y, X) float32, stain-normalised where that is asked for
    mask: Labels  # (Y, X) uint8: 0 background, the number of a class, or IGNORED
    number: int  # of its class
    # Of its background; None where a stain normalisation has brought it to 0.
    statistics: Statistics | None


def classes_of(samples: Sequence[Sample], listed: str) -> tuple[str, ...]:
    """List the class names in the order of the outputs, the background first.

    Those `listed`, joined by commas, or all that are labelled where it is empty. A listed class
    that is not labelled, or none at all, raises a ValueError.
    """
    found = {kind for sample in samples for kind in sample.kinds}
    chosen = split_names(listed.lower())
    for name in chosen:
        if name not in found:
            raise ValueError(
                f"class {name!r} is not labelled anywhere; labelled are {', '.join(sorted(found))}"
            )
    names = [name for name in chosen or sorted(found) if name != BACKGROUND]
    if not names:
        raise ValueError("no picture has a class; give a folder of pictures for each population")
    return (BACKGROUND, *names)


def normalisation_of(params: CellmixerTrainParams) -> dict[str, Any]:
    """Return the normalisation for the checkpoint; the paper's needs the foreground's values."""
    names = [field.name for field in fields(ForegroundParams)]
    own = params.normalisation == BY_BACKGROUND
    kept = {name: getattr(params, name) for name in names} if own else {}
    return {"name": params.normalisation, **kept}


class HomogeneousSampler:
    """Pictures of one class each, from crops and from fields with boxes or masks.

    `classes` begins with the background; `side` is that of a crop in model pixels.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        params: CellmixerTrainParams,
        classes: Sequence[str],
        side: int,
    ) -> None:
        self.params, self.side = params, side
        self.numbers = {name: number for number, name in enumerate(classes)}
        boxed = [sample for sample in samples if sample.boxes is not None]
        self.sizes = crops.relative_sizes(boxed)
        self.common = crops.most_common_class(boxed, classes)

    def pictures(self, sample: Sample) -> list[HomogeneousPicture]:
        """Make the pictures of a sample; a ValueError names one that has no back- or foreground."""
        return self._whole(sample) if sample.boxes is None else self._crops(sample)

    def check_classes(self, pictures: Sequence[HomogeneousPicture]) -> None:
        """Raise a ValueError that names a class without any picture."""
        for name, number in self.numbers.items():
            if number and not any(picture.number == number for picture in pictures):
                raise ValueError(
                    f"no picture of class {name!r} can be used: its cells are too small, or always "
                    "among others; leave the class out, or give single crops of it"
                )

    def _whole(self, sample: Sample) -> list[HomogeneousPicture]:
        """Make the picture of a sample that shows one class."""
        number = self.numbers.get(sample.kinds[0])
        if not number:
            return []
        pixels, mask = read_foreground(rgb_of(sample), 1.0, self.params)
        if not mask.any():
            raise ValueError(
                f"{sample.path}: no foreground was found in this picture of class "
                f"{sample.kinds[0]!r}; change the foreground's threshold, or leave the picture out"
            )
        return [self._picture(pixels, mask.astype(np.uint8) * np.uint8(number), number, sample)]

    def _crops(self, sample: Sample) -> list[HomogeneousPicture]:
        """Crop a field with boxes; masks are taken as they are, else the foreground."""
        factor = crops.scale_factor(sample, self.sizes, self.params.diameter)
        rgb = rgb_of(sample)
        pixels, mask = read_foreground(rgb, factor, self.params)
        cropper = crops.Cropper(sample, self.numbers, self.common, factor, self.side)
        if sample.masks is None:
            made = cropper.box_crops(mask)
        else:
            size = (int(rgb.shape[0]), int(rgb.shape[1]))
            made = cropper.mask_crops(cropper.mask_labels(sample.masks, size, mask.shape))
        return [
            self._picture(pixels[:, *crop.part].copy(), crop.labels, crop.number, sample)
            for crop in map(cropper.without_ignored, made)
            if (crop.labels == crop.number).any()
        ]

    def _picture(
        self, pixels: Pixels, labels: Labels, number: int, sample: Sample
    ) -> HomogeneousPicture:
        statistics = None
        if self.params.normalisation == BY_BACKGROUND:
            statistics = background_statistics(pixels, labels)
            if statistics is None:
                raise ValueError(
                    f"{sample.path}: no background is left beside the cells; raise the "
                    "foreground's threshold, or leave the picture out"
                )
        return HomogeneousPicture(pixels, labels, number, statistics)


def prepare(
    samples: Sequence[Sample], params: CellmixerTrainParams, classes: Sequence[str], side: int
) -> Generator[Progress, None, list[HomogeneousPicture]]:
    """Make the homogeneous pictures of all samples, as :class:`HomogeneousSampler`."""
    sampler = HomogeneousSampler(samples, params, classes, side)
    pictures: list[HomogeneousPicture] = []
    for done, sample in enumerate(samples, start=1):
        pictures += sampler.pictures(sample)
        yield Progress(done, len(samples), "Preparing samples")
    sampler.check_classes(pictures)
    return pictures


def rgb_of(sample: Sample) -> Any:
    """Read the colours ``(Y, X, 3)`` in 0–255 of a sample of any bit depth, or of grey values."""
    if sample.pixels is not None:
        return images.to_rgb(sample.pixels)
    return np.asarray(images.to_rgb(images.prepare(images.read(sample.path))))


def read_foreground(rgb: Any, factor: float, params: CellmixerTrainParams) -> tuple[Pixels, Any]:
    """Read pixels ``(3, Y, X)`` at the model's scale and the bool mask of their foreground."""
    own = params.normalisation == BY_BACKGROUND
    field = Field(rgb, factor, BRIGHTNESS if own else {"name": params.normalisation})
    pixels = field.read_pixels(field.whole)
    return np.moveaxis(pixels, -1, 0), foreground(np.ascontiguousarray(pixels), params)
