"""What a training is asked to do, and how it goes on in a thread."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points

from napari_wbc_nca.cell_types import WBC, canonical
from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.formats.files import rgb
from napari_wbc_nca.formats.items import item
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint
from napari_wbc_nca.widgets.planes import OURS, on_plane, source_of, to_plane

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Layer


@dataclass(frozen=True, eq=False)
class Order:
    """One click on the button.

    Attributes
    ----------
    name
        Name of the model to be.
    method
        Name in the registry.
    params
        Training parameters.
    data
        Samples, or where they are read from.
    model
        Name or file of the model to start from; empty for none.
    anew
        Forget a training of that name that was stopped.
    """

    name: str
    method: str
    params: Any
    data: Sequence[Sample] | Path
    model: str = ""
    anew: bool = False


@dataclass(frozen=True)
class Noted:
    """What a person should know of the data before they are learnt from."""

    notes: tuple[str, ...]


def learn(order: Order) -> Generator[Progress | Noted, None, Checkpoint]:
    """Train as ordered, and keep the model among the user's own; runs in a thread.

    The workflow is imported here: it loads torch, which would hold up the window for seconds.
    """
    from napari_wbc_nca.datasets import readers
    from napari_wbc_nca.io import model_store
    from napari_wbc_nca.workflow import train

    yield Progress(0, 1, "Reading the data")
    samples = readers.read(order.data) if isinstance(order.data, Path) else order.data
    yield Noted(tuple(train.notes(samples)))
    init = model_store.resolve(order.model) if order.model else None
    request = train.Request(order.method, order.params, init)
    request = train.start_training(order.name, request, order.model, anew=order.anew)
    trained = yield from train.run(request, samples)
    kept = train.keep(trained, train.free_name(order.name))  # it may have been taken meanwhile
    train.forget_training(order.name)
    return kept


def pointed(points: Points, layers: Sequence[Layer]) -> list[Sample]:
    """Samples of a Points layer: one for each plane of the topmost image that holds a point.

    The class of a point stands among the layer's features, under ``class``.

    Raises
    ------
    ValueError
        When there is no image.
    """
    images = [la for la in layers if isinstance(la, Image) and OURS not in la.metadata]
    if not images:
        raise ValueError(f"There is no image under {points.name}. Open the one it belongs to.")
    source = source_of(images[-1])
    places = to_plane(source, points, np.asarray(points.data, float))
    classes = points.features["class"] if "class" in points.features else [WBC] * len(places)
    samples = []
    for index in source.planes():
        here = on_plane(places, index)
        if here.any():
            plane = source.image(index)
            found = [str(name) for name, on in zip(classes, here, strict=True) if on]
            samples.append(_sample(plane.name, plane.pixels, places[here][:, len(index) :], found))
    return samples


def _sample(
    name: str, pixels: Any, places: npt.NDArray[np.float64], kinds: Sequence[str]
) -> Sample:
    shape = pixels.shape[:2]
    picture = rgb(item(name, np.zeros(shape, np.uint8), pixels=np.asarray(pixels)))
    middles = (places + 0.5).astype(np.float32)  # napari counts from the middle of a pixel
    return Sample(
        Path(name),
        np.hstack([middles, middles]),
        tuple(canonical(kind) for kind in kinds),
        name,
        "layers",
        kinds=tuple(kind.lower() for kind in kinds),
        pixels=picture,
    )
