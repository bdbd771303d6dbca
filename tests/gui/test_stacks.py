from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Points, Shapes
from squares import smear

from napari_wbc_nca.widgets.planes import (
    boxes_in,
    current_index,
    on_plane,
    pixel_size,
    placement,
    source_of,
    to_plane,
)


def world(layer, position):
    return np.asarray(layer.data_to_world(position), float)


STACK = np.stack([smear((10, 10)), smear((40, 60), (10, 90)), smear()])


def test_current_plane_becomes_labels_on_that_plane(viewer, widget, click, finish):
    viewer.add_image(STACK, name="stack", scale=(2, 0.1, 0.1), translate=(5, 1, 2))
    viewer.dims.set_current_step(0, 1)
    assert widget.form.planes.isVisible()
    click(widget.button)
    finish(widget)
    cells = viewer.layers["stack cells"]
    assert cells.data.shape == (1, 90, 120)
    assert list(cells.features["axis_0"]) == [1, 1]
    source = viewer.layers["stack"]
    np.testing.assert_allclose(world(cells, (0, 45, 65)), world(source, (1, 45, 65)))
    assert cells.get_value(world(source, (1, 45, 65)), world=True) > 0


def test_all_planes_become_one_labels_layer_without_repeated_integers(
    viewer, widget, click, finish
):
    viewer.add_image(STACK, name="stack")
    widget.form.planes.setCurrentText("all planes")
    click(widget.button)
    finish(widget)
    data = viewer.layers["stack cells"].data
    assert data.shape == STACK.shape[:3]
    assert set(np.unique(data[0])) == {0, 1}
    assert set(np.unique(data[1])) == {0, 2, 3}
    assert not data[2].any()
    assert list(viewer.layers["stack cells"].features["index"]) == [1, 2, 3]
    assert list(viewer.layers["stack cells"].features["axis_0"]) == [0, 1, 1]


def test_projection_switch_on_a_stack_keeps_points_on_their_planes(
    viewer, widget, workflow, click, finish
):
    viewer.add_image(STACK, name="stack")
    widget.form.planes.setCurrentText("all planes")
    click(widget.button)
    finish(widget)
    widget.form.params.widgets["projection"].value = "pca"
    finish(widget)
    counts = [len(call["points"]) for call in workflow.calls if call["points"] is not None]
    assert counts == [1, 2]


def test_lazy_stack_computes_the_current_plane_only(viewer, widget, click, finish):
    computed = []

    def plane(block_info=None):
        at = block_info[None]["chunk-location"][0]
        computed.append(at)
        return STACK[at : at + 1]

    chunks = ((1, 1, 1), (90,), (120,), (3,))
    lazy = da.map_blocks(plane, chunks=chunks, dtype=np.uint8)
    viewer.add_image(lazy, rgb=True, name="lazy", contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 1)
    computed.clear()
    click(widget.button)
    finish(widget)
    assert set(computed) == {1}
    assert np.count_nonzero(viewer.layers["lazy cells"].data) == 800


def as_float(pixels):
    return pixels.astype(np.float32) / 255


def as_deep(pixels):
    return pixels.astype(np.uint16) * 257


def as_rgba(pixels):
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], -1)


def channels_first(pixels):
    return np.moveaxis(pixels, -1, 0)


@pytest.mark.parametrize(
    ("change", "rgb"),
    [
        (as_float, True),
        (as_deep, True),
        (as_rgba, True),
        (channels_first, False),
        (lambda pixels: pixels, False),
        (lambda pixels: [pixels, pixels[::2, ::2]], True),
    ],
    ids=["float", "16-bit", "RGBA", "channels first", "not shown as RGB", "multiscale"],
)
def test_every_kind_of_colour_image_works(viewer, widget, click, finish, change, rgb):
    viewer.add_image(change(smear((10, 10), (50, 70))), rgb=rgb, name="kind")
    click(widget.button)
    finish(widget)
    cells = viewer.layers["kind cells"]
    assert cells.data.shape == (90, 120)
    assert len(cells.features) == 2


def test_single_channel_is_refused_with_a_reason(viewer, widget, click, finish, notes):
    viewer.add_image(smear((10, 10))[..., 0], name="grey")
    click(widget.button)
    finish(widget)
    assert "three channels are needed" in notes[-1]


def test_points_are_moved_onto_the_image(viewer, widget, workflow, click, finish):
    viewer.add_image(smear((10, 10)), name="smear", scale=(0.5, 0.5), translate=(3, 4))
    viewer.add_points([(13, 14)], name="points")
    widget.form.params.widgets["locate"].value = "points"
    assert widget.form.points.isVisible()
    click(widget.button)
    finish(widget)
    np.testing.assert_allclose(workflow.calls[-1]["points"], [(20, 20)])


def test_boxes_of_shapes_are_moved_onto_the_image(viewer, widget, workflow, click, finish):
    viewer.add_image(smear((10, 10)), name="smear", scale=(0.5, 0.5))
    viewer.add_shapes([np.array([(5, 5), (5, 15), (15, 15), (15, 5)])], name="boxes")
    widget.form.params.widgets["locate"].value = "boxes"
    click(widget.button)
    finish(widget)
    np.testing.assert_allclose(workflow.calls[-1]["boxes"], [(10, 10, 30, 30)])


def test_points_without_a_layer_say_what_to_do(viewer, widget, click, notes):
    viewer.add_image(smear((10, 10)))
    widget.form.params.widgets["locate"].value = "points"
    click(widget.button)
    assert "Add a Points layer" in notes[-1]


def test_points_of_a_stack_belong_to_their_plane():
    source = source_of(Image(STACK, rgb=True))
    points = Points([(0, 5, 6), (1, 7, 8)], ndim=3)
    found = to_plane(source, points, points.data)
    assert on_plane(found, (1,)).tolist() == [False, True]
    flat = Points([(5, 6)])
    found = to_plane(source, flat, flat.data)
    assert on_plane(found, (2,)).tolist() == [True]
    shapes = Shapes([np.array([(1, 2, 3), (1, 2, 9), (1, 8, 9), (1, 8, 3)])], ndim=3)
    np.testing.assert_allclose(boxes_in(source, shapes), [(1, 2, 3, 8, 9)])


def test_current_index_follows_scale_and_stays_inside():
    layer = Image(STACK, rgb=True, scale=(2, 1, 1), translate=(10, 0, 0))
    source = source_of(layer)
    assert current_index(source, (12, 0, 0)) == (1,)
    assert current_index(source, (99, 0, 0)) == (2,)


@pytest.mark.parametrize(
    ("unit", "scale", "size"),
    [("um", 0.25, 0.25), ("nm", 250, 0.25), ("pixel", 0.25, None), ("mm", 25.4 / 300, None)],
)
def test_pixel_size_is_known_in_units_of_length_only_and_is_no_printers(unit, scale, size):
    layer = Image(smear(), rgb=True, scale=(scale, scale), units=(unit, unit))
    found = pixel_size(source_of(layer))
    assert found == (size if size is None else pytest.approx(size))


def test_oblong_pixels_have_no_one_size():
    layer = Image(smear(), rgb=True, scale=(1, 2), units=("um", "um"))
    assert pixel_size(source_of(layer)) is None


@pytest.mark.parametrize("channels", ["rgb", "first"])
def test_placement_puts_pixels_where_they_were(channels):
    pixels = STACK if channels == "rgb" else np.moveaxis(STACK, -1, 1)
    layer = Image(
        pixels,
        rgb=channels == "rgb",
        scale=(2, 0.3, 0.4) if channels == "rgb" else (2, 1, 0.3, 0.4),
        translate=(5, 6, 7) if channels == "rgb" else (5, 0, 6, 7),
        shear=(0, 0, 0.2) if channels == "rgb" else (0, 0, 0, 0, 0, 0.2),
    )
    source = source_of(layer)
    labels = Labels(np.zeros((1, 90, 120), np.uint32), **placement(source, (2,)))
    expected = world(layer, (2, 30, 40) if channels == "rgb" else (2, 0, 30, 40))
    np.testing.assert_allclose(world(labels, (0, 30, 40)), expected[source.axes])
