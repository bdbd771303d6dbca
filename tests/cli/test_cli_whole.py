"""The whole way, with a small random network: what is read, computed and written fits together."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from napari_wbc_nca.io import weights
from napari_wbc_nca.io.images import read, sample_path
from napari_wbc_nca.models.build import weight_shapes
from napari_wbc_nca.types import Checkpoint

SIZES = {"channels": 8, "hidden": 8, "steps": 4, "fire_rate": 0.5, "classes": 3}
CLASSES = ("neutrophil", "lymphocyte", "none")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """File of a random network."""
    random = np.random.default_rng(1)
    shapes = weight_shapes("nca_wss", SIZES, 3)
    made = {k: random.normal(0, 0.3, shape).astype(np.float32) for k, shape in shapes.items()}
    scale = {"diameter": 16.0, "pixel_size": 0.8, "window": 32}
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    sizes = {**SIZES, "pool": "mean"}
    card = {"projection": "pca"}
    weights.save(
        Checkpoint("nca_wss", sizes, made, CLASSES, **scale, normalisation={"name": "density"},
                   card=card, name="random"),
        path,
    )  # fmt: skip
    return path


def test_ways_to_store_a_smear_give_the_same_labels(wbc, model, tmp_path):
    smear = read(sample_path("smear-1")).pixels[80:320, 160:400]
    tifffile.imwrite(tmp_path / "deep.tif", smear.astype(np.uint16) * 257, photometric="rgb")
    opaque = np.dstack([smear, np.full(smear.shape[:2], 255, np.uint8)])
    tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(opaque, -1, 0), photometric="rgb")
    tifffile.imwrite(tmp_path / "float.tif", (smear / 255).astype(np.float32), photometric="rgb")
    zarr.create_array(str(tmp_path / "lazy.zarr"), data=smear, chunks=(64, 64, 3))
    given = ["--model", model, "--diameter", 150, "--locate", "whole", "--device", "cpu"]
    done = wbc("segment", tmp_path, "-o", tmp_path / "out", *given)
    assert (done.status, done.err) == (0, "")
    names = ("deep", "planar", "float", "lazy")
    deep, *others = (tifffile.imread(tmp_path / "out" / f"{name}_labels.tif") for name in names)
    assert deep.shape == (240, 240)
    assert deep.any()
    for labels in others:
        np.testing.assert_array_equal(labels, deep)
    table = pd.read_csv(tmp_path / "out" / "lazy_cells.csv")
    assert table["area_px"].tolist() == [np.count_nonzero(deep)]
    record = json.loads((tmp_path / "out" / "lazy.json").read_text())
    assert (record["parameters"]["locate"], record["model"]["name"]) == ("whole", "random")


def test_one_channel_and_one_nan_name_the_remedy(wbc, model, tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((64, 64), np.uint8))
    holed = np.full((64, 64, 3), 0.5, np.float32)
    holed[3, 4, 1] = np.nan
    tifffile.imwrite(tmp_path / "holed.tif", holed, photometric="rgb")
    done = wbc("segment", tmp_path, "-o", tmp_path / "out", "--model", model)
    assert done.status == 1
    assert f"Failed: {tmp_path / 'grey.tif'}: it has 1 channel" in done.err
    assert f"Failed: {tmp_path / 'holed.tif'}: 1 of 12288 values are NaN" in done.err
    assert not (tmp_path / "out").exists()
