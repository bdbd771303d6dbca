"""What CellMixer would see and learn from, to be looked at before it is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io import images
from napari_wbc_nca.methods.cellmixer.mixtures import Mixture, MixtureDataset
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams, by_recipe
from napari_wbc_nca.methods.cellmixer.samples import classes_of, prepare, read_foreground
from napari_wbc_nca.ops.mixing import IGNORED
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Sample

_LOOKED_AT = 8  # pictures of each class
_SPREAD = 0.5  # percent of the brightest and darkest values that saturate


@dataclass(frozen=True, eq=False)
class Preview:
    """Mixtures as a network would learn from them."""

    images: npt.NDArray[np.uint8]  # (N, h, w, 3), stretched to be seen
    # (N, h, w) class numbers; len(classes) where cells of several classes are, or IGNORED.
    labels: npt.NDArray[np.uint8]
    classes: tuple[str, ...]  # names, the background first


def preview_mixtures(
    samples: Sequence[Sample], params: CellmixerTrainParams, count: int = 9, vary: bool = True
) -> Generator[Progress, None, Preview]:
    """Make the first `count` mixtures of a training, of a few pictures of each class.

    They are augmented if `vary`. Pictures that cannot be used raise a ValueError, as in training.
    """
    classes = classes_of(samples, params.populations)
    side = by_recipe(params, "unet" if params.network == "auto" else params.network).crop_size
    pictures = yield from prepare(_few(samples), params, classes, side)
    mixtures = MixtureDataset(pictures, len(classes), side, params, vary)
    made = [mixtures.draw(index) for index in range(count)]
    labels = [_numbers(mixture) for mixture in made]
    images = np.stack([np.moveaxis(m.image, 0, -1) for m in made])
    # Absorbed light is shown dark, as in a microscope.
    dark = params.normalisation not in ("background", "standard")
    return Preview(_stretched(-images if dark else images), np.stack(labels), classes)


def preview_foreground(
    pixels: Any, params: CellmixerTrainParams, diameter: float = 0.0, pixel_size: float = 0.0
) -> npt.NDArray[np.bool_]:
    """Find the ``(Y, X)`` bool foreground that training would find in an image.

    Where training brings fields to one scale, and that of the image is known, it is looked for at
    that scale: by the diameter of a white blood cell in pixels, or the pixel size in µm; 0 where
    unknown. An image that cannot be used raises a ValueError.
    """
    image = images.prepare(Image(pixels))
    factor = 1.0
    if params.diameter and diameter:
        factor = diameter / params.diameter
    elif params.diameter and params.pixel_size and pixel_size:
        factor = params.pixel_size / pixel_size
    mask = read_foreground(np.asarray(images.to_rgb(image)), factor, params)[1]
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) / factor).astype(int), size - 1)
        for side, size in zip(image.shape, mask.shape, strict=True)
    )
    return np.asarray(mask[np.ix_(rows, columns)])


def _numbers(mixture: Mixture) -> npt.NDArray[np.uint8]:
    """Merge what may be several classes to one number a pixel."""
    found: npt.NDArray[np.uint8] = mixture.present.argmax(0).astype(np.uint8)
    found[mixture.present.sum(0) > 1] = len(mixture.present)
    found[mixture.known == 0] = IGNORED
    return found


def _few(samples: Sequence[Sample]) -> list[Sample]:
    """Choose the first samples that show each class."""
    counts: Counter[str] = Counter()
    found = []
    for sample in samples:
        if any(counts[kind] < _LOOKED_AT for kind in sample.kinds):
            counts.update(set(sample.kinds))
            found.append(sample)
    return found


def _stretched(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return values as brightness, the few extreme ones saturated."""
    low, high = np.percentile(values, (_SPREAD, 100 - _SPREAD))
    return np.asarray(((values - low) / max(high - low, 1e-6)).clip(0, 1) * 255, np.uint8)
