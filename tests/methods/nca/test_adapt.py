from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest

from napari_wbc_nca.cell_types import FINE, NONE, TYPES
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.adapt import (
    TypeExamples,
    adapt_types,
    allowed_classes,
    named_probabilities,
    type_head,
    type_probabilities,
)
from napari_wbc_nca.methods.nca.adapt_gate import judge_types
from napari_wbc_nca.methods.nca.cell_features import cell_features
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.build import check_weights
from napari_wbc_nca.ops.readout import class_probabilities
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Cell, Image


@pytest.fixture(scope="module")
def model():
    return model_store.resolve("wbc-fine")


def examples(model, names, seed=0) -> TypeExamples:
    """Cells whose features lie apart by type, not as the model expects them."""
    random = np.random.default_rng(seed)
    width = model.weights["head.weight"].shape[1]
    middles = {name: np.abs(random.normal(size=width)) for name in dict.fromkeys(names)}
    features = [middles[name] + 0.3 * random.normal(size=(2, width)) for name in names]
    none = np.zeros((len(names), 0))
    groups = tuple(f"image {number % 6}" for number in range(len(names)))
    return TypeExamples(np.array(features, np.float32), tuple(names), groups, none)


def test_without_corrections_the_model_stays_itself(model):
    assert adapt_types(model, examples(model, [])) is model


def test_an_adapted_model_names_the_corrected_types_and_its_parent(model):
    cells = examples(model, ["basophil"] * 4 + ["monocyte"] * 4)
    adapted = check_weights(adapt_types(model, cells))
    found = named_probabilities(adapted, type_probabilities(adapted, cells), five=True)
    assert [max(row, key=row.__getitem__) for row in found] == list(cells.names)
    assert adapted.card["parent"] == {"name": "wbc-fine", "sha256": model.sha256}
    assert "confusion" in model.card
    assert "confusion" not in adapted.card
    same = {name for name in model.weights if not name.startswith("head.")}
    assert all(adapted.weights[name] is model.weights[name] for name in same)


def test_a_class_that_the_model_never_knew_is_added_before_none(model):
    cells = examples(model, ["smudge"] * 3 + ["lymphocyte"] * 3)
    adapted = check_weights(adapt_types(model, cells))
    assert adapted.classes == (*FINE[:-1], "smudge", NONE)
    kept = [name not in ("smudge", "lymphocyte") for name in adapted.classes]
    before = np.insert(model.weights["head.weight"], len(FINE) - 1, 0, 0)
    np.testing.assert_array_equal(adapted.weights["head.weight"][kept], before[kept])
    rows = named_probabilities(adapted, type_probabilities(adapted, cells), five=True)
    assert set(rows[0]) == {*TYPES, "smudge"}
    assert max(rows[0], key=rows[0].__getitem__) == "smudge"
    again = adapt_types(adapted, examples(adapted, ["blast"] * 3))
    assert again.card["added_classes"] == ["smudge", "blast"]


def test_a_new_class_alone_does_not_take_the_cells_that_nobody_reviewed(model):
    every = examples(model, ["smudge"] * 4 + ["other"] * 8)
    cells, others = every.subset(np.arange(4)), every.subset(np.arange(4, 12))
    named = []
    for anchors in (None, others):
        adapted = adapt_types(model, cells, anchors)
        rows = named_probabilities(adapted, type_probabilities(adapted, others), five=True)
        named.append(np.mean([row["smudge"] for row in rows]))
    assert named[1] < 0.1 < named[0]


def test_the_types_of_the_finder_count_less_with_each_corrected_cell(model):
    cells = examples(model, ["basophil"] * 10 + ["monocyte"] * 10)
    finder = np.tile([0.9, 0.025, 0.025, 0.025, 0.025], (20, 1))
    averaging = replace(model, card={**model.card, "finder_temperature": 1.0})
    adapted = adapt_types(averaging, replace(cells, finder=finder))
    assert adapted.card["finder_share"] == 0.375
    alone = type_probabilities(adapted, cells)
    both = type_probabilities(adapted, replace(cells, finder=finder))
    neutrophils = [name.endswith("neutrophil") for name in adapted.classes]
    known = allowed_classes(list(TYPES), adapted.classes).any(0)
    before, after = (
        found[:, neutrophils].sum(1) / found[:, known].sum(1) for found in (alone, both)
    )
    np.testing.assert_allclose(after, 0.625 * before + 0.375 * 0.9)


def test_a_type_stands_for_all_its_classes():
    found = allowed_classes(["Neutrophil", "band neutrophil", "RBC", "smudge"], FINE)
    assert found.sum(1).tolist() == [2, 1, 1, 0]
    assert found[2, FINE.index(NONE)]


def test_other_models_are_refused_with_the_remedy(model):
    cells = examples(model, ["basophil"])
    for other in (
        model_store.resolve("smear-cells"),
        replace(model, card={**model.card, "activation": "sigmoid"}),
    ):
        with pytest.raises(ValueError, match="cannot be adapted: it has no classifier"):
            adapt_types(other, cells)


def test_the_gate_keeps_true_corrections_and_refuses_shuffled_ones(model):
    names = [name for name in TYPES for _ in range(6)]
    cells = examples(model, names)
    gate = judge_types(model, cells)
    assert gate.keep
    assert gate.adapted > gate.parent
    assert gate.temperature >= 1
    shuffled = tuple(np.random.default_rng(1).permutation(names).tolist())
    refused = judge_types(model, replace(cells, names=shuffled))
    assert refused.judged
    assert not refused.keep
    assert "contradict" in refused.reason


def test_images_of_one_type_each_are_judged_by_cells(model):
    names = [name for name in TYPES for _ in range(6)]
    cells = examples(model, names)
    assert judge_types(model, replace(cells, groups=tuple(names))).keep


def test_a_few_cells_or_one_class_are_not_judged(model):
    for names in (["basophil"] * 2, ["basophil"] * 20):
        gate = judge_types(model, examples(model, names))
        assert (gate.judged, gate.keep) == (False, False)
        assert "too few corrected cells" in gate.reason


@pytest.mark.parametrize("name", ["wbc-fine", "wbc-smear"])
def test_the_features_give_the_probabilities_of_the_model(name):
    model = model_store.resolve(name)
    pixels = planted.smear((50, 70))
    mask = planted.disc((25, 25), (12, 12), 12)
    cell = Cell((50, 70), (38, 58), mask, mask, mask * np.float32(1), NONE, {}, 0.0)
    steps = cell_features(Image(pixels), model, [cell, cell], 24.0, NcaParams(device="cpu"))
    features = run_to_end(steps)
    found = class_probabilities(features, type_head(model))
    assert found.shape == (2, len(model.classes))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(features[0], features[1])
    assert features.shape[1] == 4  # rotations
