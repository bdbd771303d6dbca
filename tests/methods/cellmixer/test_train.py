"""Training: a folder a class in, a checkpoint out; bad input gives a message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_wbc_nca.datasets import readers, synthetic
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.io import weights
from napari_wbc_nca.methods.cellmixer.params import (
    CellmixerParams,
    CellmixerTrainParams,
    by_recipe,
)
from napari_wbc_nca.methods.cellmixer.predict import predict
from napari_wbc_nca.methods.cellmixer.train import losses, train
from napari_wbc_nca.models import segmenter
from napari_wbc_nca.models.build import build_network, weight_shapes
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Image


def disks(seed, dtype=np.uint8, shape=(72, 90), radius=9):
    """A picture with three disks on a noisy ground."""
    random = np.random.default_rng(seed)
    y, x = np.ogrid[: shape[0], : shape[1]]
    light = random.normal(0.5, 0.01, shape)
    for place in ((20, 20), (50, 30), (35, 65)):
        light[np.hypot(y - place[0], x - place[1]) < radius] -= 0.2
    return (light.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def test_a_checkpoint_can_be_kept_and_read(trained, tmp_path):
    assert trained.classes == ("background", "granular", "mottled", "rimmed")
    assert trained.normalisation["name"] == "background"
    assert trained.normalisation["response"] == "edges"
    assert trained.card["diameters"].keys() == {"granular", "mottled", "rimmed"}
    path = tmp_path / "kept.safetensors"
    weights.save(trained, path)
    read = weights.load(path)
    assert read.architecture == trained.architecture
    assert {k: v.shape for k, v in read.weights.items()} == weight_shapes(
        "cellmixer", read.architecture, len(read.classes)
    )


def test_losses_fall(populations, small):
    yielded = list(train(populations, replace(small, epochs=3)))
    found = [p.values for p in yielded if p.values]
    assert len(found) == 3
    assert found[-1]["loss"] < found[0]["loss"]
    assert all(0 <= values["validation_iou"] <= 1 for values in found)


def test_stopped_training_goes_on_from_its_state(populations, small, tmp_path):
    params = replace(small, epochs=2, samples_per_epoch=8)
    state = tmp_path / "state"
    steps = train(populations, params, state_file=state)
    for progress in steps:
        if progress.values:
            break
    next(steps)
    steps.close()
    assert state.exists()
    resumed = run_to_end(train(populations, params, state_file=state))
    whole = run_to_end(train(populations, params))
    assert state.exists()  # until the model is kept
    for name, value in whole.weights.items():
        np.testing.assert_allclose(resumed.weights[name], value, atol=1e-5)


def test_training_goes_on_from_a_model(trained, populations, small):
    still = replace(small, learning_rate=1e-12, epochs=1)
    tuned = run_to_end(train(populations, still, init=trained))
    assert tuned.classes == trained.classes
    np.testing.assert_allclose(
        tuned.weights["head.weight"], trained.weights["head.weight"], atol=1e-9
    )
    with pytest.raises(ValueError, match="rimmed is not labelled"):
        run_to_end(train([s for s in populations if s.kinds != ("rimmed",)], small, init=trained))


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_papers_recipe_takes_steps(populations, small, optimiser):
    params = replace(
        small, optimiser=optimiser, cross_entropy_weight=0.0, epochs=1, overlap_label="both"
    )
    made = run_to_end(train(populations, params))
    assert made.card["several"]
    assert all(np.isfinite(value).all() for value in made.weights.values())


def test_a_class_with_one_picture_and_pictures_of_any_size_and_depth(save, small):
    save(disks(0), "flat")
    save(disks(1, np.uint16, (50, 61)), "deep", "a.tif")
    save(disks(2, np.uint16, (80, 40)), "deep", "b.tif")
    root = save(np.stack([disks(3, shape=(120, 100))] * 3, -1), "coloured")
    made = run_to_end(train(readers.read(root), small))
    assert made.classes == ("background", "coloured", "deep", "flat")


def test_a_picture_without_foreground_is_named(save, small):
    save(disks(0), "cells")
    root = save(np.full((60, 60), 90, np.uint8), "empty", "blank.png")
    with pytest.raises(ValueError, match=r"blank\.png: no foreground was found .* 'empty'"):
        run_to_end(train(readers.read(root), small))


def test_a_class_that_nobody_labelled_is_refused(populations, small):
    with pytest.raises(ValueError, match="class 'yeast' is not labelled anywhere; labelled are gr"):
        run_to_end(train(populations, replace(small, populations="granular,yeast")))


def test_shares_must_be_in_order(populations, small):
    with pytest.raises(ValueError, match=r"min_lambda is 0\.8"):
        run_to_end(train(populations, replace(small, min_lambda=0.8)))


def test_a_weight_below_zero_is_refused(populations, small):
    with pytest.raises(ValueError, match=r"cross_entropy_weight is -0\.5; give 0 or more, or -1"):
        run_to_end(train(populations, replace(small, cross_entropy_weight=-0.5)))


def test_dinov2_that_is_not_there_is_explained(populations, small, tmp_path):
    pytest.importorskip("transformers")
    absent = replace(small, network="dinov2", encoder=str(tmp_path))
    with pytest.raises(ValueError, match="no weights of DINOv2 are found"):
        run_to_end(train(populations, absent))


@pytest.mark.parametrize("name", ["", "typo"])
def test_an_encoder_that_is_given_is_never_passed_over(populations, small, tmp_path, name):
    pytest.importorskip("transformers")
    given = replace(small, network="auto", encoder=str(tmp_path / name))
    with pytest.raises(ValueError, match="no weights of DINOv2 are found"):
        run_to_end(train(populations, given))


def test_without_dinov2_the_unet_trains_and_says_so(populations, small, monkeypatch):
    def absent(source, download):
        assert not download
        raise ValueError("no weights")

    monkeypatch.setattr(segmenter, "pretrained", absent)
    steps = train(populations, replace(small, network="auto", epochs=1))
    message = next(p.message for p in steps if p.message.startswith("Training"))
    assert message == "Training, batch 1 (unet)"


@pytest.fixture
def encoder(tmp_path):
    """Folder of a tiny DINOv2 with random weights."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
    )
    torch.manual_seed(0)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_dinov2_trains_by_the_papers_recipe_and_can_be_kept_and_used(
    populations, small, encoder, tmp_path
):
    params = replace(small, network="auto", encoder=str(encoder), epochs=1)
    made = run_to_end(train(populations, params))
    assert made.architecture["network"] == made.card["params"]["network"] == "dinov2"
    recipe = ("optimiser", "learning_rate", "learning_rate_decay", "cross_entropy_weight")
    assert [made.card["params"][name] for name in recipe] == ["sgd", 1e-3, 1.0, 0.0]
    start = transformers_weights(encoder)
    moved = [
        name for name, value in start.items() if (made.weights[f"encoder.{name}"] != value).any()
    ]
    assert moved  # the encoder learns too
    path = tmp_path / "kept.safetensors"
    weights.save(made, path)
    image = Image(read_rgb(populations[0]))
    first, second = (
        run_to_end(predict(image, one, CellmixerParams(device="cpu")))
        for one in (made, weights.load(path))
    )
    np.testing.assert_array_equal(first.labels["class"], second.labels["class"])
    assert first.labels["class"].shape == image.shape
    assert set(np.unique(first.labels["class"])) <= {0, 1, 2, 3}


def transformers_weights(folder):
    """Weights of a DINOv2 by name."""
    network = segmenter.pretrained(str(folder), download=False)
    return {name: value.numpy() for name, value in network.state_dict().items()}


def test_the_unet_trains_by_its_own_recipe_and_what_is_given_goes_first(populations, small):
    card = run_to_end(train(populations, replace(small, epochs=1, learning_rate_decay=0.9))).card[
        "params"
    ]
    recipe = (
        "crop_size",
        "optimiser",
        "learning_rate",
        "learning_rate_decay",
        "cross_entropy_weight",
    )
    assert [card[name] for name in recipe] == [32, "adam", 3e-3, 0.9, 0.5]
    papers = by_recipe(CellmixerTrainParams(cross_entropy_weight=0.2), "dinov2")
    assert [getattr(papers, name) for name in recipe] == [518, "sgd", 1e-3, 1.0, 0.2]


def test_ignored_pixels_do_not_reach_the_loss(small):
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(size=(2, 3, 8, 8)).astype("f"))
    labels = random.integers(0, 3, (2, 8, 8))
    present = torch.from_numpy((labels[:, None] == np.arange(3)[:, None, None]).astype(np.uint8))
    known = torch.ones(2, 8, 8, dtype=torch.uint8)
    known[:, :, 4:] = 0
    changed = logits.clone()
    changed[..., 4:] += 9
    params = by_recipe(small, "unet")
    one, two = (losses(values, present, known, params) for values in (logits, changed))
    for name, value in one.items():
        assert float(value) == pytest.approx(float(two[name]), abs=1e-6)


def test_tversky_loss_is_that_of_its_equation(small):
    params = replace(small, tversky_alpha=0.3, tversky_beta=0.7, cross_entropy_weight=0.0)
    random = np.random.default_rng(1)
    logits = torch.from_numpy(random.normal(size=(2, 3, 6, 6)).astype("f"))
    labels = random.integers(0, 3, (2, 6, 6))
    truth = (labels[:, None] == np.arange(3)[:, None, None]).astype(np.uint8)
    share = torch.softmax(logits, 1).numpy()
    parts = []
    for k in range(3):
        hit = (share[:, k] * truth[:, k]).sum()
        false, missed = share[:, k].sum() - hit, truth[:, k].sum() - hit
        parts.append(1 - hit / (hit + 0.3 * false + 0.7 * missed))
    known = torch.ones(2, 6, 6, dtype=torch.uint8)
    found = losses(logits, torch.from_numpy(truth), known, params)["loss"]
    assert float(found) == pytest.approx(np.mean(parts), abs=1e-5)


def test_networks_of_a_card_are_those_that_it_describes():
    pytest.importorskip("transformers")
    sizes = {
        **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2},
        **{"image_size": 28, "patch_size": 14},
    }
    for card in (
        {"network": "unet", "channels_in": 3, "outputs": 3, "widths": "4-8"},
        {"network": "dinov2", "outputs": 3, "layers": 1, **sizes},
    ):
        network = build_network("cellmixer", card, card["outputs"]).eval()
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        assert shapes == weight_shapes("cellmixer", card, 3)
        assert network(torch.zeros(2, 3, 30, 41)).shape == (2, 3, 30, 41)
    with pytest.raises(ValueError, match="network is 'mlp'"):
        weight_shapes("cellmixer", {"network": "mlp"}, 3)


def test_cultures_are_those_of_their_seed():
    one, two = (synthetic.culture(seed=4, shape=(90, 80)) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert one.pixels.dtype == np.uint8
    assert (one.cells[one.classes > 0] > 0).all()
    with pytest.raises(ValueError, match="unknown kind 'yeast'"):
        synthetic.culture(["yeast"])
