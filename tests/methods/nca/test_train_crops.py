"""Training as in the papers: whole crops, their class, nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.cell_types import CELL_TO_BOX, CELL_TO_CROP
from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca.train import train_max, train_wss
from napari_wbc_nca.methods.nca.train_crops import CropSampler, crops_of, fit_published, rotate
from napari_wbc_nca.methods.registry import training_params
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import segment

TYPES = ("neutrophil", "lymphocyte")
SMALL = {"channels": 8, "hidden": 8, "steps": 3, "window": 16, "batch_size": 8, "device": "cpu"}


def crop(name: str, side: int = 32) -> Sample:
    pixels = planted.smear((side / 2, side / 2), shape=(side, side + 1), radius=side / 4)
    if name == "lymphocyte":
        pixels[planted.disc(pixels.shape[:2], (side / 2, side / 2), side / 4)] = planted.NUCLEUS
    return Sample(Path(f"{name}.png"), None, (name,), pixels=pixels)


CROPS = [crop(name, side) for name in TYPES for side in (32, 40, 48)]


def params(method: str = "nca_wss", **changes):
    return training_params(method, {"recipe": "paper", **SMALL, "epochs": 2, **changes})


def test_the_recipe_learns_types_alone_with_the_datas_own_means():
    _, trained = planted.run(train_wss(CROPS, params(samples_per_epoch=16)))
    assert trained.classes == TYPES
    assert trained.diameter == pytest.approx(CELL_TO_CROP * 16)
    assert trained.architecture["readouts"] == 0
    assert trained.card["projection"] == "pca"
    assert trained.card["pca"]
    assert trained.card["params"]["recipe"] == "paper"
    found = np.concatenate([(c.pixels.reshape(-1, 3) / 255) for c in CROPS])
    np.testing.assert_allclose(trained.normalisation["mean"], found.mean(0), atol=0.02)
    made = segment(Image(CROPS[0].pixels), trained, locate="whole", device="cpu")
    assert made.provenance["diameter"] == pytest.approx(CELL_TO_CROP * 32)
    assert made.labels["pca"].any()


def test_types_are_learnt():
    chosen = params(epochs=30, learning_rate=0.02, samples_per_epoch=16)
    yielded, trained = planted.run(train_wss(CROPS, chosen))
    losses = [step.values["loss"] for step in yielded if step.values]
    assert losses[-1] < 0.3 * losses[0]
    for sample in CROPS:
        found = segment(Image(sample.pixels), trained, locate="whole", device="cpu")
        assert list(found.cells["class"]) == list(sample.names)


def test_the_update_starts_at_zero_and_the_last_epoch_is_kept():
    yielded, trained = planted.run(train_wss(CROPS, params(learning_rate=0.0)))
    assert not trained.weights["fc1.weight"].any()
    assert trained.card["best_epoch"] == trained.card["epochs"] == 2
    assert not any("Best" in step.message for step in yielded)


def test_the_maximum_is_pooled_by_the_recipe_of_wbc_nca():
    chosen = training_params("nca_max", {"recipe": "paper", **SMALL, "epochs": 1})
    _, trained = planted.run(train_max(CROPS, chosen))
    assert (trained.method, trained.architecture["pool"]) == ("nca_max", "max")
    assert not trained.card["pca"]


def test_a_crop_is_what_prediction_reads():
    (made,) = crops_of(CROPS[0], 16, "published")
    view = Field(CROPS[0].pixels, 2, {"name": "published", "mean": (0,) * 3, "std": (1,) * 3})
    seen = view.read((range(16), range(16)))
    torch.testing.assert_close(made.pixels.float(), seen, atol=1e-3, rtol=0)


def test_crops_are_cut_around_boxes_of_typed_cells():
    pixels = planted.smear((40, 60), (90, 120))
    boxes = planted.boxes((40, 60), (90, 120), radius=12)
    sample = Sample(CROPS[0].path, planted.array(boxes), ("wbc", "monocyte"), pixels=pixels)
    (made,) = crops_of(sample, 16, "published")
    assert made.name == "monocyte"
    cell = made.pixels.float().mean(0) < 0.75  # cytoplasm and nucleus are darker
    width = 2 * np.sqrt(float(cell.sum()) / np.pi)
    assert width == pytest.approx(16 * CELL_TO_CROP / CELL_TO_BOX, rel=0.15)
    assert bool(cell[8, 8])


def test_a_point_has_no_size():
    point = Sample(
        CROPS[0].path, planted.array([[5, 5, 5, 5]]), ("monocyte",), pixels=CROPS[0].pixels
    )
    with pytest.raises(ValueError, match="a point has no size"):
        crops_of(point, 16, "published")


def test_classes_are_drawn_equally_often():
    crops = [one for s in (*CROPS[:3], CROPS[3]) for one in crops_of(s, 16, "published")]
    sampler = CropSampler(crops, TYPES, {"name": "published"}, augment=False)
    batch = sampler.draw(400, np.random.default_rng(0))
    assert batch.classes.float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("corners", ["reflection", "zeros"])
def test_rotations_keep_the_middle_and_fill_the_corners(corners):
    images = torch.ones(40, 3, 17, 17)
    images[:, 0, 8, 12] = 9
    turned = rotate(images, np.random.default_rng(0), corners)
    assert torch.allclose(turned[:, 1, 4:13, 4:13], torch.ones(()))
    assert bool((turned[:, 1, 0, 0] < 0.5).any()) == (corners == "zeros")
    peaks = turned[:, 0].flatten(1).argmax(1)
    away = torch.hypot((peaks // 17 - 8).float(), (peaks % 17 - 8).float())
    assert away.sub(4).abs().max() < 1
    assert len(peaks.unique()) > 8


def test_means_and_deviations_are_those_of_all_pixels():
    pictures = [np.random.default_rng(n).uniform(size=(5, 4 + n, 3)) for n in range(3)]
    flat = np.concatenate([picture.reshape(-1, 3) for picture in pictures])
    made = fit_published(pictures)
    np.testing.assert_allclose(made["mean"], flat.mean(0))
    np.testing.assert_allclose(made["std"], flat.std(0))


def test_fields_can_be_trained_with_the_datas_means_too(fields):
    chosen = training_params(
        "nca_wss",
        {**SMALL, "normalisation": "published", "epochs": 1, "samples_per_epoch": 8}
        | {"window": 24, "diameter": 12.0, "validation_share": 0.0},
    )
    _, trained = planted.run(train_wss(fields, chosen))
    assert len(trained.normalisation["mean"]) == len(trained.normalisation["std"]) == 3


def test_a_model_that_knows_none_is_no_start():
    with pytest.raises(ValueError, match="has the class 'none', which the papers' recipe"):
        planted.run(train_wss(CROPS, params(), init=planted.checkpoint()))


def test_training_goes_on_from_a_model_of_crops():
    _, first = planted.run(train_wss(CROPS, params(epochs=1)))
    _, second = planted.run(train_wss(CROPS, params(epochs=1, window=64), init=first))
    assert second.window == 16
    assert second.normalisation == first.normalisation


def test_nothing_typed_is_refused():
    with pytest.raises(ValueError, match="no cell has a type"):
        planted.run(train_wss([replace(CROPS[0], names=("wbc",))], params()))
