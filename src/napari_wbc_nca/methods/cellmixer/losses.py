"""Tversky loss and cross-entropy over the pixels that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from monai.losses.tversky import TverskyLoss

from napari_wbc_nca.methods.cellmixer.probability import probabilities

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams


def losses(
    logits: torch.Tensor, present: torch.Tensor, known: torch.Tensor, params: CellmixerTrainParams
) -> dict[str, torch.Tensor]:
    r"""Tversky loss, cross-entropy, and their sum ``loss``.

    .. math:: 1 - \frac{TP}{TP + \alpha FP + \beta FN}

    for each class over the known pixels of the batch, then averaged over classes; Salehi et al.,
    *Tversky loss function for image segmentation using 3D fully convolutional deep networks*
    (2017).

    Parameters
    ----------
    logits
        ``(B, classes, h, w)``.
    present
        ``(B, classes, h, w)``: 1 where a class is seen.
    known
        ``(B, h, w)``: 0 where nothing is to be learnt.
    params
        Weights of the two, and α and β.
    """
    several = params.overlaps == "both"
    seen = known[:, None].to(logits.dtype)
    target = present.to(logits.dtype)
    tversky = TverskyLoss(alpha=params.false_positives, beta=params.false_negatives, batch=True)(
        probabilities(logits, several) * seen, target * seen
    )
    if several:
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    else:
        each = F.cross_entropy(logits, target, reduction="none")
    entropy = (each * seen[:, 0]).sum() / seen.sum().clamp(min=1)
    return {
        "loss": tversky + params.cross_entropy * entropy,
        "tversky_loss": tversky,
        "cross_entropy": entropy,
    }
