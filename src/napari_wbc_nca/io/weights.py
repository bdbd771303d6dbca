"""Checkpoints on disk: safetensors with a JSON card inside, and torch files by torch's safe loader.

Nothing in a file is ever run. That names and shapes of the weights are those that the card
describes is checked where networks are built: :mod:`napari_wbc_nca.models.build`.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import pickletools
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io._files import reason, to_json, write_whole
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    import numpy.typing as npt


FORMAT = 1
"""Number of this form of card; raised when an older program could misread a newer card."""
METHODS = ("nca_wss", "nca_max", "propagation", "cellmixer")
"""Names in the registry of methods that a card may have."""
LARGEST_CARD = 2**20
"""Bytes a card may have."""


_FIELDS = tuple(
    field.name for field in fields(Checkpoint) if field.name not in ("weights", "sha256")
)
"""Fields of a checkpoint that its card keeps."""


def card_json(checkpoint: Checkpoint) -> str:
    """Write the card of a checkpoint as JSON text and check that it can be read back."""
    text = json.dumps(
        {"format": FORMAT, **{name: to_json(getattr(checkpoint, name)) for name in _FIELDS}},
        allow_nan=False,
        sort_keys=True,
    )
    from_json(text)
    return text


_RENAMED_PARAMS = {
    "apart": "min_distance",
    "batch": "batch_size",
    "centre_weight": "pixel_loss_weight",
    "checkpointing": "gradient_checkpointing",
    "clip": "max_grad_norm",
    "crop": "crop_size",
    "cross_entropy": "cross_entropy_weight",
    "decay": "learning_rate_decay",
    "distance": "match_distance",
    "false_negatives": "tversky_beta",
    "false_positives": "tversky_alpha",
    "gamma": "focal_gamma",
    "highest_share": "max_lambda",
    "lowest_share": "min_lambda",
    "mixed": "mixed_share",
    "overlaps": "overlap_label",
    "patch": "patch_size",
    "readout": "readout_fit_windows",
    "refit": "classifier_fit_windows",
    "scaling": "max_scale_factor",
    "stain": "stain_augmentation",
    "validation": "validation_share",
    "whole_cells": "exclude_border_cells",
    "within": "same_class_share",
    "zoom": "scale_augmentation",
}
"""Training parameters in cards of earlier versions, and their names now."""


def from_json(text: str) -> Checkpoint:
    """Read a card from its JSON text and check it; the checkpoint has no weights yet."""
    if len(text) > LARGEST_CARD:
        raise ValueError(f"its card has {len(text)} characters; expected at most {LARGEST_CARD}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its card is no readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"its card is a JSON {type(values).__name__}; expected an object")
    if values.get("format") != FORMAT:
        raise ValueError(
            f"its card has format {values.get('format')!r}; this program reads format {FORMAT}; "
            "a newer program may have written it"
        )
    recorded = values.get("card")
    if isinstance(recorded, dict) and isinstance(recorded.get("params"), dict):
        params = recorded["params"]
        recorded["params"] = {_RENAMED_PARAMS.get(name, name): params[name] for name in params}
    if isinstance(values.get("architecture"), dict) and values["architecture"].pop("closer", 0):
        raise ValueError(
            "it classifies cells from larger windows (its 'closer' is above 0), which this version "
            "no longer does; train the model again"
        )
    return _checked_card(values)


def _checked_card(values: Mapping[str, Any]) -> Checkpoint:
    known = ", ".join(METHODS)
    _need(values, "method", _is_text, f"one of {known}")
    if values["method"] not in METHODS:
        raise ValueError(f"its method is {values['method']!r}; known are {known}")
    # A detector may look for one kind of cell; a classifier needs something to tell apart.
    least, some = (1, "") if values["method"] == "propagation" else (2, "two or more ")
    _need(values, "classes", partial(_is_names, least=least), f"a list of {some}different names")
    for name, (check, expected) in _CARD.items():
        _need(values, name, check, expected)
    kept = {name: values[name] for name in _FIELDS}
    sizes = {name: float(values[name]) for name in ("diameter", "pixel_size")}
    return Checkpoint(weights={}, **{**kept, **sizes, "classes": tuple(values["classes"])})


def _need(
    values: Mapping[str, Any], name: str, check: Callable[[Any], bool], expected: str
) -> None:
    if name not in values:
        raise ValueError(f"its card has no {name}; expected {expected}")
    if not check(values[name]):
        text = repr(values[name])
        text = text if len(text) < 80 else f"{text[:80]}…"
        raise ValueError(f"its card has {name} {text}; expected {expected}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _is_number(value: object) -> bool:
    # A comparison, since math.isfinite fails on integers beyond any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_length(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1e6


def _is_window(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= 4096


def _is_names(value: Any, least: int) -> bool:
    return (
        isinstance(value, list)
        and least <= len(value) <= 1000
        and all(map(_is_text, value))
        and len(set(value)) == len(value)
    )


def _is_constants(value: object, depth: int = 0) -> bool:
    """Check for an object of numbers and texts, or of nested lists of them."""
    return isinstance(value, dict) and all(_is_constant(item, depth) for item in value.values())


def _is_constant(value: object, depth: int) -> bool:
    if isinstance(value, list):
        return depth > 0 and all(_is_constant(item, depth - 1) for item in value)
    return value is None or isinstance(value, bool | str) or _is_number(value)


def _is_normalisation(value: Any) -> bool:
    return _is_constants(value, depth=2) and _is_text(value.get("name"))


_CARD: dict[str, tuple[Callable[[Any], bool], str]] = {
    "architecture": (_is_constants, "an object of numbers and texts"),
    "diameter": (_is_length, "a number of px above 0"),
    "pixel_size": (_is_length, "a number of µm above 0"),
    "window": (_is_window, "an integer in 8-4096 px"),
    "normalisation": (_is_normalisation, "an object with a name and its constants"),
    "card": (lambda value: isinstance(value, dict), "an object"),
    "name": (_is_text, "a text"),
}
"""Fields of a card, with the check and the description of their values."""


_TORCH, _SAFETENSORS = "a ZIP archive or torch file", "a safetensors file"
_SIGNATURES = {
    b"PK\x03\x04": _TORCH,
    b"\x80\x02": _TORCH,
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"\x89HDF": "an HDF5 file",
    b"\x80": "a Python pickle",
    b"\x1f\x8b": "a gzip file",
    b"version https://git-lfs": "a Git LFS pointer and not the file itself",
    b"<": "a web page or XML, as a failed download leaves",
}


def _kind(content: bytes) -> str:
    """Describe a file by its first bytes."""
    if content[7:9] == b"\x00{":
        return _SAFETENSORS
    names = (name for start, name in _SIGNATURES.items() if content.startswith(start))
    other = f"a file that begins with {content[:8]!r}" if content else "an empty file"
    return next(names, other)


KEY = "napari_wbc_nca"
"""Name in safetensors' metadata under which the card stands."""
LARGEST = 2**30
"""Bytes that a file of weights may have."""
_DAMAGE = (
    *(OSError, EOFError, struct.error, RuntimeError),
    *(ValueError, LookupError, TypeError, AssertionError),
)  # what torch's loader raises for cut files and changed bytes
_PICKLES = 4  # of an old torch file, before its numbers: mark, version, system, names

IMPORT = "napari-wbc-nca models import FILE --method METHOD --classes CLASSES"
"""Command that keeps a torch file with what it does not say of itself."""

Arrays = Mapping[str, "npt.NDArray[np.float32]"]


class WeightsError(ValueError):
    """A file of weights that cannot be used; says what was found, expected, and what to do."""


def save(checkpoint: Checkpoint, path: str | Path) -> str:
    """Write a checkpoint to a ``.safetensors`` file, all of it or nothing.

    Returns
    -------
    str
        SHA-256 of the file; equal checkpoints give equal files.

    Raises
    ------
    WeightsError
        When the card could not be read back, weights are not finite, or it cannot be written.
    """
    from safetensors.numpy import save as pack

    target = Path(path)
    if target.suffix != ".safetensors":
        raise WeightsError(f"{target} does not end with .safetensors; rename it")
    arrays = {
        name: np.ascontiguousarray(checkpoint.weights[name], dtype=np.float32)
        for name in sorted(checkpoint.weights)
    }
    try:
        card = card_json(checkpoint)
        check_finite(arrays)
    except ValueError as error:
        raise WeightsError(f"{target} is not written: {error}") from error
    content = pack(arrays, metadata={KEY: card})
    with write_whole(target, error=WeightsError) as (part,):
        part.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint from a ``.safetensors`` file.

    Raises
    ------
    WeightsError
        When the file is missing, truncated, of another kind, or its card cannot be used.
    """
    content = _read(source := Path(path))
    if _kind(content) == _TORCH:
        raise WeightsError(
            f"{source} is a torch file, which says nothing of its classes and scale; import it "
            f"once with: {IMPORT}"
        )
    try:
        card, arrays = _unpack(source, content)
        check_finite(arrays)
    except ValueError as error:
        raise WeightsError(f"{source} cannot be used: {error}") from error
    return replace(card, weights=arrays, sha256=hashlib.sha256(content).hexdigest())


def _unpack(path: Path, content: bytes) -> tuple[Checkpoint, Arrays]:
    """Read the card and the arrays of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    if (found := _kind(content)) != _SAFETENSORS:
        raise ValueError(f"it is {found}; expected a safetensors file")
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            metadata = file.metadata() or {}
            types = {file.get_slice(name).get_dtype() for name in names}
            if KEY not in metadata:
                raise ValueError(
                    f"it holds {len(names)} tensors but no card of napari-wbc-nca; expected a "
                    "file that this program trained or imported"
                )
            if types - {"F32"}:
                raise ValueError(f"its numbers are {', '.join(sorted(types))}; expected F32")
            return from_json(metadata[KEY]), {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"it is truncated or damaged: {error}; get it again") from error


def load_torch(path: str | Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read parameter names and arrays from a torch file (``.pt``, ``.pth``), running no code.

    Raises
    ------
    WeightsError
        When the file is missing, truncated, of another kind, holds code, or is no plain mapping
        of names to tensors.
    """
    import torch

    source = Path(path)
    if (found := _kind(content := _read(source))) != _TORCH:
        raise WeightsError(f"{source} is {found}; expected a torch file of weights (.pt or .pth)")
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _is_cut(content):
            raise WeightsError(f"{source} is truncated or damaged; get it again") from error
        raise WeightsError(
            f"{source} holds more than weights: loading it would run code that it brings, so it "
            "is refused; save the network's state_dict alone and import that"
        ) from error
    except _DAMAGE as error:
        raise WeightsError(
            f"{source} is truncated or damaged: {str(error) or 'it ends early'}; get it again"
        ) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        listed = ", ".join(map(repr, list(loaded)[:8])) if isinstance(loaded, dict) else ""
        found = f"a {type(loaded).__name__}" + (f" with {listed}" if listed else "")
        raise WeightsError(
            f"{source} holds {found}; expected a plain state_dict of names and tensors"
        )
    return {name: value.detach().float().numpy() for name, value in loaded.items()}


def _is_cut(content: bytes) -> bool:
    """Check whether a pickle of an old torch file is cut; it is parsed, never run.

    Half a harmless name looks to torch like that of foreign code.
    """
    if content.startswith(b"PK"):
        return False
    stream = io.BytesIO(content)
    try:
        for _ in range(_PICKLES):
            if stream.tell() < len(content):
                deque(pickletools.genops(stream), maxlen=0)
    except ValueError:
        return True
    return False


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise WeightsError(f"{path} has {size} bytes; expected weights of at most {LARGEST}")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {reason(error)}") from error


def check_finite(arrays: Arrays) -> None:
    """Refuse weights that are NaN or infinite, naming the array."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity; expected finite weights")
