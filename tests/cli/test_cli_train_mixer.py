"""CellMixer by the command line, for real: a folder a population in, a model out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from napari_wbc_nca.datasets import synthetic
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.io import model_store, weights
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import segment

SMALL = (
    *("--network", "unet", "--widths", "4-8", "--crop-size", 32, "--device", "cpu", "--epochs", 1),
    *("--samples-per-epoch", 8, "--batch-size", 4, "--validation-share", 0),
)


@pytest.fixture(scope="module")
def populations(tmp_path_factory):
    """Two pictures of each population of synthetic cultures."""
    folder = tmp_path_factory.mktemp("populations")
    synthetic.write_populations(folder, 2, (96, 112))
    return folder


def test_populations_train_a_model_that_can_be_taught(wbc, populations, tmp_path):
    first, second, third = (tmp_path / f"{name}.safetensors" for name in "abc")
    options = (*SMALL, "--threshold", "triangle", "--mixed-share", 0.8)
    done = wbc("train", "cellmixer", populations, "-o", first, *options)
    assert done.status == 0, done.err
    assert "Classes: background, granular, mottled, rimmed" in done.out
    assert "There are 2 pictures of granular: label some more" in done.err
    made = weights.load(first)
    assert (made.name, made.method, made.window) == ("a", "cellmixer", 32)
    assert made.normalisation["threshold"] == "triangle"
    for option, file in (("--finetune", second), ("--init", third)):
        few = ("--epochs", 1, "--samples-per-epoch", 8, "--device", "cpu")
        done = wbc("train", "cellmixer", populations, "-o", file, option, first, *few)
        assert done.status == 0, done.err
        taught = weights.load(file)
        assert taught.card["parent"] == {"name": "a", "sha256": made.sha256}
        assert (taught.window, taught.classes) == (32, made.classes)
        params = taught.card["params"]
        assert (params["threshold"], params["mixed_share"], params["crop_size"]) == (
            "triangle",
            0.8,
            32,
        )
        assert (taught.weights["head.weight"] != made.weights["head.weight"]).any()


def test_what_cannot_be_learnt_is_told(wbc, populations, tmp_path):
    file = tmp_path / "a.safetensors"
    done = wbc("train", "cellmixer", populations, "-o", file, "--populations", "yeast")
    assert done.status == 1
    assert "Error: class 'yeast' is not labelled anywhere" in done.err
    pytest.importorskip("transformers")
    done = wbc("train", "cellmixer", populations, "-o", file, "--encoder", tmp_path / "typo")
    assert done.status == 1
    assert "Error: no weights of DINOv2 are found" in done.err
    assert not file.exists()


@pytest.fixture
def drawn(tmp_path):
    """A bundled smear with what `smear-mix` finds in it, as if a user had corrected that."""
    rgb = read_rgb(sample_path("smear-1"))
    found = segment(Image(rgb), model_store.resolve("smear-mix"), device="cpu")
    folder = tmp_path / "drawn"
    folder.mkdir()
    labels = np.asarray(found.labels["cell"]).astype(np.uint16)
    for name, pixels in (("a", rgb), ("a_labels", labels)):
        Picture.fromarray(pixels).save(folder / f"{name}.png")
    found.cells[["label", "class"]].to_csv(folder / "a_cells.csv", index=False)
    return folder


def test_the_bundled_model_is_taught_by_cells_that_were_drawn(wbc, drawn, tmp_path):
    model, file = model_store.resolve("smear-mix"), tmp_path / "mine.safetensors"
    few = ("--epochs", 1, "--samples-per-epoch", 16, "--validation-share", 0, "--device", "cpu")
    done = wbc("train", "cellmixer", drawn, "-o", file, "--finetune", "smear-mix", *few)
    assert done.status == 0, done.err
    taught = weights.load(file)
    assert taught.classes == model.classes
    assert taught.card["parent"]["name"] == "smear-mix"
    for name in (
        "response",
        "threshold",
        "erode",
        "factor",
        "mixed_share",
        "tint",
        "scale_augmentation",
    ):
        assert taught.card["params"][name] == model.card["params"][name]
