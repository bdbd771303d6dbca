"""Import of checkpoints in the layouts that the authors of the methods published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.weights import IMPORT, WeightsError, check_finite, load_torch
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


def _is_detector(arrays: Arrays) -> bool:
    """Whether the names are those of WSISPDR's network, complete or not."""
    return any(name.startswith(("inc.", "outc.")) for name in arrays)


def _check_count(outputs: int, classes: Sequence[str], path: Path) -> None:
    """Refuse class names that are not as many as the network's outputs."""
    if outputs != len(classes):
        raise WeightsError(
            f"{path} has {outputs} outputs, but there are {len(classes)} class names "
            f"({', '.join(classes)}); give all in the order of the outputs: {IMPORT}"
        )


def _to_detector(arrays: Arrays, kinds: Sequence[str], path: Path) -> Checkpoint:
    """Convert the arrays of WSISPDR's ``state_dict``; `kinds` name its outputs."""
    weights = {_renamed(name, path): array for name, array in arrays.items() if _COUNT not in name}
    architecture = _detector_architecture(weights, path)
    _check_count(architecture["outputs"], kinds, path)
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
    """Return the name of a published parameter in the network of this program."""
    for published, own in _BLOCKS.items():
        if name.startswith(f"{published}."):
            return own + name.removeprefix(published)
    raise WeightsError(
        f"{path} is no WSISPDR checkpoint: {name} is not expected; its names begin with inc, "
        "down1-4, up1-4 and outc"
    )


def _detector_architecture(weights: Arrays, path: Path) -> dict[str, Any]:
    """Read the arguments of the network from the shapes of its weights."""
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


CLASSES = (
    *("basophil", "eosinophil", "erythroblast", "myeloblast", "promyelocyte", "myelocyte"),
    *("metamyelocyte", "neutrophil (banded)", "neutrophil (segmented)", "monocyte"),
    *("lymphocyte (typical)", "lymphocyte (atypical)", "smudge cell"),
)
"""The thirteen classes of the published checkpoint, in the order of its outputs."""
MEAN = (0.82069695, 0.7281261, 0.836143)
STD = (0.16157213, 0.2490039, 0.09052657)
STEPS = {"nca_max": 64, "nca_wss": 32}
WINDOW = 64
WINDOW_UM = 27.0
"""Side of the papers' crops in µm: 25-29, by data set."""
DIAMETER_UM = 13.0
"""Diameter in µm of a typical white blood cell on a smear."""


def import_published(path: str | Path, classes: Sequence[str] = (), method: str = "") -> Checkpoint:
    """Read a published ``state_dict`` as a checkpoint of this program.

    Whether all names and shapes are those of the network is found by
    :func:`~napari_wbc_nca.models.build.check_weights`.

    That of WSISPDR is a detector: it upsamples with ``align_corners``, its input is brightness
    divided by its largest value, and its model pixels are the image's. The published network of
    WBC-NCA convolves over (width, height), so the last axes of ``p0.weight`` and ``p1.weight``
    are swapped. Its probabilities are sigmoids (``card["activation"]``), its inputs are
    normalised by the mean and standard deviation of its training data.

    Parameters
    ----------
    path
        Torch file, read without running any code of it.
    classes
        Class names in the order of the network's outputs; where empty, `CLASSES` of an
        automaton, or ``cell`` of a detector.
    method
        ``nca_max``, ``nca_wss`` or ``propagation``; where empty, ``propagation`` for the names
        of WSISPDR's parameters, and ``nca_max`` for others.

    Raises
    ------
    WeightsError
        When the file cannot be used, or its outputs are not as many as `classes`.
    """
    if method and method not in (known := (*STEPS, "propagation")):
        raise WeightsError(f"method is {method!r}; choose one of {', '.join(known)}")
    if isinstance(classes, str):
        raise WeightsError(f"classes is the text {classes!r}; expected a list of class names")
    names = tuple(name.strip().lower() for name in classes)
    if len(set(names)) < len(names):
        raise WeightsError(f"class names must differ from each other; given: {', '.join(names)}")
    arrays = load_torch(path)
    try:
        check_finite(arrays)
    except ValueError as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    method = method or ("propagation" if _is_detector(arrays) else "nca_max")
    names = names or (("cell",) if method == "propagation" else CLASSES)
    if method == "propagation":
        return _to_detector(arrays, names, Path(path))
    architecture = _architecture(arrays, names, method, Path(path))
    for name in ("p0.weight", "p1.weight"):
        if name in arrays and arrays[name].ndim == 4:  # else it is refused with its name later
            arrays[name] = np.ascontiguousarray(arrays[name].swapaxes(-1, -2))
    return Checkpoint(
        method=method,
        architecture=architecture,
        weights=arrays,
        classes=names,
        diameter=WINDOW * DIAMETER_UM / WINDOW_UM,
        pixel_size=WINDOW_UM / WINDOW,
        window=WINDOW,
        normalisation={"name": "published", "mean": list(MEAN), "std": list(STD)},
        card={
            "activation": "sigmoid",
            "projection": "pca",
            "imported": Path(path).name,
            "data": "as its authors describe it",
            "licence": "as its authors state it; nothing is said in the file",
        },
        name=Path(path).stem.lower(),
    )


def _architecture(
    arrays: Mapping[str, npt.NDArray[np.float32]],
    classes: Sequence[str],
    method: str,
    path: Path,
) -> dict[str, int | float | str]:
    """Return the arguments of the network; its outputs must be as many as `classes`."""
    sizes, outputs = _sizes(arrays, path)
    _check_count(outputs, classes, path)
    pool = "max" if method == "nca_max" else "mean"
    return {
        **sizes,
        "steps": STEPS[method],
        "classes": outputs,
        "pool": pool,
        "fire_rate": 0.5,
        "readouts": 0,
    }


def _sizes(arrays: Mapping[str, npt.NDArray[np.float32]], path: Path) -> tuple[dict[str, int], int]:
    """Read the sizes and the number of outputs of the network from two of its matrices."""
    try:
        (channels, hidden), (outputs, head) = arrays["fc1.weight"].shape, arrays["fc3.weight"].shape
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{path} is no WBC-NCA checkpoint: fc1.weight and fc3.weight as matrices are "
            f"expected; found {', '.join(list(arrays)[:12]) or 'nothing'}"
        ) from error
    return {"channels": channels, "hidden": hidden, "head": head}, outputs
