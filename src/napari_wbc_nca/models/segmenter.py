"""DINOv2 with the mask transformer of Segmenter: a class for each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# Sizes of DINOv2, by their names in its configuration.
ENCODER = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("mlp_ratio", "image_size", "patch_size"),
)
_CLASS_TOKENS = 1  # tokens of the encoder before those of the patches


class Segmenter(nn.Module):
    r"""Encoder of patches, and a mask transformer that scores each patch for each class.

    A learned token a class joins the patches in `layers` transformer layers; the logit of class
    :math:`k` at a patch is the product of both tokens, each of length 1. Strudel et al.,
    *Segmenter: Transformer for Semantic Segmentation* (ICCV 2021). The encoder is a DINOv2, of
    :func:`dinov2` or :func:`pretrained`, and `outputs` the number of classes.
    """

    def __init__(self, encoder: nn.Module, outputs: int, layers: int = 2) -> None:
        super().__init__()
        config: Any = encoder.config
        width, heads = config.hidden_size, config.num_attention_heads
        self.encoder, self.patch, self.outputs = encoder, int(config.patch_size), outputs
        self.project = nn.Linear(width, width)
        self.classes = nn.Parameter(torch.randn(1, outputs, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.patch_head = nn.Linear(width, width, bias=False)
        self.class_head = nn.Linear(width, width, bias=False)
        self.mask_norm = nn.LayerNorm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute ``(B, outputs, H, W)`` logits of ``(B, 3, H, W)``.

        Sides that are no multiples of a patch are padded by zeros below and to the right.
        """
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.patch, 0, -height % self.patch))
        rows, columns = x.shape[-2] // self.patch, x.shape[-1] // self.patch
        tokens = self.encoder(x).last_hidden_state[:, _CLASS_TOKENS:]  # (B, rows·columns, width)
        tokens = torch.cat((self.project(tokens), self.classes.expand(len(x), -1, -1)), 1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        patches = F.normalize(self.patch_head(tokens[:, : -self.outputs]), dim=-1)
        classes = F.normalize(self.class_head(tokens[:, -self.outputs :]), dim=-1)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))  # (B, rows·columns, outputs)
        coarse = masks.transpose(1, 2).reshape(len(x), self.outputs, rows, columns)
        fine = F.interpolate(coarse, scale_factor=self.patch, mode="bilinear")
        return fine[..., :height, :width]


def dinov2(sizes: Mapping[str, Any]) -> nn.Module:
    """Build DINOv2 of given sizes, with random weights; ValueError without transformers."""
    library = _transformers()
    config = library.Dinov2Config(**{name: sizes[name] for name in ENCODER})
    network: nn.Module = library.Dinov2Model(config)
    return network


def pretrained(source: str, download: bool = True) -> nn.Module:
    """Load DINOv2 with the weights of a local folder, or of the Hugging Face hub.

    The source is a folder with ``config.json`` and the weights, or a name as
    ``facebook/dinov2-small``; without `download`, the hub's must have been downloaded before.
    Raises a ValueError, which says what to do, without transformers or weights.
    """
    library = _transformers()
    local = not download or Path(source).is_dir()
    try:
        network: nn.Module = library.Dinov2Model.from_pretrained(source, local_files_only=local)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"no weights of DINOv2 are found as {source!r}: neither a folder on this machine nor "
            "a model of the Hugging Face hub that can be reached; download "
            "'facebook/dinov2-small' into a folder and give that as the encoder, or train the "
            "U-Net (network unet)"
        ) from error
    return network


def sizes_of(encoder: nn.Module) -> dict[str, Any]:
    """Read the sizes of a DINOv2, for :func:`dinov2`."""
    return {name: getattr(encoder.config, name) for name in ENCODER}


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            "DINOv2 needs the package transformers, which is not installed; install "
            "napari-wbc-nca[dinov2], or train the U-Net (network unet)"
        ) from error
    return transformers
