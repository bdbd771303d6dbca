from dataclasses import replace

import numpy as np
import planted
import pytest

from napari_wbc_nca.methods.propagation.predict import predict
from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.types import Image

WHITE, RED = ((40.0, 50.0), (80.0, 110.0)), ((40.0, 73.0), (100.0, 30.0))


@pytest.fixture
def image():
    """Two white cells, one of which touches a red one; another red one by itself."""
    return Image(planted.smear(*WHITE, red=RED))


def disc(centre, radius=12):
    return planted.disc((120, 160), centre, radius)


def run(*args, **kwargs):
    return planted.run(predict(*args, **kwargs))


def test_every_cell_is_found_named_and_cut_out(image, detector, params):
    yielded, found = run(image, detector, params)
    rows = found.cells.set_index("label")
    assert rows["class"].tolist() == ["wbc", "rbc", "wbc", "rbc"]  # in raster order
    assert (rows["likelihood"] > 0.5).all()
    truth = [disc(WHITE[0]), disc(RED[0], 7.2), disc(WHITE[1]), disc(RED[1], 7.2)]
    labels = found.labels["cell"]
    assert labels.dtype == np.uint32
    overlap = [iou(labels == label, mask) for label, mask in zip(rows.index, truth, strict=True)]
    assert min(overlap) > 0.75
    assert sum(len(progress.cells) for progress in yielded) == 4
    assert all(0 <= progress.done <= progress.total for progress in yielded)
    owner = found.labels["contribution"]
    assert set(np.unique(owner)) == {0, 1, 2, 3, 4}
    for label, mask in zip(rows.index, truth, strict=True):
        assert np.isin(owner[mask], (0, label)).mean() > 0.8


def test_maps_show_the_likelihood_of_each_kind_and_each_contribution(image, detector, params):
    _, found = run(image, detector, replace(params, maps=True))
    names = {"likelihood wbc", "likelihood rbc", *(f"contribution {n}" for n in (1, 2, 3, 4))}
    assert set(found.maps) == names
    for y, x in WHITE:
        assert found.maps["likelihood wbc"][int(y), int(x)] > 0.5
    assert found.maps["contribution 1"].shape == image.shape
    own = found.maps["contribution 1"]
    assert own[disc(WHITE[0], 15)].sum() > 0.9 * own.sum() > 0


def test_tiles_and_batches_change_nothing(image, detector, params):
    wide = Image(np.concatenate([image.pixels] * 2, axis=1))
    whole = run(wide, detector, params)[1]
    cut = run(wide, detector, replace(params, tile=128, batch_size=2))[1]
    assert len(whole.cells) == 8
    assert cut.cells["class"].tolist() == whole.cells["class"].tolist()
    assert (cut.labels["cell"] != whole.labels["cell"]).mean() < 1e-3


def test_a_lazy_image_gives_zarr_labels_alike(image, detector, params):
    da = pytest.importorskip("dask.array")
    lazy = Image(da.from_array(image.pixels, chunks=(64, 64, 3)))
    _, found = run(lazy, detector, replace(params, tile=128))
    assert type(found.labels["cell"]).__module__.startswith("zarr")
    assert found.kept is None
    expected = run(image, detector, params)[1]
    difference = np.asarray(found.labels["cell"][:]) != expected.labels["cell"]
    assert difference.mean() < 1e-3


def test_only_the_kinds_that_are_asked_for_are_cells(image, detector, params):
    both = run(image, detector, params)[1]
    _, found = run(image, detector, replace(params, kinds="wbc"))
    assert found.cells["class"].tolist() == ["wbc", "wbc"]
    # The red cells still are rivals.
    assert iou(found.labels["cell"] > 0, np.isin(both.labels["cell"], (1, 3))) > 0.99
    with pytest.raises(ValueError, match="does not know hela"):
        run(image, detector, replace(params, kinds="hela"))


def test_an_empty_field_has_no_cells(detector, params):
    _, found = run(Image(planted.smear()), detector, params)
    assert len(found.cells) == 0
    assert not found.labels["cell"].any() and not found.labels["contribution"].any()


def test_one_cell_at_the_border(detector, params):
    _, found = run(Image(planted.smear((3, 40))), detector, params)
    assert found.cells["class"].tolist() == ["wbc"]
    assert iou(found.labels["cell"] > 0, disc((3, 40))) > 0.6


def test_points_say_where_cells_are(image, detector, params):
    here = replace(params, locate="points")
    points = np.asarray([WHITE[1], RED[0], WHITE[1]])  # two of them in one pixel
    _, found = run(image, detector, here, points=points - 0.5)
    assert found.cells["class"].tolist() == ["rbc", "wbc"]
    assert iou(found.labels["cell"] == 2, disc(WHITE[1])) > 0.75
    _, boxed = run(
        image, detector, replace(params, locate="boxes"), boxes=planted.boxes(WHITE[1], radius=12)
    )
    assert iou(boxed.labels["cell"] > 0, disc(WHITE[1])) > 0.75


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (None, "no points were given"),
        ([[1, 2, 3]], r"shape \(1, 3\); expected \(N, 2\)"),
        ([[5, 500]], "1 of 1 points lie outside the image"),
        ([[np.nan, 5]], "1 of 1 points lie outside the image"),
    ],
)
def test_points_that_cannot_be_used_are_refused(image, detector, params, points, message):
    here = replace(params, locate="points")
    given = None if points is None else np.asarray(points)
    with pytest.raises(ValueError, match=message):
        run(image, detector, here, points=given)


@pytest.mark.parametrize(
    "changes",
    [
        {"graph_cut_energy": "code"},
        {"graph_cut_energy": "smooth"},
        {"graph_cut_energy": "paper"},
        {"saliency": "inverse"},
        {"saliency": "generic"},
        {"region": "component"},
        {"contribution_scale": "raw", "min_contribution": 0.0},
        {"signal": "one", "derivative": True},
    ],
)
def test_every_variant_cuts_the_white_cells_out(image, detector, params, changes):
    _, found = run(image, detector, replace(params, **changes))
    for centre in WHITE:
        label = found.labels["cell"][int(centre[0]), int(centre[1])]
        assert label and iou(found.labels["cell"] == label, disc(centre)) > 0.3


def test_two_thousand_cells(detector, params):
    random = np.random.default_rng(0)
    points = random.uniform(0, (399, 499), (2000, 2))
    grid = np.stack(np.meshgrid(range(12, 400, 25), range(12, 500, 25)), -1).reshape(-1, 2)
    field = Image(planted.smear(*grid.tolist(), shape=(400, 500)))
    _, found = run(field, detector, replace(params, locate="points", diameter=48), points=points)
    assert 100 < len(found.cells) <= 2000
    assert found.labels["cell"].max() == found.cells["label"].max()


def test_points_on_empty_background_give_no_cell_and_a_note(image, detector, params):
    here = replace(params, locate="points")
    points = np.asarray([WHITE[1], (10.0, 140.0), RED[1], (110.0, 80.0)]) - 0.5
    _, found = run(image, detector, here, points=points)
    assert found.cells["class"].tolist() == ["wbc", "rbc"]
    assert found.provenance["notes"] == ["2 of 4 points gave no cell: they lie on empty background"]
    _, alone = run(image, detector, here, points=points[[0, 2]])
    np.testing.assert_array_equal(found.labels["cell"], alone.labels["cell"])
    assert "notes" not in alone.provenance


def test_it_can_be_cancelled_at_any_step(image, detector, params):
    steps = predict(image, detector, params)
    for _ in range(3):
        next(steps)
    steps.close()
    assert list(steps) == []
