from __future__ import annotations

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_wbc_nca.io import model_store


@pytest.fixture
def choose(monkeypatch):
    """Answer the file dialog with a path."""

    def answer(path):
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    return answer


def test_bundled_models_are_offered(widget):
    names = widget.form.model.names
    assert [names.itemText(at) for at in range(names.count())] == ["wbc-smear", "wbc-types"]
    assert widget.form.model.model == "wbc-smear"


def test_open_chooses_a_checkpoint_file(widget, click, choose, tmp_path):
    path = tmp_path / "mine.safetensors"
    choose(path)
    click(widget.form.model.open_button)
    click(widget.form.model.open_button)
    assert widget.form.model.model == str(path)
    assert widget.form.model.names.currentText() == "mine.safetensors"
    assert widget.form.model.names.count() == 3


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_open_of_a_bad_file_says_so_and_keeps_the_choice(
    widget, click, choose, notes, monkeypatch, tmp_path, content
):
    from napari_wbc_nca.io.weights import load

    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    monkeypatch.setattr(model_store, "resolve", load)
    choose(path)
    click(widget.form.model.open_button)
    assert "bad.safetensors" in notes[-1]
    assert widget.form.model.model == "wbc-smear"


def test_dialog_that_is_dismissed_changes_nothing(widget, click, choose, notes):
    choose("")
    click(widget.form.model.open_button)
    assert not notes
    assert widget.form.model.names.count() == 2
