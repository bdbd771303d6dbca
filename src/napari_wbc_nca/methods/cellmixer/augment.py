"""Variations of a crop as CellMixer has them, by MONAI: flips, blur, noise, light."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
    from napari_wbc_nca.ops.mixing import Labels, Pixels

_HALF = 0.5


class Augment:
    """Flips, quarter turns, size, focus, noise, contrast and brightness, each at a chance of half.

    Parameters
    ----------
    params
        How strong each is; 0 leaves it out.
    unit
        Typical contrast of a picture, in which noise and brightness are measured.
    """

    def __init__(self, params: CellmixerTrainParams, unit: float) -> None:
        self.turn = Compose([RandFlip(_HALF, 0), RandFlip(_HALF, 1), RandRotate90(_HALF)])
        self.resize = Compose(_resizing(params.zoom) if params.zoom else [])
        self.light = Compose(list(_lights(params, unit)))

    def __call__(self, image: Pixels, labels: Labels, seed: int) -> tuple[Pixels, Labels]:
        """The same crop and labels for the same `seed`, varied alike where they must be.

        Parameters
        ----------
        image
            ``(C, h, w)`` float32.
        labels
            ``(L, h, w)`` uint8.
        seed
            Of this variation.
        """
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
    """Plain tensors, which MONAI works on twice as fast as on those that keep their history."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
