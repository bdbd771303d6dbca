"""Import of checkpoints in the layouts that the authors of the methods published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.io.architectures import SHAPES, mismatches
from napari_wbc_nca.io.published_unet import check_count, is_detector, to_detector
from napari_wbc_nca.io.weights import WeightsError, load_torch
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    import numpy.typing as npt

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

    That of WSISPDR is a detector: :func:`~napari_wbc_nca.io.published_unet.to_detector`. The
    published network of WBC-NCA convolves over (width, height), so the last axes of ``p0.weight``
    and ``p1.weight`` are swapped. Its probabilities are sigmoids (``card["activation"]``), its
    inputs are normalised by the mean and standard deviation of its training data.

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
    method = method or ("propagation" if is_detector(arrays) else "nca_max")
    names = names or (("cell",) if method == "propagation" else CLASSES)
    if method == "propagation":
        return to_detector(arrays, names, Path(path))
    architecture = _architecture(arrays, names, method, Path(path))
    for name in ("p0.weight", "p1.weight"):
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
    """Arguments of the network, once all shapes and the number of `classes` fit."""
    sizes, outputs = _sizes(arrays, path)
    sizes["steps"] = STEPS[method]
    try:
        expected = SHAPES[method]({**sizes, "readouts": 0}, outputs)
    except ValueError as error:
        raise WeightsError(f"{path} cannot be imported: {error}") from error
    if wrong := mismatches(expected, {name: array.shape for name, array in arrays.items()}):
        raise WeightsError(f"{path} is no WBC-NCA checkpoint: {'; '.join(wrong[:3])}")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{path} is damaged: {name} holds NaN or infinity")
    check_count(outputs, classes, path)
    pool = "max" if method == "nca_max" else "mean"
    return {**sizes, "classes": outputs, "pool": pool, "fire_rate": 0.5, "readouts": 0}


def _sizes(arrays: Mapping[str, npt.NDArray[np.float32]], path: Path) -> tuple[dict[str, int], int]:
    """Sizes of the network and number of its outputs, from two matrices that tell them all."""
    try:
        (channels, hidden), (outputs, head) = arrays["fc1.weight"].shape, arrays["fc3.weight"].shape
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{path} is no WBC-NCA checkpoint: fc1.weight and fc3.weight as matrices are "
            f"expected; found {', '.join(list(arrays)[:12]) or 'nothing'}"
        ) from error
    return {"channels": channels, "hidden": hidden, "head": head}, outputs
