"""Models of other methods in the same widget."""

from __future__ import annotations

import dots
import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from squares import smear

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import fields
from napari_wbc_nca.widgets.method_form import ELSEWHERE, MethodPage
from napari_wbc_nca.widgets.planes import OURS


def test_form_follows_the_method_of_the_model(dots_widget):
    widget, form = dots_widget, dots_widget.form
    form.model.names.setCurrentText("squares")
    form.params.widgets["device"].value = "cpu"
    form.model.names.setCurrentText("dots")
    assert widget.button.text() == "Segment dots"
    assert [box.text() for box in form.outputs.values() if box.isVisible()] == [
        *("Cells", "Points", "Contributions", "Classes", "Maps")
    ]
    assert form.params.native("rim").isVisible()
    assert not form.params.native("depth").isVisible()
    assert form.params.values()["device"] == "cpu"
    assert not form.points.isVisible()
    form.params.widgets["locate"].value = "points"
    assert form.points.isVisible()
    form.model.names.setCurrentText("squares")
    assert widget.button.text() == "Segment WBCs"
    assert form.params.native("projection").isVisible()
    assert not form.points.isVisible()


def test_everything_that_a_method_gives_becomes_layers(viewer, dots_widget, click, finish, notes):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear", scale=(0.5, 0.5))
    for box in dots_widget.form.outputs.values():
        box.setChecked(True)
    click(dots_widget.button)
    finish(dots_widget)
    assert not notes
    kinds = {layer.name: type(layer) for layer in viewer.layers}
    assert list(kinds.items()) == [
        ("smear", Image),
        ("smear likelihood", Image),
        ("smear classes", Labels),
        ("smear contributions", Labels),
        ("smear cells", Labels),
        ("smear centroids", Points),
    ]
    assert viewer.layers.selection.active is viewer.layers["smear cells"]
    points = viewer.layers["smear centroids"]
    np.testing.assert_allclose(points.data, [(20, 20), (60, 80)])
    np.testing.assert_allclose(points.scale, (0.5, 0.5))
    assert list(points.features["class"]) == ["lymphocyte", "neutrophil"]
    assert list(points.features["likelihood"]) == [0.75, 0.75]
    classes = viewer.layers["smear classes"]
    assert (classes.data[20, 20], classes.data[60, 80]) == (1, 2)
    assert list(classes.features["class"]) == ["lymphocyte", "neutrophil"]
    contributions = viewer.layers["smear contributions"]
    assert (contributions.data[11, 11], contributions.data[20, 20]) == (1, 0)
    assert all(layer.metadata[OURS]["model"] == "dots" for layer in viewer.layers[1:])


def test_colours_tell_the_classes_in_every_layer(viewer, dots_widget, click, finish):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    click(dots_widget.button)
    finish(dots_widget)
    lymphocyte = viewer.layers["smear cells"].get_color(1)
    np.testing.assert_allclose(viewer.layers["smear classes"].get_color(1), lymphocyte)
    np.testing.assert_allclose(viewer.layers["smear centroids"].face_color[0], lymphocyte)
    assert not np.allclose(viewer.layers["smear cells"].get_color(2), lymphocyte)


def test_points_of_a_stack_lie_on_their_planes(viewer, dots_widget, click, finish):
    stack = np.stack([smear((10, 10)), smear((40, 60), (10, 90))])
    viewer.add_image(stack, name="stack")
    dots_widget.form.planes.setCurrentText("all planes")
    click(dots_widget.button)
    finish(dots_widget)
    points = viewer.layers["stack centroids"]
    assert sorted(map(tuple, points.data)) == [*((0, 20, 20), (1, 20, 100), (1, 50, 70))]
    assert sorted(points.features["index"]) == [1, 2, 3]
    assert set(np.unique(viewer.layers["stack classes"].data[1])) == {0, 1, 2}


def test_image_without_cells_gives_empty_layers(viewer, dots_widget, click, finish, notes):
    viewer.add_image(smear(), name="blank")
    click(dots_widget.button)
    finish(dots_widget)
    assert not notes
    assert dots_widget.status.text() == "No dot found"
    assert len(viewer.layers["blank centroids"].data) == 0
    assert not viewer.layers["blank cells"].data.any()


def test_error_then_a_second_run(viewer, dots_widget, click, finish, notes):
    viewer.add_image(smear((10, 10)), name="smear")
    dots_widget.form.params.widgets["depth"].value = 0
    click(dots_widget.button)
    finish(dots_widget)
    assert notes == ["depth is 0; choose more"]
    assert dots_widget.status.text() == "Stopped by an error. No cell was finished."
    dots_widget.form.params.widgets["depth"].value = 1
    click(dots_widget.button)
    finish(dots_widget)
    assert "smear centroids" in viewer.layers


def test_with_nothing_ticked_the_message_lists_what_there_is(viewer, dots_widget, click, notes):
    viewer.add_image(smear((10, 10)))
    for box in dots_widget.form.outputs.values():
        box.setChecked(False)
    click(dots_widget.button)
    assert notes == ["Nothing is to be added. Tick Cells, Points, Contributions, Classes or Maps."]


def test_centroids_of_a_run_can_be_the_points_of_another(viewer, dots_widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear")
    click(dots_widget.button)
    finish(dots_widget)
    assert dots_widget.form.points.layer == viewer.layers["smear centroids"]
    assert dots_widget.form.image.layer == viewer.layers["smear"]


def test_models_that_were_trained_meanwhile_are_offered(dots_widget, monkeypatch):
    monkeypatch.setattr(model_store, "names", lambda: ["squares", "dots", "mine"])
    names = dots_widget.form.model.names
    names.showPopup()
    names.hidePopup()
    assert [names.itemText(at) for at in range(names.count())] == ["squares", "dots", "mine"]


@pytest.mark.parametrize("name", [*registry.METHODS, "dots"])
def test_every_method_has_a_page_with_all_its_parameters(qtbot, monkeypatch, name):
    monkeypatch.setitem(registry.METHODS, "dots", dots.METHOD)
    page = MethodPage(name)
    for part in page.parts:
        qtbot.addWidget(part)
    shown = {field.name for field in fields(page.cls)} - set(ELSEWHERE)
    placed = {n for n in shown if any(p.isAncestorOf(page.params.native(n)) for p in page.parts)}
    assert placed == shown
    assert any(item.on for item in page.display.outputs)
    assert page.make({}) == page.cls()
