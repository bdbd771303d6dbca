"""The button that adapts the model, in a real window; the fit itself is stood in for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from reviewing import press, settle

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.adapt_gate import Gate
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.planes import OURS
from napari_wbc_nca.workflow.adapt import Adaptation
from napari_wbc_nca.workflow.adapt_image import ImageChanges

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def adapted(layer, monkeypatch):
    """Stand-in for the computation; cells 1, 2 and 4 change, whoever asks."""
    made = layer.metadata[OURS]
    layer.metadata[OURS] = {**made, "model": "wbc-smear", "params": {}, "provenance": [{}]}
    calls = []

    def adapt_image(opened, labels, reviewed, others):
        calls.append((opened, reviewed, others))
        yield Progress(0, 1)
        judged = len(calls) > 1
        gate = Gate(1, 0.0, 0.0, 1.0, 0.0, judged, False, "as asked")
        parent = model_store.resolve("wbc-smear")
        card = {**parent.card, "parent": {"name": parent.name, "sha256": parent.sha256}}
        model = replace(parent, name="wbc-smear-adapted", card=card)
        own = {"neutrophil": 0.1, "lymphocyte": 0.8, "monocyte": 0.1}
        mask = np.ones((22, 22), bool)
        return ImageChanges(
            Adaptation(model, gate, {}, {}), {1: own, 2: own, 4: own}, {2: ((9, 59), mask)}, 3
        )

    monkeypatch.setattr("napari_wbc_nca.workflow.adapt_image.adapt_image", adapt_image)
    return calls


def click(dock, qtbot):
    QTest.mouseClick(dock.adapt, LEFT)
    qtbot.waitUntil(dock.adapt.isEnabled, timeout=10_000)
    settle()


def test_unreviewed_cells_change_at_once_and_one_undo_takes_it_back(
    dock, layer, column, adapted, qtbot
):
    dock.model.select([1])
    press(dock.gallery, "1")  # confirms it as a neutrophil
    before, classes = layer.data.copy(), column("class")
    click(dock, qtbot)
    assert adapted[0][1:] == ({1: "neutrophil"}, [2, 3, 4])
    assert column("class") == {**classes, 2: "lymphocyte", 4: "lymphocyte"}
    assert column("p_lymphocyte")[4] == 0.8
    assert (dock.model.table["status"][[2, 3, 4]] == "auto").all()
    assert (layer.data == 2).sum() == 22**2
    assert "3 of 3 types change, 1 outline moves" in dock.status.text()
    layer.undo()
    settle()
    np.testing.assert_array_equal(layer.data, before)
    assert column("class") == classes


def test_the_adapted_model_is_kept_under_a_free_name(dock, adapted, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr(model_store, "user_models_folder", lambda: tmp_path)
    assert not dock.adapt.keep.isVisible()
    for name in ("wbc-smear-adapted", "wbc-smear-adapted-2"):
        adapted.clear()
        click(dock, qtbot)
        QTest.mouseClick(dock.adapt.keep, LEFT)
        assert f"Kept as {name}" in dock.status.text()
        kept = model_store.resolve(tmp_path / f"{name}.safetensors")
        assert kept.card["parent"]["sha256"] == model_store.resolve("wbc-smear").sha256
    assert not dock.adapt.keep.isVisible()


def test_a_model_that_the_gate_refuses_changes_nothing(dock, layer, column, adapted, qtbot):
    dock.model.select([1])
    press(dock.gallery, "1")
    click(dock, qtbot)
    classes = column("class")
    layer.undo()
    click(dock, qtbot)
    assert "Nothing was changed: as asked." in dock.status.text()
    assert column("class") != classes
    assert adapted[0][0] is adapted[1][0]  # what was read of the cells is kept


def test_cells_of_no_model_are_refused_with_the_remedy(dock, layer, qtbot, monkeypatch):
    said = []
    monkeypatch.setattr("napari_wbc_nca.widgets.review.adapt_button.report", said.append)
    click(dock, qtbot)
    assert "was not made by a model" in str(said[0])
