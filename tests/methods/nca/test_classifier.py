from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.cell_types import FINE, NONE, TYPES
from napari_wbc_nca.methods.field import BRIGHTNESS, Field
from napari_wbc_nca.methods.nca.classifier import TypeClassifier, average_types, load_classifier
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.residual import ResidualClassifier
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Checkpoint

SIZES = {"network": "residual", "widths": "4-8-8"}
TREATED = {"name": "window", "treatments": ["nucleus_density", "nucleus_colour"]}
PARAMS = NcaParams(device="cpu")


def checkpoint(**card) -> Checkpoint:
    torch.manual_seed(0)
    network = ResidualClassifier((4, 8, 8), len(FINE))
    weights = {name: value.numpy() * 2 for name, value in network.state_dict().items()}
    card = {"density_window": 24, "finder": "wbc-smear", **card}
    return Checkpoint("nca_max", SIZES, weights, FINE, 14.0, 0.45, 20, TREATED, card, "fine")


def cell(y, x, radius=12):
    mask = planted.disc((2 * radius + 1,) * 2, (radius, radius), radius)
    own = dict.fromkeys(TYPES, 0.0) | {"neutrophil": 0.5, NONE: 0.5}
    origin = (y - radius, x - radius)
    measures = {"rotation_agreement": -1.0, "contrast": 0.7}
    outline = mask * np.float32(1)
    return Cell((y, x), origin, mask, mask, outline, "neutrophil", own, 0.4, measures=measures)


def classifier(field, **changes) -> TypeClassifier:
    view = Field(field, 1, BRIGHTNESS)
    found = load_classifier(checkpoint(), replace(PARAMS, **changes), view)
    assert found is not None
    return found


def typed(field, *found, **changes):
    return planted.run(classifier(field, **changes).classify(found, Progress(0, 1)))[1]


def test_fine_classes_are_those_of_the_classifier_and_five_types_are_renormalised():
    field, places = planted.smear((50, 70)), [cell(50, 70)]
    (fine,), (five,) = (typed(field, *places, differential=name) for name in ("fine", "five"))
    assert tuple(fine.probabilities) == FINE
    assert sum(fine.probabilities.values()) == pytest.approx(1)
    assert tuple(five.probabilities) == (*TYPES, NONE)
    assert sum(five.probabilities[name] for name in TYPES) == pytest.approx(1)
    assert five.probabilities[NONE] == pytest.approx(fine.probabilities[NONE])
    neutrophils = fine.probabilities["segmented neutrophil"] + fine.probabilities["band neutrophil"]
    ratio = neutrophils / fine.probabilities["monocyte"]
    assert five.probabilities["neutrophil"] / five.probabilities["monocyte"] == pytest.approx(ratio)
    assert five.label_class == max(TYPES, key=five.probabilities.__getitem__)
    # The certainty of the outline stays: it was 0.4 / 0.5.
    assert five.confidence == pytest.approx(0.8 * five.probabilities[five.label_class])


def test_the_agreement_is_that_of_the_passes_of_the_classifier():
    (found,) = typed(planted.smear((50, 70)), cell(50, 70), differential="fine")
    assert found.measures["rotation_agreement"] in (0.25, 0.5, 0.75, 1)
    assert found.measures["contrast"] == 0.7
    assert "seed_agreement" not in found.measures


def test_a_cell_is_typed_the_same_whatever_cells_are_beside_it():
    field = planted.smear((50, 70), (90, 30))
    together = typed(field, cell(50, 70), cell(90, 30), differential="fine")
    alone = [typed(field, one, differential="fine")[0] for one in (cell(50, 70), cell(90, 30))]
    for one, other in zip(together, alone, strict=True):
        assert dict(one.probabilities) == dict(other.probabilities)


def test_the_size_of_a_cell_in_pixels_does_not_matter():
    small = planted.smear((50, 70)).astype(np.uint8)
    large = small.repeat(2, 0).repeat(2, 1)
    one = classifier(small).window(cell(50, 70))
    other = classifier(large).window(replace(cell(100, 140, 25), centre=(100, 140)))
    assert one.shape == other.shape == (3, 20, 20)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98


def test_a_window_beyond_the_border_continues_the_image():
    field = np.full((60, 60, 3), 200, np.uint8)
    assert np.abs(classifier(field).window(cell(13, 13))).max() < 1e-6


def test_models_type_cells_themselves_where_they_have_no_classifier():
    field = Field(planted.smear((50, 70)), 1, BRIGHTNESS)
    assert load_classifier(planted.checkpoint(), PARAMS, field) is None
    own = replace(PARAMS, differential="model")
    assert load_classifier(checkpoint(), own, field) is None
    with pytest.raises(ValueError, match="no classifier of the fine types"):
        load_classifier(planted.checkpoint(), replace(PARAMS, differential="fine"), field)


def test_the_record_names_the_classifier_and_its_calibration():
    own = checkpoint(temperature=1.5, unsure_threshold=0.6)
    found = load_classifier(own, PARAMS, Field(planted.smear((50, 70)), 1, BRIGHTNESS))
    assert found is not None
    assert found.record() == {
        "classifier": {"name": "fine", "sha256": ""},
        "calibration": {"temperature": 1.5, "unsure_below": 0.6},
    }


def test_types_are_averaged_with_those_of_the_finder():
    own = dict.fromkeys(FINE, 0.0)
    own |= {"segmented neutrophil": 0.3, "band neutrophil": 0.1, "monocyte": 0.4, "myelocyte": 0.2}
    finder = dict.fromkeys(TYPES, 0.0) | {"neutrophil": 0.45, "monocyte": 0.05, NONE: 0.5}
    found = average_types(own, finder)
    # Of the five types, neutrophils have 0.5 and 0.9: 0.7 of their 0.8.
    assert found["segmented neutrophil"] == pytest.approx(0.75 * 0.7 * 0.8)
    assert found["monocyte"] == pytest.approx(0.3 * 0.8)
    assert found["myelocyte"] == 0.2
    assert sum(found.values()) == pytest.approx(1)
    # At temperature 2, 9 : 1 becomes 3 : 1, and 0.75 and 0.5 are 0.625 in the mean.
    assert average_types(own, finder, 2)["monocyte"] == pytest.approx(0.375 * 0.8)


def test_a_card_with_the_temperature_of_the_finder_averages_with_its_types():
    field, place = Field(planted.smear((50, 70)), 1, BRIGHTNESS), cell(50, 70)
    alone, both = (
        load_classifier(checkpoint(**card), PARAMS, field)
        for card in ({}, {"finder_temperature": 1.5})
    )
    assert alone is not None
    assert both is not None
    (first,), (second,) = (
        planted.run(one.classify([place], Progress(0, 1)))[1] for one in (alone, both)
    )
    # The finder is certain.
    mean = (first.probabilities["neutrophil"] + 1) / 2
    assert second.probabilities["neutrophil"] == pytest.approx(mean)
