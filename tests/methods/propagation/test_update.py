import time
from dataclasses import replace

import numpy as np
import planted
import pytest

from napari_wbc_nca.methods.propagation import contribution
from napari_wbc_nca.methods.propagation.predict import predict, update
from napari_wbc_nca.types import Image

WHITE = ((40.0, 50.0), (80.0, 110.0), (80.0, 200.0))
TOUCHING = ((40.0, 73.0),)


@pytest.fixture
def image():
    """White cells, one of which touches a red one, and one far away."""
    return Image(planted.smear(*WHITE, red=TOUCHING, shape=(120, 240)))


@pytest.fixture
def given(params):
    """Parameters for centroids given by hand."""
    return replace(params, locate="points")


def points(*places):
    return np.asarray(places) - 0.5


def predicted(image, detector, given, *places):
    return planted.run(predict(image, detector, given, points=points(*places)))[1]


def updated(previous, image, detector, given, **changes):
    return planted.run(update(previous, image, detector, given, **changes))[1]


def masks(found):
    """Area of each cell by the place of its centroid."""
    rows = found.cells
    places = rows[["peak_y", "peak_x"]].round(2).itertuples(index=False)
    return {
        tuple(place): found.labels["cell"] == label
        for place, label in zip(places, rows["label"], strict=True)
    }


def same_cells(one, other):
    first, second = masks(one), masks(other)
    assert first.keys() == second.keys()
    assert all((first[place] == second[place]).all() for place in first)


def test_adding_a_centroid_gives_what_a_new_run_gives(image, detector, given):
    previous = predicted(image, detector, given, *WHITE)
    found = updated(previous, image, detector, given, added=points(*TOUCHING))
    same_cells(found, predicted(image, detector, given, *WHITE, *TOUCHING))
    assert found.cells.set_index("label").loc[4, "class"] == "rbc"
    # The cells that were there keep their integers.
    assert found.cells["label"].tolist() == [1, 2, 3, 4]
    far = previous.labels["cell"] == 3
    assert (found.labels["cell"][far] == 3).all()


def test_removing_a_centroid_gives_what_a_new_run_gives(image, detector, given):
    previous = predicted(image, detector, given, *WHITE, *TOUCHING)
    red = int(previous.cells.set_index("class").loc["rbc", "label"])
    found = updated(previous, image, detector, given, removed=[red])
    same_cells(found, predicted(image, detector, given, *WHITE))
    assert red not in found.labels["cell"]
    assert len(previous.cells) == 4  # the one before is as it was
    same_cells(updated(found, image, detector, given, added=points(*TOUCHING)), previous)


def test_only_touched_cells_are_made_anew(image, detector, given, monkeypatch):
    previous = predicted(image, detector, given, *WHITE)
    asked = []
    whole = contribution.signal

    def counted(number, *rest):
        asked.append(number)
        return whole(number, *rest)

    monkeypatch.setattr(contribution, "signal", counted)
    found = updated(previous, image, detector, given, added=points((100, 20)), kinds=["wbc"])
    assert asked == [3]
    assert found.kept.cells[2] is previous.kept.cells[2]  # far away: not cut again, either
    assert found.kept.centroids[3].kind == 0


def test_a_change_takes_less_than_a_second(image, detector, given):
    field = Image(np.tile(image.pixels, (4, 3, 1))[:480, :640])
    places = [(y + 120 * i, x + 240 * j) for y, x in WHITE for i in range(4) for j in range(2)]
    previous = predicted(field, detector, given, *places)
    start = time.process_time()
    updated(previous, field, detector, given, added=points((41, 73)))
    assert time.process_time() - start < 1


def test_a_second_centroid_in_a_pixel_changes_nothing(image, detector, given):
    previous = predicted(image, detector, given, *WHITE)
    found = updated(previous, image, detector, given, added=points(WHITE[0]))
    same_cells(found, previous)


def test_what_cannot_be_changed_is_refused(image, detector, given):
    previous = predicted(image, detector, given, *WHITE)
    with pytest.raises(ValueError, match=r"no cell 9; cells have the labels \[1, 2, 3\]"):
        updated(previous, image, detector, given, removed=[9])
    with pytest.raises(ValueError, match="1 of 1 points lie outside the image"):
        updated(previous, image, detector, given, added=points((5, 900)))
    with pytest.raises(ValueError, match="keeps nothing to change"):
        updated(replace(previous, kept=None), image, detector, given)
