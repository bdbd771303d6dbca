"""Parameters of the methods; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_wbc_nca.params import Bounds
from napari_wbc_nca.types import Device


@dataclass(frozen=True)
class PredictParams:
    """What running a model needs to be told, whatever its method."""

    pixel_size: Annotated[
        float, Bounds("Side of a pixel; 0 takes the image's own", "µm", low=0, high=100)
    ] = 0.0
    diameter: Annotated[
        float, Bounds("Diameter of a white blood cell; 0 estimates it", "px", low=0, high=10_000)
    ] = 0.0
    maps: Annotated[bool, Bounds("Add the maps behind the labels as images")] = False
    device: Annotated[Device, Bounds("Where the network runs", advanced=True)] = "auto"
    tile: Annotated[
        int, Bounds("Side of a tile of the field", "px", low=128, high=16_384, advanced=True)
    ] = 2048
    batch_size: Annotated[
        int,
        Bounds("Windows that go through the network at a time", low=2, high=1024, advanced=True),
    ] = 16
