"""Models by name: bundled, the user's own, and checkpoints in published layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io._files import HOME, user_data
from napari_wbc_nca.io.weights import IMPORT, WeightsError, check_finite, load, load_torch, save
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    import numpy.typing as npt

SUFFIX = ".safetensors"


@contextmanager
def _bundled() -> Iterator[Path]:
    with as_file(files("napari_wbc_nca") / "weights") as folder:
        yield folder


def user_models_folder() -> Path:
    """Return the folder of the user's own models; it need not exist."""
    return user_data() / "models"


def names() -> list[str]:
    """List the names of all available models, the bundled ones first."""
    with _bundled() as folder:
        bundled = _stems(folder)
    return bundled + [name for name in _stems(user_models_folder()) if name not in bundled]


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def resolve(model: str | Path) -> Checkpoint:
    """Read the checkpoint of a name or of a file.

    A name stands for a bundled model, then for one of the user's; anything else is a file:
    a checkpoint of ours, or a published one (``.pt``, ``.pth``) of WBC-NCA with its thirteen
    classes or of WSISPDR with its one; others are imported first, with their class names.

    Raises
    ------
    WeightsError
        When there is neither, with the names there are, or when it cannot be used.
    """
    with _bundled() as folder:
        if str(model) in _stems(folder):
            return _load_bundled(folder / f"{model}{SUFFIX}")
    own = user_models_folder() / f"{model}{SUFFIX}"
    if str(model) in _stems(own.parent):
        return load(own)
    path = Path(model).expanduser()
    if path.is_file():
        return import_published(path) if path.suffix.lower() in (".pt", ".pth") else load(path)
    found = "is a folder" if path.is_dir() else "is neither a file nor the name of a model"
    raise WeightsError(
        f"{str(model)!r} {found}; give a {SUFFIX} file or one of: "
        f"{', '.join(names()) or 'no model is installed'}"
    )


def finder_of(checkpoint: Checkpoint) -> Checkpoint:
    """Return the model that finds the cells of a classifier; any other model finds its own."""
    finder = checkpoint.card.get("finder")
    return resolve(finder) if finder else checkpoint


def _load_bundled(path: Path) -> Checkpoint:
    """Read a bundled model whose SHA-256 is the one that the index beside it lists."""
    index = path.with_name("index.json")
    hashes = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    checkpoint, expected = load(path), hashes.get(path.stem)
    if expected != checkpoint.sha256:
        raise WeightsError(
            f"{path} has SHA-256 {checkpoint.sha256}, but {expected or 'none'} is listed: the "
            "file was changed; install napari-wbc-nca again"
        )
    return checkpoint


def info(model: str | Path) -> dict[str, Any]:
    """Return everything that a model's file says of itself but its weights."""
    checkpoint = resolve(model)
    fields = {name: value for name, value in vars(checkpoint).items() if name != "weights"}
    parameters = sum(array.size for array in checkpoint.weights.values())
    return {**fields, "classes": list(checkpoint.classes), "parameters": parameters}


def register(checkpoint: Checkpoint, name: str) -> Path:
    """Save a checkpoint among the user's models under `name`; never in place of another.

    A WeightsError says when the name is taken or cannot be a file's, or nothing can be written.
    """
    check_name(name)
    path = user_models_folder() / f"{name}{SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{path.parent} cannot be made: {error.strerror}; set {HOME} to a folder of yours"
        ) from error
    save(replace(checkpoint, name=name), path)
    return path


def check_name(name: str) -> None:
    """Refuse a name that is taken or cannot be a file's, with a WeightsError, before training."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise WeightsError(
            f"{name!r} cannot name a model; use lower-case letters, digits, hyphens and underscores"
        )
    if name in names():
        raise WeightsError(f"a model {name!r} exists already; choose another name")


CLASSES = (
    *("basophil", "eosinophil", "erythroblast", "myeloblast", "promyelocyte", "myelocyte"),
    *("metamyelocyte", "neutrophil (banded)", "neutrophil (segmented)", "monocyte"),
    *("lymphocyte (typical)", "lymphocyte (atypical)", "smudge cell"),
)
"""The thirteen classes of the published WBC-NCA checkpoint, in the order of its outputs."""
MEAN = (0.82069695, 0.7281261, 0.836143)
STD = (0.16157213, 0.2490039, 0.09052657)
_STEPS = {"nca_max": 64, "nca_wss": 32}
_WINDOW = 64
_WINDOW_UM = 27.0  # side of the papers' crops: 25-29 µm, by data set
_DIAMETER_UM = 13.0  # of a typical white blood cell on a smear

_SIGMA = 12.0  # in pixels, of WSISPDR's Gaussians in fields of 1040×1392 pixels
_THRESHOLD = 125 / 255  # likelihood above which WSISPDR's code takes a peak for a cell
_BLOCKS = {
    "inc.conv.conv": "encoder.0",
    **{f"down{level}.mpconv.1.conv": f"encoder.{level}" for level in range(1, 7)},
    **{f"up{level}.conv.conv": f"decoder.{level - 1}" for level in range(1, 7)},
    "outc.conv": "head",
}
_Arrays = Mapping[str, "npt.NDArray[np.float32]"]


def import_published(path: str | Path, classes: Sequence[str] = (), method: str = "") -> Checkpoint:
    """Read a published ``state_dict`` as a checkpoint of this program.

    :func:`~napari_wbc_nca.models.build.check_weights` checks names and shapes. WSISPDR's network is
    a detector: it upsamples with ``align_corners``, its input is brightness divided by its largest
    value, and its model pixels are the image's. That of WBC-NCA convolves over (width, height), so
    the last axes of ``p0.weight`` and ``p1.weight`` are swapped; its probabilities are sigmoids
    (``card["activation"]``), its inputs normalised by mean and standard deviation of its training
    data.

    Parameters
    ----------
    path
        Torch file, read without running any code of it.
    classes
        Class names in the order of the outputs; by default `CLASSES`, or ``cell`` of a detector.
    method
        ``nca_max``, ``nca_wss`` or ``propagation``; where empty, by the names of the parameters.

    Raises
    ------
    WeightsError
        When the file cannot be used, or its outputs are not as many as `classes`.
    """
    if method and method not in (known := (*_STEPS, "propagation")):
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
    detector = any(name.startswith(("inc.", "outc.")) for name in arrays)
    method = method or ("propagation" if detector else "nca_max")
    names = names or (("cell",) if method == "propagation" else CLASSES)
    convert = _to_detector if method == "propagation" else _to_automaton
    checkpoint = convert(arrays, names, method, Path(path))
    outputs = checkpoint.architecture["outputs" if method == "propagation" else "classes"]
    if outputs != len(names):
        raise WeightsError(
            f"{path} has {outputs} outputs, but there are {len(names)} class names "
            f"({', '.join(names)}); give all in the order of the outputs: {IMPORT}"
        )
    source = {
        "imported": Path(path).name,
        "data": "as its authors describe it",
        "licence": "as its authors state it; nothing is said in the file",
    }
    return replace(checkpoint, card={**checkpoint.card, **source})


def _to_detector(arrays: _Arrays, classes: tuple[str, ...], method: str, path: Path) -> Checkpoint:
    """Convert WSISPDR's parameters; the arguments of the network are read from their shapes."""
    weights = {
        _renamed(name, path): array
        for name, array in arrays.items()
        if "num_batches_tracked" not in name
    }
    ends = [weights.get(name) for name in ("encoder.0.0.weight", "head.weight")]
    if not all(end is not None and end.ndim == 4 for end in ends):
        raise WeightsError(
            f"{path} is no WSISPDR checkpoint: inc.conv.conv.0.weight and outc.conv.weight are "
            f"expected; found {', '.join(list(weights)[:6]) or 'nothing'}"
        )
    levels = sorted(name for name in weights if re.fullmatch(r"encoder\.\d\.0\.weight", name))
    return Checkpoint(
        method=method,
        architecture={
            "channels_in": int(weights["encoder.0.0.weight"].shape[1]),
            "outputs": int(weights["head.weight"].shape[0]),
            "widths": "-".join(str(weights[name].shape[0]) for name in levels),
            "align_corners": True,
        },
        weights=weights,
        classes=classes,
        diameter=48.0,  # nominal, as is the size of a pixel: no picture is brought to them
        pixel_size=1.3,
        window=256,  # side of the crops that it was trained on
        normalisation={"name": "maximum"},
        card={"sigma": _SIGMA, "least": dict.fromkeys(classes, _THRESHOLD), "scale": "pixels"},
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


def _to_automaton(arrays: _Arrays, classes: tuple[str, ...], method: str, path: Path) -> Checkpoint:
    """Convert the parameters of WBC-NCA; sizes are read from two of its matrices."""
    try:
        (channels, hidden), (outputs, head) = arrays["fc1.weight"].shape, arrays["fc3.weight"].shape
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{path} is no WBC-NCA checkpoint: fc1.weight and fc3.weight as matrices are "
            f"expected; found {', '.join(list(arrays)[:12]) or 'nothing'}"
        ) from error
    filters = {  # another one is refused later, with its name
        name: np.ascontiguousarray(arrays[name].swapaxes(-1, -2))
        for name in ("p0.weight", "p1.weight")
        if name in arrays and arrays[name].ndim == 4
    }
    return Checkpoint(
        method=method,
        architecture={
            **{"channels": channels, "hidden": hidden, "head": head, "classes": outputs},
            **{"steps": _STEPS[method], "pool": "max" if method == "nca_max" else "mean"},
            **{"fire_rate": 0.5, "readouts": 0},
        },
        weights={**arrays, **filters},
        classes=classes,
        diameter=_WINDOW * _DIAMETER_UM / _WINDOW_UM,
        pixel_size=_WINDOW_UM / _WINDOW,
        window=_WINDOW,
        normalisation={"name": "published", "mean": list(MEAN), "std": list(STD)},
        card={"activation": "sigmoid", "projection": "pca"},
        name=path.stem.lower(),
    )
