"""Mixtures of homogeneous pictures, drawn from a seed, with augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import (
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandShiftIntensity,
)
from monai.transforms.spatial.array import RandFlip, RandRotate90
from monai.transforms.spatial.dictionary import RandZoomd
from scipy import ndimage as ndi
from torch.utils.data import Dataset

from napari_wbc_nca.ops.mixing import (
    IGNORED,
    Labels,
    Pixels,
    Statistics,
    background_statistics,
    mix,
    mix_masks,
    overlay_masks,
    standardise,
)

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
    from napari_wbc_nca.methods.cellmixer.samples import HomogeneousPicture


_HALF = 0.5


class Augment:
    """Random flips, quarter turns, scale, blur, noise and contrast, each with probability 0.5.

    `unit` is the typical contrast of a picture, in which noise and brightness are measured.
    """

    def __init__(self, params: CellmixerTrainParams, unit: float) -> None:
        turns = [RandRotate90(_HALF)] if params.quarter_turns else []
        self.turn = Compose([RandFlip(_HALF, 0), RandFlip(_HALF, 1), *turns])
        self.resize = Compose(
            _resizing(params.scale_augmentation) if params.scale_augmentation else []
        )
        self.light = Compose(list(_lights(params, unit)))

    def __call__(self, image: Pixels, labels: Labels, seed: int) -> tuple[Pixels, Labels]:
        """Augment a crop ``(C, h, w)`` and its labels ``(L, h, w)`` alike, as the `seed` has it."""
        for number, steps in enumerate((self.turn, self.resize, self.light)):
            steps.set_random_state((seed + number) % 2**31)
        # All channels turn as one array: that is faster than one by one.
        both = torch.from_numpy(np.concatenate((image, labels.astype(np.float32))))
        with _without_meta():
            turned = torch.as_tensor(self.turn(both))
            parts = {"image": turned[: len(image)], "labels": turned[len(image) :]}
            resized: dict[str, Any] = self.resize(parts)
            varied = self.light(torch.as_tensor(resized["image"]))
        return (
            np.ascontiguousarray(varied, np.float32),
            np.ascontiguousarray(resized["labels"]).astype(np.uint8),
        )


def _resizing(zoom: float) -> list[Any]:
    low, high = 1 - zoom, 1 / (1 - zoom)
    modes = ["bilinear", "nearest"]
    return [RandZoomd(["image", "labels"], _HALF, low, high, modes, padding_mode="reflect")]


def _lights(params: CellmixerTrainParams, unit: float) -> Iterator[Any]:
    if params.blur:
        sigma = (0.0, params.blur)
        yield _Smooth(sigma, sigma, (0.0, 0.0), _HALF)
    if params.contrast:
        yield RandScaleIntensity(params.contrast, _HALF)
    if params.tint:
        yield RandScaleIntensity(params.tint, _HALF, channel_wise=True)
    if params.brightness:
        yield RandShiftIntensity(params.brightness * unit, prob=_HALF)
    if params.noise:
        yield RandGaussianNoise(_HALF, 0.0, params.noise * unit)


class _Smooth(RandGaussianSmooth):
    """MONAI's blur, filtered by SciPy: five times as fast on one core, and no dark border."""

    def __call__(self, img: Any, randomize: bool = True) -> Any:
        if randomize:
            self.randomize()
        if not self._do_transform:
            return img
        sigma = (0.0, self.x, self.y)
        return torch.from_numpy(ndi.gaussian_filter(np.asarray(img), sigma, mode="nearest"))


@contextmanager
def _without_meta() -> Iterator[None]:
    """Strip tensors of their history, without which MONAI works twice as fast."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


@dataclass(frozen=True)
class Mixture:
    """A crop, or a mixture of two, to train on."""

    image: Pixels  # (3, h, w) float32
    present: Labels  # (classes, h, w) uint8: 1 where a pixel shows the class
    known: Labels  # (h, w) uint8: 0 where a pixel is left out of the loss
    numbers: tuple[int, ...]  # classes of the pictures it was made of, one or two


class MixtureDataset(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Crops and mixtures of crops; item `n` depends on the seed alone, not on the process.

    Crops are squares of `side` pixels; smaller pictures go on as their mirror image. `classes` is
    the number of classes, the background included.
    """

    def __init__(
        self,
        pictures: Sequence[HomogeneousPicture],
        classes: int,
        side: int,
        params: CellmixerTrainParams,
        augment: bool = True,
    ) -> None:
        self.classes, self.side, self.params = classes, side, params
        self.pictures = {
            number: [picture for picture in pictures if picture.number == number]
            for number in sorted({picture.number for picture in pictures})
        }
        self.augment = Augment(params, contrast_of(pictures)) if augment else None

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the image, classes present and known pixels as tensors."""
        made = self.draw(index)
        return tuple(map(torch.from_numpy, (made.image, made.present, made.known)))  # type: ignore[return-value]

    def draw(self, index: int) -> Mixture:
        """Draw mixture number `index` of this seed."""
        random = np.random.default_rng((self.params.seed, index))
        numbers = self._draw_classes(random)
        crops = [self._crop(number, random) for number in numbers]
        image, labels = self._mixed(crops, random) if len(crops) == 2 else self._single(*crops[0])
        if self.augment is not None:
            image, labels = self.augment(image, labels, int(random.integers(2**31)))
        return Mixture(image, *self._targets(labels), numbers)

    def _draw_classes(self, random: np.random.Generator) -> tuple[int, ...]:
        """Draw the classes of a mixture: one alone, twice the same, or two."""
        classes = list(self.pictures)
        first = int(random.choice(classes))
        if random.random() >= self.params.mixed_share:
            return (first,)
        others = [number for number in classes if number != first]
        if not others or random.random() < self.params.same_class_share:
            return (first, first)
        return (first, int(random.choice(others)))

    def _crop(
        self, number: int, random: np.random.Generator
    ) -> tuple[Pixels, Labels, Statistics | None]:
        """Crop a square of a picture of class `number`, with its background's statistics."""
        among = self.pictures[number]
        picture = among[int(random.integers(len(among)))]
        rows, columns = (_span(size, self.side, random) for size in picture.mask.shape)
        pixels, labels = picture.pixels[:, rows, columns], picture.mask[rows, columns]
        if labels.shape != (self.side, self.side):
            room = [(0, self.side - size) for size in labels.shape]
            pixels = np.pad(pixels, ((0, 0), *room), "reflect")
            labels = np.pad(labels, room, "reflect")
        if picture.statistics is None:
            return pixels, labels, None
        return pixels, labels, background_statistics(pixels, labels) or picture.statistics

    def _single(
        self, pixels: Pixels, labels: Labels, statistics: Statistics | None
    ) -> tuple[Pixels, Labels]:
        return (pixels if statistics is None else standardise(pixels, statistics)), labels[None]

    def _mixed(
        self, crops: Sequence[tuple[Pixels, Labels, Statistics | None]], random: np.random.Generator
    ) -> tuple[Pixels, Labels]:
        (first, below, one), (second, above, two) = crops
        share = float(random.uniform(self.params.min_lambda, self.params.max_lambda))
        image = mix(first, second, share, None if one is None or two is None else (one, two))
        if self.params.rescale:
            image /= np.float32(np.hypot(share, 1 - share))
        if self.params.overlap_label == "second":
            return image, mix_masks(below, above)[None]
        present, known = overlay_masks(below, above, self.classes)
        return image, np.concatenate((present, known[None]))

    def _targets(self, labels: Labels) -> tuple[Labels, Labels]:
        """Split labels into the classes present and the known pixels."""
        if len(labels) > 1:
            return labels[:-1], labels[-1]
        numbers = np.arange(self.classes, dtype=np.uint8)[:, None, None]
        return (labels == numbers).astype(np.uint8), (labels[0] != IGNORED).astype(np.uint8)


def contrast_of(pictures: Sequence[HomogeneousPicture]) -> float:
    """Compute the pictures' median standard deviation, in the units of the network's input."""
    found = []
    for picture in pictures:
        scale = 1.0 if picture.statistics is None else float(picture.statistics.std.mean())
        found.append(float(picture.pixels.std()) / scale)
    return float(np.median(found))


def _span(size: int, side: int, random: np.random.Generator) -> slice:
    """Return `side` pixels of `size`, or all where there are too few."""
    start = int(random.integers(max(1, size - side + 1)))
    return slice(start, start + min(side, size))
