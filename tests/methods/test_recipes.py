"""The papers' numbers, as they are published, against what the recipe sets."""

from __future__ import annotations

import pytest

from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.recipes import RECIPES, describe_recipe
from napari_wbc_nca.methods.registry import continue_params, training_params
from napari_wbc_nca.params import as_dict

PUBLISHED = {
    # NCA-WSS: size, optimiser, loss, epochs on Raabin
    "nca_wss": {
        **{"channels": 32, "hidden": 32, "steps": 32, "fire_rate": 0.5, "window": 64},
        **{"batch_size": 32, "learning_rate": 1e-4, "learning_rate_decay": 0.9999},
        **{"focal_gamma": 2.0, "epochs": 256, "projection": "pca", "pooling": "method"},
    },
    # WBC-NCA
    "nca_max": {
        **{"channels": 128, "hidden": 128, "steps": 64, "fire_rate": 0.5, "window": 64},
        **{"batch_size": 16, "learning_rate": 4e-4, "learning_rate_decay": 0.9999},
        **{"focal_gamma": 0.0, "epochs": 32, "update_init": "zero"},
    },
    # WSISPDR
    "propagation": {
        **{"widths": "64-128-256-512-512", "colour": "grey", "normalisation": "maximum"},
        **{"sigma": 12.0, "patch_size": 320, "batch_size": 16, "learning_rate": 1e-3},
        **{"epochs": 500, "match_distance": 10.0, "augmentation": "rotations"},
    },
    "cellmixer": {
        **{"network": "dinov2", "crop_size": 518, "batch_size": 16, "optimiser": "sgd"},
        **{"learning_rate": 1e-3, "min_lambda": 0.5, "max_lambda": 0.5},
        **{"cross_entropy_weight": 0.0, "normalisation": "background", "response": "edges"},
    },
}
IMAGE_LABELS_ALONE = {"supervision": "images", "normalisation": "published", "max_grad_norm": 0.0}


@pytest.mark.parametrize("method", registry.METHODS)
def test_the_recipe_sets_the_published_numbers(method):
    params = as_dict(training_params(method, {"recipe": "paper"}))
    assert {name: params[name] for name in PUBLISHED[method]} == PUBLISHED[method]
    assert params["validation_share"] == 0  # so the last weights are kept, not the best
    if method.startswith("nca"):
        assert {name: params[name] for name in IMAGE_LABELS_ALONE} == IMAGE_LABELS_ALONE
    if method == "cellmixer":
        per_epoch = params["samples_per_epoch"] // params["batch_size"]
        assert params["epochs"] * per_epoch == 20_000


@pytest.mark.parametrize("method", registry.METHODS)
def test_what_is_given_wins_over_the_recipe_and_is_named(method):
    params = training_params(method, {"recipe": "paper", "epochs": 3})
    assert params.epochs == 3
    text = describe_recipe(method, params)
    assert text.endswith(f"Changed: epochs 3 instead of {RECIPES[method]['epochs']}.")
    assert "Changed" not in describe_recipe(method, training_params(method, {"recipe": "paper"}))


@pytest.mark.parametrize("method", registry.METHODS)
def test_without_the_recipe_the_defaults_stay(method):
    params = training_params(method, {})
    assert params == registry.get(method).train_params()
    assert describe_recipe(method, params) == ""


def test_a_model_is_trained_on_by_the_recipe():
    from checkpoints import checkpoint

    params = continue_params("nca_wss", checkpoint(), {"recipe": "paper", "batch_size": 8})
    assert (params.supervision, params.batch_size, params.epochs) == ("images", 8, 256)
