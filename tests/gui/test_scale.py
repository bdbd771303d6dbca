from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from squares import CHECKPOINT, smear

from napari_wbc_nca.widgets.model_box import cell_size
from napari_wbc_nca.widgets.scale_box import AUTOMATIC, CIRCLE, DIAMETER, PIXEL_SIZE


def across(viewer):
    """Height and width of the circle in the world."""
    layer = viewer.layers[CIRCLE]
    return list(np.array(layer.data.shape[:2]) * layer.scale)


def test_automatic_leaves_the_scale_to_the_workflow(viewer, widget, workflow, click, finish):
    viewer.add_image(smear((10, 10)), scale=(0.2, 0.2), units=("um", "um"))
    assert widget.form.scale.hint.text() == "0.2 µm a pixel, from the layer"
    click(widget.button)
    finish(widget)
    call = workflow.calls[-1]
    assert call["image"].pixel_size == 0.2
    assert (call["params"].pixel_size, call["params"].diameter) == (0, 0)
    assert "20 px" in widget.form.scale.hint.text()


def test_typed_pixel_size_is_taken(viewer, widget, workflow, click, finish):
    viewer.add_image(smear((10, 10)))
    widget.form.scale.mode.setCurrentText(PIXEL_SIZE)
    widget.form.scale.form.widgets["pixel_size"].value = 0.25
    click(widget.button)
    finish(widget)
    params = workflow.calls[-1]["params"]
    assert (params.pixel_size, params.diameter) == (0.25, 0)


def test_circle_of_a_typed_pixel_size_is_that_of_the_models_cells(viewer, widget):
    viewer.add_image(smear((10, 10)), scale=(0.2, 0.2), units=("um", "um"))
    assert CIRCLE not in [layer.name for layer in viewer.layers]
    widget.form.scale.mode.setCurrentText(PIXEL_SIZE)
    assert across(viewer) == pytest.approx([32 * 0.4] * 2)  # µm of the world
    widget.form.scale.form.widgets["pixel_size"].value = 0.4
    assert across(viewer) == pytest.approx([32 * 0.4 / 2] * 2)  # half as many pixels


def test_circle_of_the_layers_pixel_size_is_shown_when_ticked(viewer, widget, click):
    viewer.add_image(smear((10, 10)), scale=(0.2, 0.2), units=("um", "um"))
    click(widget.form.scale.circle)
    assert across(viewer) == pytest.approx([32 * 0.4] * 2)
    click(widget.form.scale.circle)
    assert CIRCLE not in [layer.name for layer in viewer.layers]


def test_circle_of_an_automatic_estimate_comes_with_the_run(viewer, widget, click, finish):
    viewer.add_image(smear((10, 10)), name="smear", scale=(0.5, 0.5))
    click(widget.form.scale.circle)
    assert CIRCLE not in [layer.name for layer in viewer.layers]
    click(widget.button)
    finish(widget)
    assert across(viewer) == pytest.approx([10, 10])
    assert viewer.layers.selection.active is viewer.layers["smear cells"]
    viewer.add_image(smear((60, 60)), name="another")  # of which nothing is known
    assert CIRCLE not in [layer.name for layer in viewer.layers]


@pytest.mark.parametrize(
    ("card", "size"),
    [
        ({}, 12.8),
        ({"scale": "cells"}, 12.8),
        ({"scale": "pixels"}, 0),
        ({"scale": "cells", "pixel_size_known": False}, 0),
        ({"scale": "pixels", "pixel_size_known": True}, 12.8),
    ],
)
def test_cells_have_a_size_where_the_model_goes_by_it(card, size):
    assert cell_size(replace(CHECKPOINT, card=card)) == pytest.approx(size)


def test_estimate_is_shown_as_a_circle_that_follows_the_diameter_and_goes(
    viewer, widget, workflow, click, finish
):
    viewer.add_image(smear((10, 10)), name="smear", scale=(0.5, 0.5))
    widget.form.scale.mode.setCurrentText(DIAMETER)
    click(widget.form.scale.estimate)
    finish(widget)
    assert widget.form.scale.params()["diameter"] == 20
    assert across(viewer) == pytest.approx([10, 10])
    assert widget.form.image.layer == viewer.layers["smear"]
    assert viewer.layers.selection.active is viewer.layers["smear"]
    widget.form.scale.form.widgets["diameter"].value = 30
    assert across(viewer) == pytest.approx([15, 15])
    assert [layer.name for layer in viewer.layers].count(CIRCLE) == 1
    click(widget.button)
    finish(widget)
    assert across(viewer) == pytest.approx([15, 15])
    click(widget.form.scale.circle)
    assert CIRCLE not in [layer.name for layer in viewer.layers]
    assert workflow.calls[-1]["params"].diameter == 30


def test_circle_goes_with_the_choice_and_with_the_widget(viewer, widget):
    viewer.add_image(smear((10, 10)))
    widget.form.scale.set_diameter(25)
    assert CIRCLE in [layer.name for layer in viewer.layers]
    widget.form.scale.mode.setCurrentText(AUTOMATIC)
    assert CIRCLE not in [layer.name for layer in viewer.layers]
    widget.form.scale.set_diameter(25)
    viewer.window.remove_dock_widget(widget)
    assert CIRCLE not in [layer.name for layer in viewer.layers]
    viewer.add_image(smear((60, 60)), scale=(0.2, 0.2), units=("um", "um"))
    assert CIRCLE not in [layer.name for layer in viewer.layers]


def test_circle_that_a_person_deleted_is_no_trouble(viewer, widget):
    viewer.add_image(smear((10, 10)))
    widget.form.scale.set_diameter(25)
    viewer.layers.remove(CIRCLE)
    widget.form.scale.set_diameter(35)
    assert CIRCLE in [layer.name for layer in viewer.layers]


def test_failed_estimate_is_a_notification(
    viewer, widget, workflow, click, finish, notes, monkeypatch
):
    from napari_wbc_nca.workflow import segment

    def fail(*_):
        raise ValueError("no cell found; type the diameter")

    monkeypatch.setattr(segment, "estimate_diameter", fail)
    viewer.add_image(smear())
    widget.form.scale.mode.setCurrentText(DIAMETER)
    click(widget.form.scale.estimate)
    finish(widget)
    assert notes[-1] == "no cell found; type the diameter"


def test_circle_lies_around_its_centre():
    from napari.layers import Image

    from napari_wbc_nca.widgets.planes import source_of
    from napari_wbc_nca.widgets.scale_box import SIDE, circle_place, ring

    source = source_of(Image(smear(), rgb=True, scale=(0.5, 0.5), translate=(3, 4)))
    circle = Image(ring(SIDE), rgb=True, **circle_place(source, (30, 40), 20))
    middle = np.asarray(circle.data_to_world(((SIDE - 1) / 2, (SIDE - 1) / 2)))
    np.testing.assert_allclose(middle, source.layer.data_to_world((30, 40)))
