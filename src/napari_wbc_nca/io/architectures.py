"""Names and shapes that a network's weights must have: told from its card, without building it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_wbc_nca.params import integers

Shapes = dict[str, tuple[int, ...]]

_SIZES: Mapping[str, tuple[int | None, int, int]] = {
    # name: default, smallest, largest; the defaults are those of the network's own arguments
    "channels": (None, 4, 512),
    "hidden": (None, 1, 1024),
    "steps": (None, 1, 1024),
    "head": (128, 1, 4096),
    "readouts": (2, 0, 64),
}


_POOLS = {"mean": 1, "max": 1, "parts": 6}


def _statistics(architecture: Mapping[str, Any]) -> int:
    """Features per channel that the network pools a window into."""
    pool = architecture.get("pool", "mean")
    if pool not in _POOLS:
        raise ValueError(f"pool is {pool!r}; expected one of {', '.join(_POOLS)}")
    return _POOLS[pool]


def nca_shapes(architecture: Mapping[str, Any], classes: int) -> Shapes:
    """Parameter name to shape of the neural cellular automaton.

    Parameters
    ----------
    architecture
        Arguments of the network: ``channels``, ``hidden`` and ``steps``; ``head``
        and ``readouts`` where they differ from the network's own.
    classes
        Number of class names.

    Raises
    ------
    ValueError
        For a size that is missing, no integer, or out of bounds.

    Examples
    --------
    >>> nca_shapes({"channels": 32, "hidden": 64, "steps": 32}, classes=6)["fc0.weight"]
    (64, 96)
    """
    size = {name: _size(architecture, name) for name in _SIZES}
    channels, hidden, head, readouts = (
        size[name] for name in ("channels", "hidden", "head", "readouts")
    )
    if architecture.get("classes", classes) != classes:
        raise ValueError(
            f"the architecture says {architecture['classes']!r} classes, "
            f"but {classes} class names are listed"
        )
    shapes: Shapes = {
        "p0.weight": (channels, 1, 3, 3),
        "p0.bias": (channels,),
        "p1.weight": (channels, 1, 3, 3),
        "p1.bias": (channels,),
        "fc0.weight": (hidden, 3 * channels),
        "fc0.bias": (hidden,),
        "fc1.weight": (channels, hidden),
        "fc2.weight": (head, channels * _statistics(architecture)),
        "fc2.bias": (head,),
        "fc3.weight": (classes, head),
        "fc3.bias": (classes,),
    }
    if readouts:
        shapes |= {"centre.weight": (readouts, channels), "centre.bias": (readouts,)}
    return shapes


def _size(architecture: Mapping[str, Any], name: str) -> int:
    default, low, high = _SIZES[name]
    value = architecture.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; expected an integer in {low}-{high}")
    return value


_LEVELS, _WIDEST = (2, 7), 1024
_IMAGE_CHANNELS = (1, 3)


def unet_shapes(architecture: Mapping[str, Any], classes: int) -> Shapes:
    """Parameter name to shape of the U-Net.

    Parameters
    ----------
    architecture
        ``channels_in``, ``outputs``, ``widths`` joined by ``-``, and ``align_corners``.
    classes
        Number of class names; one for each output.

    Raises
    ------
    ValueError
        For a size that is missing or out of bounds.

    Examples
    --------
    >>> unet_shapes({"channels_in": 3, "outputs": 2, "widths": "8-16"}, 2)["head.weight"]
    (2, 8, 1, 1)
    """
    widths = integers(str(architecture.get("widths")))
    if not _LEVELS[0] <= len(widths) <= _LEVELS[1] or not all(1 <= w <= _WIDEST for w in widths):
        raise ValueError(
            f"widths are {architecture.get('widths')!r}; expected {_LEVELS[0]}-{_LEVELS[1]} "
            f"numbers in 1-{_WIDEST}"
        )
    before, outputs = architecture.get("channels_in"), architecture.get("outputs")
    if before not in _IMAGE_CHANNELS or isinstance(before, bool):
        raise ValueError(f"channels_in is {before!r}; expected 1 (grey) or 3 (colours)")
    if outputs != classes:
        raise ValueError(f"outputs is {outputs!r}, but {classes} class names are listed")
    if not isinstance(architecture.get("align_corners", False), bool):
        raise ValueError(f"align_corners is {architecture['align_corners']!r}; expected a boolean")
    shapes: Shapes = {}
    for level, width in enumerate(widths):
        shapes |= _block_shapes(f"encoder.{level}", before, width)
        before = width
    for number, level in enumerate(reversed(range(len(widths) - 1))):
        width = widths[max(level - 1, 0)]
        shapes |= _block_shapes(f"decoder.{number}", widths[level] + before, width)
        before = width
    return {**shapes, "head.weight": (classes, before, 1, 1), "head.bias": (classes,)}


def _block_shapes(name: str, before: int, after: int) -> Shapes:
    """Shapes of two convolutions, each with its normalisation."""
    shapes: Shapes = {}
    for convolution, inputs in ((0, before), (3, after)):
        shapes[f"{name}.{convolution}.weight"] = (after, inputs, 3, 3)
        shapes[f"{name}.{convolution}.bias"] = (after,)
        for own in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{convolution + 1}.{own}"] = (after,)
    return shapes


_DINOV2: Mapping[str, tuple[int, int]] = {
    # name: smallest, largest
    "hidden_size": (4, 4096),
    "num_hidden_layers": (1, 64),
    "num_attention_heads": (1, 64),
    "mlp_ratio": (1, 16),
    "image_size": (14, 4096),
    "patch_size": (2, 64),
    "layers": (1, 32),
    "outputs": (2, 1000),
}


def dinov2_shapes(architecture: Mapping[str, Any], classes: int) -> Shapes:
    """Parameter name to shape of DINOv2 with the decoder of Segmenter.

    Parameters
    ----------
    architecture
        Sizes of DINOv2 under their own names, ``layers`` of the decoder, and ``outputs``.
    classes
        Number of class names; one for each output.

    Raises
    ------
    ValueError
        For a size that is missing or out of bounds.
    """
    size = {}
    for name, (low, high) in _DINOV2.items():
        value = architecture.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}; expected an integer in {low}-{high}")
        size[name] = value
    if size["outputs"] != classes:
        raise ValueError(f"outputs is {size['outputs']}, but {classes} class names are listed")
    width, patch = size["hidden_size"], size["patch_size"]
    shapes: Shapes = {
        "encoder.embeddings.cls_token": (1, 1, width),
        "encoder.embeddings.mask_token": (1, width),
        "encoder.embeddings.position_embeddings": (
            1,
            (size["image_size"] // patch) ** 2 + 1,
            width,
        ),
        "encoder.embeddings.patch_embeddings.projection.weight": (width, 3, patch, patch),
        "encoder.embeddings.patch_embeddings.projection.bias": (width,),
    }
    for layer in range(size["num_hidden_layers"]):
        shapes |= _encoder_shapes(f"encoder.encoder.layer.{layer}", width, size["mlp_ratio"])
    shapes |= _affine_shapes("encoder.layernorm", width) | _linear_shapes("project", width, width)
    for layer in range(size["layers"]):
        shapes |= _decoder_shapes(f"blocks.{layer}", width)
    shapes |= _affine_shapes("norm", width) | _affine_shapes("mask_norm", classes)
    heads = {f"{name}_head.weight": (width, width) for name in ("patch", "class")}
    return {**shapes, **heads, "classes": (1, classes, width)}


def _encoder_shapes(name: str, width: int, ratio: int) -> Shapes:
    shapes = _linear_shapes(f"{name}.mlp.fc1", width, ratio * width)
    shapes |= _linear_shapes(f"{name}.mlp.fc2", ratio * width, width)
    for projection in ("q_proj", "k_proj", "v_proj", "o_proj"):
        shapes |= _linear_shapes(f"{name}.attention.{projection}", width, width)
    for number in (1, 2):
        shapes |= _affine_shapes(f"{name}.norm{number}", width)
        shapes[f"{name}.layer_scale{number}.lambda1"] = (width,)
    return shapes


def _decoder_shapes(name: str, width: int) -> Shapes:
    shapes: Shapes = {
        f"{name}.self_attn.in_proj_weight": (3 * width, width),
        f"{name}.self_attn.in_proj_bias": (3 * width,),
    }
    shapes |= _linear_shapes(f"{name}.self_attn.out_proj", width, width)
    shapes |= _linear_shapes(f"{name}.linear1", width, 4 * width)
    shapes |= _linear_shapes(f"{name}.linear2", 4 * width, width)
    return shapes | _affine_shapes(f"{name}.norm1", width) | _affine_shapes(f"{name}.norm2", width)


def _linear_shapes(name: str, before: int, after: int) -> Shapes:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def _affine_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def cellmixer_shapes(architecture: Mapping[str, Any], classes: int) -> Shapes:
    """Parameter name to shape of either network of `cellmixer`: ``unet`` or ``dinov2``.

    Raises
    ------
    ValueError
        For another ``network``, and as :func:`unet_shapes` and :func:`dinov2_shapes`.
    """
    networks = {"unet": unet_shapes, "dinov2": dinov2_shapes}
    name = architecture.get("network")
    if name not in networks:
        raise ValueError(f"network is {name!r}; expected one of {', '.join(networks)}")
    return networks[name](architecture, classes)


SHAPES: Mapping[str, Callable[[Mapping[str, Any], int], Shapes]] = {
    "nca_wss": nca_shapes,
    "nca_max": nca_shapes,
    "propagation": unet_shapes,
    "cellmixer": cellmixer_shapes,
}
"""Method to the function that tells its weights' shapes."""


def mismatches(expected: Shapes, found: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What is missing, unexpected or of another shape, one sentence each."""
    missing = [
        f"{name} {shape} is missing" for name, shape in expected.items() if name not in found
    ]
    extra = [
        f"{name} {shape} is not expected" for name, shape in found.items() if name not in expected
    ]
    other = [
        f"{name} is {found[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    return missing + extra + other
