"""Labels on other pixels than their image's, and which image is theirs; needs no window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image, Labels, Points, Shapes
from squares import smear

from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.widgets.export_items import all_items, image_of, items_of
from napari_wbc_nca.widgets.known_cells import samples_of_points
from napari_wbc_nca.widgets.planes import OURS, SHOWS, grid_of, source_of

PIXELS = smear((10, 10), (50, 70))


def truth():
    """Cells where the dark squares are."""
    labels = np.zeros((90, 120), np.uint32)
    labels[10:30, 10:30], labels[50:70, 70:90] = 1, 5
    return labels


def exported(labels, image, **given):
    (one,) = items_of(labels, image, given.get("reviewed"), given.get("nuclei"))
    return one


@pytest.mark.parametrize(
    "place",
    [
        {"scale": (0.5, 0.5), "units": ("um", "um")},
        {"translate": (40, -7)},
        {"rotate": 30, "scale": (0.3, 0.2)},
        {"shear": [0.4]},
    ],
)
def test_labels_that_share_the_pixels_are_exported_as_they_are(place):
    one = exported(Labels(truth(), **place), Image(PIXELS, **place))
    np.testing.assert_array_equal(one.labels, truth())
    assert "resampled_to" not in one.record["labels"]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (truth()[::2, ::2], {"scale": (2, 2), "translate": (0.5, 0.5)}),
        (
            np.repeat(np.repeat(truth(), 3, 0), 3, 1),
            {"scale": (1 / 3,) * 2, "translate": (-1 / 3,) * 2},
        ),
        (truth()[5:, 3:], {"translate": (5, 3)}),
        (np.pad(truth(), ((4, 0), (9, 2))), {"translate": (-4, -9)}),
        (np.rot90(truth()), {"rotate": [[0, 1], [-1, 0]], "translate": (0, 119)}),
        (truth(), {"scale": (1000, 1000), "units": ("nm", "nm")}),
    ],
)
def test_labels_on_other_pixels_are_resampled_onto_the_image(data, place):
    units = ("um", "um") if "units" in place else None
    image = Image(PIXELS, units=units)
    labels = Labels(data, features={"index": [1, 5], "class": ["a", "b"]}, **place)
    one = exported(labels, image, nuclei=Labels(data, **place))
    np.testing.assert_array_equal(one.labels, truth())
    np.testing.assert_array_equal(one.nucleus, truth())
    assert one.cells["class"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(one.pixels, PIXELS)


def test_labels_of_another_scale_than_the_image_are_refused_by_name_where_cells_are_lost():
    image = Image(PIXELS, name="smear", scale=(0.5, 0.5))
    with pytest.raises(ExportError, match=r"drawn lies on other pixels than smear, and 1 of its"):
        exported(Labels(truth(), name="drawn"), image)


def test_reviewed_regions_follow_resampled_labels():
    labels = Labels(truth()[::2, ::2], scale=(2, 2), translate=(0.5, 0.5))
    region = Shapes([[[0, 0], [0, 40], [40, 40], [40, 0]]], shape_type="rectangle")
    one = exported(labels, Image(PIXELS), reviewed=region)
    assert one.cells["label"].tolist() == [1]
    assert not one.ignore[:38, :38].any()
    assert one.ignore[44:, 44:].all()


def test_planes_of_a_stack_are_resampled_one_by_one():
    image = Image(np.stack([PIXELS, PIXELS[::-1]]), rgb=True, scale=(3, 0.5, 0.5))
    data = np.stack([truth(), truth()[::-1]])[:, ::2, ::2]
    labels = Labels(data, scale=(3, 1, 1), translate=(0, 0.25, 0.25))
    first, second = items_of(labels, image, None)
    np.testing.assert_array_equal(first.labels, truth())
    assert second.labels.shape == (90, 120)
    assert set(np.unique(second.labels)) == {0, 1, 5}


def test_grid_of_channels_before_the_plane():
    image = Image(np.moveaxis(PIXELS, -1, 0))
    assert grid_of(source_of(image), (), Labels(truth())).fits((90, 120))


def made_from(image, **more):
    return {OURS: {"source_id": str(image.unique_id), "source": image.name, **more}}


def test_image_is_that_which_labels_were_made_from_not_the_topmost():
    first, second = Image(PIXELS, name="first"), Image(PIXELS, name="second")
    labels = Labels(truth(), metadata=made_from(first))
    assert image_of(labels, [first, second]) is first
    assert image_of(labels, [second]) is None


def test_image_that_was_opened_again_is_found_by_its_file(tmp_path):
    path = tmp_path / "smear.png"
    record = {"input": {"source": str(path)}}
    labels = Labels(truth(), metadata={OURS: {"source_id": "x", "provenance": [record]}})
    again, other = Image(PIXELS, name="again"), Image(PIXELS, name="other")
    again._source = SimpleNamespace(path=str(path))
    assert image_of(labels, [again, other]) is again


def test_labels_without_a_record_belong_to_the_image_on_whose_pixels_they_lie(tmp_path):
    half, whole = Image(PIXELS[::2, ::2], name="half", scale=(2, 2)), Image(PIXELS, name="whole")
    drawn = Labels(truth(), name="drawn")
    assert image_of(drawn, [whole, half]) is whole
    twin = Image(PIXELS, name="twin")
    with pytest.raises(ExportError, match="drawn may have been drawn on any of whole, twin; hide"):
        image_of(drawn, [whole, half, twin])
    twin.visible = False
    assert image_of(drawn, [whole, half, twin]) is whole


def test_points_teach_the_image_they_were_made_from_not_the_topmost():
    first, second = Image(PIXELS, name="first"), Image(255 - PIXELS, name="second")
    points = Points([[20, 20], [60, 80]], name="seen", features={"class": ["a", "b"]})
    with pytest.raises(ExportError, match="seen may have been drawn on any of first, second; hide"):
        samples_of_points(points, [first, second])
    points.metadata = made_from(first)
    (sample,) = samples_of_points(points, [first, second])
    np.testing.assert_array_equal(sample.pixels, PIXELS)
    assert sample.kinds == ("a", "b") and sample.boxes[1].tolist() == [60.5, 80.5, 60.5, 80.5]
    small = Image(PIXELS[:50], name="small")
    points.metadata = {}
    assert image_of(points, [first, small]) is first
    with pytest.raises(ValueError, match="1 points of seen lie outside of small"):
        samples_of_points(points, [small])


def test_nuclei_are_those_of_the_same_run():
    image = Image(PIXELS)
    cells = Labels(truth(), name="cells", metadata=made_from(image, run="1"))
    nuclei = [
        Labels(truth() * (number == 0), metadata=made_from(image, run=run, **{SHOWS: "nucleus"}))
        for number, run in enumerate("12")
    ]
    (one,) = all_items([cells], [image, cells, *nuclei], None)
    np.testing.assert_array_equal(one.nucleus, truth())
