"""Parameters with which a model is taught further, or trained on."""

from __future__ import annotations

from dataclasses import replace

import planted
import pytest

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.methods.registry import METHODS, continue_params, finetune_params
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import fields

MIXING = ("mixed_share", "same_class_share", "min_lambda", "max_lambda", "rescale", "overlap_label")
VARIED = ("scale_augmentation", "contrast", "brightness", "tint", "blur", "noise")


@pytest.fixture(scope="module")
def mix():
    """The bundled model of smears: its foreground and mixtures are not the defaults."""
    return model_store.resolve("smear-mix")


@pytest.mark.parametrize(
    "made", [lambda m, v: finetune_params(m, v), lambda m, v: continue_params("cellmixer", m, v)]
)
def test_cellmixer_keeps_its_foreground_and_mixtures(mix, made):
    params, card = made(mix, {"tint": 0.5}), mix.card["params"]
    for name in (*(field.name for field in fields(ForegroundParams)), *MIXING):
        assert getattr(params, name) == card[name], name
    assert [getattr(params, n) for n in VARIED] == [
        0.5 if name == "tint" else card[name] for name in VARIED
    ]
    assert (params.response, params.threshold, params.erode) == ("contrast", "otsu_log", 1)
    assert (params.crop_size, params.diameter, params.pixel_size) == (80, 40, 0.32)
    assert params.normalisation == "absorptance"


def test_teaching_is_gentle_and_going_on_is_not(mix):
    assert finetune_params(mix).learning_rate == METHODS["cellmixer"].finetune["learning_rate"]
    assert continue_params("cellmixer", mix, {}).learning_rate == 0  # as the network's recipe says


def test_a_pixel_size_that_nobody_knew_stays_unknown(mix):
    card = mix.card | {"pixel_size_known": False}
    assert finetune_params(replace(mix, pixel_size=1.0, card=card)).pixel_size == 0


def test_automata_go_on_with_what_is_given():
    model = planted.checkpoint()
    assert continue_params("nca_wss", model, {"epochs": 3}) == NcaTrainParams(epochs=3)
    assert finetune_params(model).window == model.window
