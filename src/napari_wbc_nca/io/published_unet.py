"""The detector's layout that the authors of WSISPDR published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.architectures import mismatches, unet_shapes
from napari_wbc_nca.io.weights import IMPORT, WeightsError
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    import numpy.typing as npt

Arrays = Mapping[str, "npt.NDArray[np.float32]"]

SIGMA = 12.0
"""σ in pixels of its Gaussians, in fields of 1040×1392 pixels."""
LEAST = 125 / 255
"""Likelihood above which its code takes a peak for a cell."""
_DIAMETER, _PIXEL_SIZE = 48.0, 1.3  # nominal: no picture is brought to them
_WINDOW = 256  # side of the crops that it was trained on

_BLOCKS = {
    "inc.conv.conv": "encoder.0",
    **{f"down{level}.mpconv.1.conv": f"encoder.{level}" for level in range(1, 7)},
    **{f"up{level}.conv.conv": f"decoder.{level - 1}" for level in range(1, 7)},
    "outc.conv": "head",
}
_COUNT = "num_batches_tracked"


def is_detector(arrays: Arrays) -> bool:
    """Whether the names are those of WSISPDR's network, complete or not."""
    return any(name.startswith(("inc.", "outc.")) for name in arrays)


def check_count(outputs: int, classes: Sequence[str], path: Path) -> None:
    """Refuse class names that are not as many as the network's outputs.

    Raises
    ------
    WeightsError
        With the command that takes them.
    """
    if outputs != len(classes):
        raise WeightsError(
            f"{path} has {outputs} outputs, but there are {len(classes)} class names "
            f"({', '.join(classes)}); give all in the order of the outputs: {IMPORT}"
        )


def to_detector(arrays: Arrays, kinds: Sequence[str], path: Path) -> Checkpoint:
    """Checkpoint of this program from the arrays of a published ``state_dict``.

    The published network upsamples with ``align_corners``, sees brightness divided by its largest
    value, and was trained on pictures as they are: its model pixels are the image's.

    Parameters
    ----------
    arrays
        Parameter name to array.
    kinds
        Name of each output.
    path
        File they came from.

    Raises
    ------
    WeightsError
        When names or shapes do not fit, or its outputs are not as many as `kinds`.
    """
    weights = {_renamed(name, path): array for name, array in arrays.items() if _COUNT not in name}
    architecture = _architecture(weights, path)
    check_count(architecture["outputs"], kinds, path)
    try:
        expected = unet_shapes(architecture, len(kinds))
    except ValueError as error:
        raise WeightsError(f"{path} cannot be imported: {error}") from error
    if wrong := mismatches(expected, {name: array.shape for name, array in weights.items()}):
        raise WeightsError(f"{path} is no WSISPDR checkpoint: {'; '.join(wrong[:3])}")
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{path} is damaged: {name} holds NaN or infinity")
    return Checkpoint(
        method="propagation",
        architecture=architecture,
        weights=weights,
        classes=tuple(kinds),
        diameter=_DIAMETER,
        pixel_size=_PIXEL_SIZE,
        window=_WINDOW,
        normalisation={"name": "maximum"},
        card={
            "sigma": SIGMA,
            "least": dict.fromkeys(kinds, LEAST),
            "scale": "pixels",
            "imported": path.name,
            "data": "as its authors describe it",
            "licence": "as its authors state it; nothing is said in the file",
        },
        name=path.stem.lower(),
    )


def _renamed(name: str, path: Path) -> str:
    """Name of a published parameter in the network of this program."""
    for published, own in _BLOCKS.items():
        if name.startswith(f"{published}."):
            return own + name.removeprefix(published)
    raise WeightsError(
        f"{path} is no WSISPDR checkpoint: {name} is not expected; its names begin with inc, "
        "down1-4, up1-4 and outc"
    )


def _architecture(weights: Arrays, path: Path) -> dict[str, Any]:
    """Arguments of the network, from the shapes of its weights."""
    levels = sorted(name for name in weights if re.fullmatch(r"encoder\.\d\.0\.weight", name))
    ends = [weights.get(name) for name in ("encoder.0.0.weight", "head.weight")]
    if not all(end is not None and end.ndim == 4 for end in ends):
        raise WeightsError(
            f"{path} is no WSISPDR checkpoint: inc.conv.conv.0.weight and outc.conv.weight are "
            f"expected; found {', '.join(list(weights)[:6]) or 'nothing'}"
        )
    return {
        "channels_in": int(weights["encoder.0.0.weight"].shape[1]),
        "outputs": int(weights["head.weight"].shape[0]),
        "widths": "-".join(str(weights[name].shape[0]) for name in levels),
        "align_corners": True,
    }
