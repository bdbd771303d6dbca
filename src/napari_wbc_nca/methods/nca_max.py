"""WBC-NCA: explainable classification of white blood cells, max pooling."""

from __future__ import annotations

from functools import partial

from napari_wbc_nca.methods.nca.predict import predict
from napari_wbc_nca.methods.nca.train import train as _train

__all__ = ["predict", "train"]

train = partial(_train, "nca_max", "max")
