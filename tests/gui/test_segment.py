from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import squares
from napari.layers import Labels
from squares import assemble, smear

from napari_wbc_nca.methods.nca.cells import PROJECTIONS
from napari_wbc_nca.widgets import segment
from napari_wbc_nca.widgets.planes import OURS


def text(label):
    return label.text().replace("\N{NO-BREAK SPACE}", " ")


def test_click_adds_labels_with_features(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear", scale=(0.1, 0.1), units="um")
    click(widget.button)
    assert not widget.button.isEnabled()
    finish(widget)
    cells = viewer.layers["smear cells"]
    assert isinstance(cells, Labels)
    assert cells.data.dtype == np.uint32
    assert cells.data[15, 15] == 1
    assert cells.data[55, 75] == 2
    assert cells.data[0, 0] == 0
    assert list(cells.features["index"]) == [1, 2]
    assert list(cells.features["class"]) == ["lymphocyte", "neutrophil"]
    np.testing.assert_allclose(cells.features["area_um2"], 400 * 0.01)
    np.testing.assert_allclose(cells.extent.world, viewer.layers["smear"].extent.world)
    assert cells.units == viewer.layers["smear"].units
    assert text(widget.status) == "2 cells: 1 lymphocyte, 1 neutrophil"
    assert "neutrophil" in widget.legend.text()


def test_labels_can_be_edited_and_undone(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.button)
    finish(widget)
    cells = viewer.layers["smear cells"]
    cells.selected_label = 7
    cells.paint((80, 100), 7)
    assert cells.data[80, 100] == 7
    cells.undo()
    assert cells.data[80, 100] == 0


def test_second_run_keeps_edits_of_the_first(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.button)
    finish(widget)
    viewer.layers["smear cells"].paint((80, 100), 7)
    click(widget.button)
    finish(widget)
    names = [layer.name for layer in viewer.layers]
    assert names == ["smear", "smear cells", "smear cells [1]"]
    assert 7 in viewer.layers["smear cells"].data
    assert 7 not in viewer.layers["smear cells [1]"].data


def test_nuclei_and_maps_are_added_when_asked(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.form.outputs["nucleus"])
    click(widget.form.outputs["maps"])
    click(widget.button)
    finish(widget)
    nuclei = viewer.layers["smear nuclei"].data
    assert 0 < np.count_nonzero(nuclei) < np.count_nonzero(viewer.layers["smear cells"].data)
    assert viewer.layers["smear response"].data.dtype == np.float32
    assert widget.form.image.layer == viewer.layers["smear"]


def test_result_is_bound_to_its_image_when_the_user_moves_on(
    viewer, widget, workflow, click, finish, qtbot
):
    workflow.slow = True
    viewer.add_image(smear((10, 10)), name="first", translate=(5, 7))
    source = viewer.layers["first"]
    click(widget.button)
    qtbot.waitUntil(lambda: bool(workflow.calls))
    viewer.add_image(smear((60, 90)), name="second")
    assert widget.form.image.layer == viewer.layers["second"]
    source.name = "renamed"
    workflow.go.set()
    finish(widget)
    cells = viewer.layers["renamed cells"]
    assert cells.data[15, 15] == 1
    assert cells.data[65, 95] == 0
    assert tuple(cells.translate) == (5, 7)
    assert cells.metadata[OURS]["source_id"] == str(source.unique_id)


@pytest.mark.parametrize("end", ["finished", "cancelled"])
@pytest.mark.parametrize("deed", ["removed", "replaced"])
def test_result_of_an_image_that_is_gone_is_dropped(
    viewer, widget, workflow, click, finish, qtbot, deed, end
):
    workflow.slow = True
    viewer.add_image(smear((10, 10)), name="first")
    click(widget.button)
    qtbot.waitUntil(lambda: "segmenting" in widget.status.text())
    if deed == "removed":
        viewer.layers.remove(viewer.layers["first"])
    else:
        viewer.layers["first"].data = smear((60, 90))
    viewer.add_image(smear((60, 90)), name="second")
    if end == "cancelled":
        click(widget.progress.cancel)
    workflow.go.set()
    finish(widget)
    assert not [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert "'first' was removed or replaced meanwhile: its cells are dropped" in text(widget.status)
    click(widget.button)
    finish(widget)
    assert viewer.layers["second cells"].data[65, 95] == 1


def test_second_run_is_selected_and_hides_the_first(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    viewer.add_image(smear((10, 10)), name="other")
    for name in ("other", "smear", "smear"):
        viewer.layers.selection.active = viewer.layers[name]
        click(widget.button)
        finish(widget)
        viewer.layers[f"{name} cells"].paint((80, 100), 7)
    shown = {layer.name for layer in viewer.layers if layer.visible}
    assert shown == {"smear", "other", "other cells", "smear cells [1]"}
    assert viewer.layers.selection.active is viewer.layers["smear cells [1]"]
    click(widget.button)  # with the last result selected
    finish(widget)
    assert viewer.layers.selection.active is viewer.layers["smear cells [2]"]
    assert not viewer.layers["smear cells [1]"].visible


def test_new_cells_are_selected_unless_the_user_is_busy(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.form.outputs["nucleus"])
    click(widget.button)
    finish(widget)
    assert viewer.layers.selection.active is viewer.layers["smear cells"]
    viewer.add_points(name="marks")
    click(widget.button)
    finish(widget)
    assert viewer.layers.selection.active is viewer.layers["marks"]


@pytest.mark.parametrize("stuck", [False, True])
def test_cancel_returns_within_two_seconds_and_keeps_cells(
    viewer, widget, workflow, click, finish, qtbot, stuck
):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    workflow.slow = not stuck
    workflow.stuck = threading.Event() if stuck else None
    click(widget.button)
    qtbot.waitUntil(lambda: "segmenting" in widget.status.text())
    start = time.monotonic()
    click(widget.progress.cancel)
    finish(widget)
    assert time.monotonic() - start < 2
    assert list(np.unique(viewer.layers["smear cells"].data)) == [0, 1]
    assert text(widget.status) == "Cancelled. 1 cell: 1 lymphocyte"
    assert not widget.progress.isVisible()
    if workflow.stuck is not None:
        workflow.stuck.set()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("image is empty; open another"), "image is empty; open another"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "Lower Tile and Batch"),
        (RuntimeError("mat1 and mat2"), "Try device cpu"),
        (KeyError("weights"), "Try device cpu"),
    ],
)
def test_errors_become_notifications_with_a_remedy(
    viewer, widget, workflow, click, finish, notes, error, words
):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    workflow.error = error
    click(widget.button)
    finish(widget)
    assert any(words in note for note in notes)
    assert text(widget.status) == "Stopped by an error. 1 cell: 1 lymphocyte"
    workflow.error = None
    click(widget.button)
    finish(widget)
    assert text(widget.status) == "2 cells: 1 lymphocyte, 1 neutrophil"


def test_without_an_image_the_message_says_where_to_find_one(viewer, widget, click, notes):
    click(widget.button)
    assert "Open Sample" in notes[-1]
    assert widget.button.isEnabled()


def test_with_nothing_ticked_the_message_says_so(viewer, widget, click, notes):
    viewer.add_image(smear((10, 10)))
    click(widget.form.outputs["cell"])
    click(widget.button)
    assert notes == ["Nothing is to be added. Tick Cells, Nuclei, PCA-Otsu or Maps."]


def test_image_without_cells_gives_an_empty_layer(viewer, widget, click, finish):
    viewer.add_image(smear(), name="blank")
    click(widget.button)
    finish(widget)
    assert not viewer.layers["blank cells"].data.any()
    assert text(widget.status) == "No white blood cell found"


def test_every_projection_can_be_chosen(widget):
    choices = widget.form.params.widgets["projection"].choices
    assert list(choices) == ["model", *PROJECTIONS]
    assert "grown" in choices


def test_cancelled_run_records_the_points_it_was_given(
    viewer, widget, workflow, click, finish, qtbot
):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    viewer.add_points([(20.0, 20.0), (60.0, 80.0)], name="points")
    widget.form.params.widgets["locate"].value = "points"
    workflow.slow = True
    click(widget.button)
    qtbot.waitUntil(lambda: "segmenting" in widget.status.text())
    click(widget.progress.cancel)
    finish(widget)
    record = viewer.layers["smear cells"].metadata[OURS]["provenance"][0]
    assert record["points"] == [[20.0, 20.0], [60.0, 80.0]]


def test_projection_is_switched_live_in_an_untouched_layer(viewer, widget, workflow, click, finish):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    click(widget.button)
    finish(widget)
    widget.form.params.widgets["projection"].value = "pca"
    finish(widget)
    assert [layer.name for layer in viewer.layers] == ["smear", "smear cells"]
    call = workflow.calls[-1]
    assert (call["params"].projection, call["params"].locate) == ("pca", "points")
    np.testing.assert_allclose(call["points"], [(20, 20), (60, 80)])


def test_projection_switch_keeps_edits(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.button)
    finish(widget)
    viewer.layers["smear cells"].paint((80, 100), 7)
    widget.form.params.widgets["projection"].value = "pca"
    finish(widget)
    assert 7 in viewer.layers["smear cells"].data
    assert 7 not in viewer.layers["smear cells [1]"].data


@pytest.mark.parametrize("counts", [(2, 2), (1, 2), (2, 1)])
def test_projection_switch_shows_maps_of_other_names(
    viewer, widget, click, finish, monkeypatch, counts
):
    def named(cells, image, checkpoint, params, *given):
        made = assemble(cells, image, checkpoint, params, *given)
        count = counts[params.projection == "pca"]
        own = {f"{n} by {params.projection}": made.maps["response"] for n in range(count)}
        return replace(made, maps={**made.maps, **own})

    monkeypatch.setattr(squares, "assemble", named)
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    click(widget.form.outputs["maps"])
    click(widget.button)
    finish(widget)
    cells = viewer.layers["smear cells"]
    widget.form.params.widgets["projection"].value = "pca"
    finish(widget)
    expected = {"smear", "smear response", "smear cells"}
    expected |= {f"smear {n} by pca" for n in range(counts[1])}
    assert {layer.name for layer in viewer.layers} == expected
    assert viewer.layers["smear cells"] is cells
    assert viewer.layers.selection.active is cells
    assert viewer.layers["smear 0 by pca"].metadata[OURS]["params"]["projection"] == "pca"


@pytest.mark.parametrize("error", [OSError("no room left"), KeyError("name")])
def test_an_error_while_layers_are_made_leaves_run_usable(
    viewer, widget, click, finish, monkeypatch, qtbot, error
):
    def fail(*_):
        raise error

    viewer.add_image(smear((10, 10)), name="smear")
    with monkeypatch.context() as broken, qtbot.capture_exceptions():
        broken.setattr(segment, "add_result", fail)
        click(widget.button)
        finish(widget)
    assert not widget.progress.isVisible()
    click(widget.button)
    finish(widget)
    assert "smear cells" in viewer.layers


def test_closing_the_dock_stops_the_run_and_later_layers_are_no_trouble(
    viewer, widget, workflow, click, qtbot
):
    workflow.slow = True
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.button)
    qtbot.waitUntil(lambda: bool(workflow.calls))
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not widget.running)
    viewer.add_image(smear((60, 90)), name="later")


def test_form_is_narrow_and_every_field_has_a_name_and_a_tooltip(viewer, widget):
    from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QPushButton

    assert widget.minimumSizeHint().width() <= 380
    fields = [
        *widget.findChildren(QComboBox),
        *widget.findChildren(QAbstractSpinBox),
    ]
    assert len(fields) > 8
    for found in fields:
        assert found.accessibleName(), found
        assert found.toolTip() or found.parent().toolTip(), found.accessibleName()
    assert all(button.text() for button in widget.findChildren(QPushButton))


def test_notes_of_a_run_are_shown(viewer, widget, click, finish, monkeypatch):
    def noted(*given):
        made = assemble(*given)
        return replace(made, provenance={**made.provenance, "notes": ["1 point gave no cell"]})

    monkeypatch.setattr(squares, "assemble", noted)
    viewer.add_image(smear((10, 10)), name="smear")
    click(widget.button)
    finish(widget)
    assert text(widget.status) == "1 cell: 1 lymphocyte\n1 point gave no cell"


def test_touching_cells_are_not_counted(viewer, widget, click, finish, monkeypatch):
    def clumped(*given):
        made = assemble(*given)
        regions = {"neutrophil": {"regions": 1, "area_share": 0.04}}
        return replace(made, provenance={**made.provenance, "regions": regions})

    monkeypatch.setattr(squares, "assemble", clumped)
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    click(widget.button)
    finish(widget)
    assert text(widget.status) == "1 cell: 1 lymphocyte"
    assert text(widget.legend).endswith("</span> neutrophil")
    assert "1 lymphocyte" in text(widget.legend)
