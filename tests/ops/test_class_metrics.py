from __future__ import annotations

import numpy as np
import pytest

from napari_wbc_nca.ops.metrics import class_scores, confusion_matrix


def test_figures_are_those_of_counting_pixels():
    random = np.random.default_rng(0)
    true, found = random.integers(0, 3, (2, 9, 9))
    table = class_scores(confusion_matrix(true, found, 3), ("background", "a", "b")).set_index(
        "class"
    )
    for number, name in enumerate(("background", "a", "b")):
        hits = np.sum((true == number) & (found == number))
        assert table["accuracy"][name] == pytest.approx(hits / np.sum(true == number))
        joined = np.sum((true == number) | (found == number))
        assert table["iou"][name] == pytest.approx(hits / joined)


def test_what_nobody_knows_does_not_count_and_absent_classes_are_left_out():
    true, found = np.array([0, 0, 1, 255]), np.array([0, 2, 1, 1])
    counts = confusion_matrix(true, found, 4)
    assert counts.sum() == 3
    table = class_scores(counts, ("background", "a", "b", "c"))
    assert table["class"].tolist() == ["background", "a", "b"]
    assert np.isnan(table["accuracy"].iloc[2])
    assert table["iou"].iloc[2] == 0


def test_maps_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
