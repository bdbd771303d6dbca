"""Variations of a crop as CellMixer has them, by MONAI: flips, blur, noise, light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import (
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from monai.transforms.spatial.dictionary import RandFlipd, RandRotate90d, RandZoomd

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
        both, image = ["image", "labels"], ["image"]
        steps: list[Any] = [RandFlipd(both, _HALF, axis) for axis in (0, 1)]
        steps.append(RandRotate90d(both, _HALF))
        if params.zoom:
            low, high = 1 - params.zoom, 1 / (1 - params.zoom)
            modes = ["bilinear", "nearest"]
            steps.append(RandZoomd(both, _HALF, low, high, mode=modes, padding_mode="reflect"))
        if params.blur:
            sigma = (0.0, params.blur)
            steps.append(RandGaussianSmoothd(image, sigma, sigma, (0.0, 0.0), prob=_HALF))
        if params.contrast:
            steps.append(RandScaleIntensityd(image, params.contrast, _HALF))
        if params.tint:
            steps.append(RandScaleIntensityd(image, params.tint, _HALF, channel_wise=True))
        if params.brightness:
            steps.append(RandShiftIntensityd(image, params.brightness * unit, prob=_HALF))
        if params.noise:
            steps.append(RandGaussianNoised(image, _HALF, 0.0, params.noise * unit))
        self.transform = Compose(steps)

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
        self.transform.set_random_state(seed)
        varied = self.transform({"image": image, "labels": labels})
        return (
            np.ascontiguousarray(varied["image"], np.float32),
            np.ascontiguousarray(varied["labels"]).astype(np.uint8),
        )
