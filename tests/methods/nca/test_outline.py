from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
from scipy import ndimage as ndi

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.outline import (
    BORDER,
    OutlineExample,
    adapt_outlines,
    border_of,
    fit_border,
    outline,
    smoothed_growth,
    with_border,
)
from napari_wbc_nca.ops.growth import BORDER_TERMS, BUNDLED_BORDER, border_terms
from napari_wbc_nca.ops.metrics import iou

SIZE = 96


def disc(y, x, radius):
    return planted.disc((SIZE, SIZE), (y + 0.5, x + 0.5), radius)


def example(seed) -> OutlineExample:
    """A cell whose cytoplasm differs from a red cell that touches it by a shade of blue only."""
    random = np.random.default_rng(seed)
    density = random.normal(0, 0.02, (SIZE, SIZE, 3))
    angle = random.uniform(0, 2 * np.pi)
    for turn in (0, 2, 4):
        y, x = 48 + 38 * np.sin(angle + turn), 48 + 38 * np.cos(angle + turn)
        density[disc(y, x, 16)] += (0.2, 0.42, 0.40)
    cell, nucleus = disc(48, 48, 26), disc(48 + random.integers(-6, 7), 48, 12)
    density[cell] = random.normal((0.22, 0.40, 0.30), 0.02, (cell.sum(), 3))
    density[nucleus] = (1.0, 1.2, 0.6)
    response = ndi.gaussian_filter(nucleus * 0.9, 1) + 0.02
    none = np.zeros(cell.shape, bool)
    return OutlineExample(response, density, cell, none, (48.0, 48.0))


@pytest.fixture(scope="module")
def model():
    return model_store.resolve("wbc-smear")


def mean_iou(border, cells):
    return np.mean([iou(one.inside, outline(one, border)) for one in cells])


def test_corrected_outlines_improve_others_and_more_of_them_more():
    train, test = [example(n) for n in range(10)], [example(n) for n in range(10, 16)]
    found = [mean_iou(fit_border(train[:count]), test) for count in (0, 3, 10)]
    assert found[0] < 0.9
    assert found[2] > max(found[0] + 0.05, found[1] - 0.01)


def test_known_terms_give_the_outline_of_a_run(model):
    one = example(3)
    adapted = border_of(adapt_outlines(model, [example(n) for n in range(4)]))
    for border in (BUNDLED_BORDER, adapted):
        whole = smoothed_growth(one.response, one.density, border, one.middle)
        np.testing.assert_allclose(one.grown(border), whole, atol=1e-6)


def test_without_cells_or_other_matter_the_border_stays(model):
    assert fit_border([]) is BUNDLED_BORDER
    alone = example(0)
    empty = replace(alone, density=np.where(alone.inside[..., None], alone.density, 0))
    assert border_terms(empty.response, empty.density) is None
    assert fit_border([empty]) is BUNDLED_BORDER
    assert adapt_outlines(model, []) is model
    assert adapt_outlines(model, [empty]) is model


def test_an_adapted_border_is_kept_in_the_card_and_goes_to_the_finder(model):
    adapted = adapt_outlines(model, [example(n) for n in range(4)])
    record = adapted.card["adapted_outlines"]
    assert record["cells"] == 4
    assert record["iou"] > record["iou_before"]
    assert len(border_of(adapted).weights) == len(BORDER_TERMS)
    finder = with_border(model, adapted)
    assert border_of(finder).bias == border_of(adapted).bias
    assert with_border(model, model) is model


def test_outlines_that_contradict_what_is_seen_change_nothing(model):
    random = np.random.default_rng(0)
    cells = [
        replace(one, inside=disc(*random.integers(20, 76, 2), 9)) for one in map(example, range(6))
    ]
    adapted = adapt_outlines(model, cells)
    if adapted is not model:  # then cells that were left out say that it is better
        record = adapted.card["adapted_outlines"]
        assert record["iou"] > record["iou_before"]


def test_a_card_of_another_version_is_refused(model):
    other = replace(model, card={**model.card, BORDER: {"weights": [1.0], "bias": 0.0}})
    with pytest.raises(ValueError, match="has 1 weights of the border"):
        border_of(other)
