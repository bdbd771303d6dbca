"""NCA-WSS: weakly supervised segmentation of white blood cells, mean pooling."""

from __future__ import annotations

from functools import partial

from napari_wbc_nca.methods.nca.predict import predict
from napari_wbc_nca.methods.nca.train import train as _train

__all__ = ["predict", "train"]

train = partial(_train, "nca_wss", "mean")
