"""Labels from before the first correction, copied while the corrections go on."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_wbc_nca.project.project import Project
from napari_wbc_nca.project.settings import JournalSettings, save_settings
from napari_wbc_nca.widgets.review import first_state
from napari_wbc_nca.widgets.review.layer_journal import LayerJournal
from napari_wbc_nca.widgets.review.open_projects import Place, close_all, open_project


@pytest.fixture
def begin(qapp, tmp_path):
    """Keep the journal of a layer."""
    (tmp_path / "smear.png").write_bytes(b"known by its hash")

    def keep(data):
        layer = Labels(data)
        place = Place(open_project(tmp_path / "p"), tmp_path / "smear.png", None, None)
        return layer, LayerJournal(layer, place)

    return keep


def stored(tmp_path):
    """Labels and kinds of edits as the project holds them."""
    close_all()
    with Project(tmp_path / "p") as project:
        kinds = project.database.query("SELECT kind FROM edits ORDER BY id")
        return project.journal(1).restore()[0], [kind for (kind,) in kinds]


def put(layer, number):
    layer.data_setitem((np.array([number]), np.array([number])), number)


@pytest.mark.parametrize("seed", range(3))
def test_corrections_while_the_copy_is_made_are_exact(begin, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(first_state, "_PIECE", 8000)  # so that it takes many turns
    random = np.random.default_rng(seed)
    layer, journal = begin(random.integers(0, 5, (3, 300, 400)).astype(np.uint32))
    for _ in range(40):
        deed = random.integers(0, 10)
        if deed < 7:
            plane, y, x = random.integers(0, (3, 250, 350))
            height, width = random.integers(1, 50, 2)
            rows, columns = np.mgrid[y : y + height, x : x + width].reshape(2, -1)
            place = (np.full(rows.size, plane), rows, columns)
            layer.data_setitem(place, int(random.integers(0, 9)))
        else:
            (layer.undo if deed < 9 else layer.redo)()
        if random.random() < 0.5:
            QApplication.processEvents()
    journal.flush()
    np.testing.assert_array_equal(stored(tmp_path)[0], layer.data)


def test_a_large_layer_is_not_copied_at_once(begin, tmp_path):
    layer, journal = begin(np.zeros((8192, 8192), np.uint8))
    put(layer, 3)
    assert first_state._UNFINISHED
    journal.flush()
    assert not first_state._UNFINISHED
    assert stored(tmp_path)[0][3, 3] == 3


def test_a_layer_that_is_removed_before_it_is_copied_loses_nothing(begin, tmp_path):
    layer, _ = begin(np.zeros((2048, 2048), np.uint32))
    put(layer, 3)
    del layer
    assert stored(tmp_path)[0][3, 3] == 3


def test_a_journal_that_is_off_writes_later_what_was_corrected_meanwhile(begin, tmp_path):
    layer, journal = begin(np.zeros((90, 120), np.uint32))
    save_settings(JournalSettings(keep=False))
    put(layer, 1)
    journal.flush()
    assert not (tmp_path / "p").exists()
    save_settings(JournalSettings())
    put(layer, 2)
    save_settings(JournalSettings(keep=False))
    put(layer, 3)
    layer.undo()
    layer.redo()
    save_settings(JournalSettings())
    put(layer, 4)
    layer.undo()
    put(layer, 5)
    journal.flush()
    labels, kinds = stored(tmp_path)
    np.testing.assert_array_equal(labels, layer.data)
    assert kinds[:2] == ["pixels", "replace"]
