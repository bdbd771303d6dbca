"""Corrections of a real window that are written into a project, and restored from it."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hands import Hands
from napari.layers import Labels
from squares import smear

from napari_wbc_nca.cell_types import EDITED
from napari_wbc_nca.project.project import Project, is_project
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.review.layer_journal import LayerJournal, journal_of
from napari_wbc_nca.widgets.review.model import ReviewModel
from napari_wbc_nca.widgets.review.open_projects import Place, close_all, open_project
from napari_wbc_nca.widgets.review.restore import offers_of

SQUARES = ((10, 10), (10, 60), (50, 40))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "smear.tif"
    tifffile.imwrite(path, smear(*SQUARES), photometric="rgb")
    return path


def cells(viewer):
    return next(
        layer
        for layer in reversed(viewer.layers)
        if isinstance(layer, Labels) and layer.name.endswith("cells")
    )


@pytest.fixture
def segmented(viewer, widget, finish, click):
    """Open an image and segment it; returns the layer of its cells."""

    def run(path):
        viewer.open(str(path), plugin="napari")
        click(widget.button)
        finish(widget)
        layer = cells(viewer)
        viewer.layers.selection.active = layer
        return layer

    return run


def paint(viewer, layer, *way, label=1):
    layer.selected_label, layer.brush_size, layer.mode = label, 5, "paint"
    Hands(viewer).drag(*way)
    layer.mode = "pan_zoom"


def state(layer):
    table = follow(layer).table
    return np.array(layer.data), dict(zip(table["index"], table["class"], strict=True))


def reopened(viewer, qtbot, path):
    """Forget all layers, as a new napari does, open the image again and take the offer."""
    viewer.layers.clear()
    gc.collect()
    close_all()
    viewer.open(str(path), plugin="napari")
    offers = offers_of(viewer)
    qtbot.waitUntil(lambda: bool(offers.open), timeout=10_000)
    (offer,) = offers.open
    offers.take(offer)
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=10_000)
    return offer.text, cells(viewer)


def test_segmenting_alone_leaves_no_project(image, segmented):
    layer = segmented(image)
    assert journal_of(layer) is not None
    close_all()
    assert not is_project(image.with_name("smear.wbcproject"))


def test_corrections_are_restored_when_the_image_is_opened_again(viewer, image, segmented, qtbot):
    layer = segmented(image)
    paint(viewer, layer, (40, 10), (40, 30), label=1)
    paint(viewer, layer, (80, 10), (80, 100), label=7)
    hands = Hands(viewer)
    hands.key("Control-Z")
    hands.key("Control-Shift-Z")
    follow(layer).classify(2, "blast")
    paint(viewer, layer, (5, 100), (30, 100), label=8)
    hands.key("Control-Z")
    expected = state(layer)
    text, restored = reopened(viewer, qtbot, image)
    assert text.startswith("Restore 3 corrections of ")
    found = state(restored)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]
    assert restored.features.set_index("index")["origin"][2] == EDITED
    kinds = [kind for (kind,) in edits(image)]
    assert kinds == ["paint", "paint", "classify", "paint"]


def test_places_of_missed_cells_are_shown_and_stay_dismissed(
    viewer, image, segmented, workflow, qtbot
):
    places = ((70, 20), (20, 100))
    workflow.missed = [{"y": y, "x": x, "score": 0.9, "reason": "nearly"} for y, x in places]
    layer = segmented(image)
    points = viewer.layers["smear likely missed"]
    np.testing.assert_array_equal(points.data, places)
    assert not points.face_color[:, 3].any()
    assert points.size.tolist() == [20, 20]
    ReviewModel(layer).accept([-2])
    assert points.shown.tolist() == [True, False]
    _, restored = reopened(viewer, qtbot, image)
    points = viewer.layers[f"{restored.name} likely missed"]
    assert points.shown.tolist() == [True, False]
    restored.undo()
    assert points.shown.tolist() == [True, True]
    paint(viewer, restored, (65, 20), (75, 20), label=9)
    assert points.shown.tolist() == [False, True]


def edits(image):
    close_all()
    with Project(image.with_name("smear.wbcproject")) as project:
        return project.database.query("SELECT kind FROM edits ORDER BY id")


def test_undo_goes_on_through_earlier_sessions(viewer, image, segmented, qtbot):
    layer = segmented(image)
    states = [state(layer)]
    for y in (40, 80):
        paint(viewer, layer, (y, 10), (y, 30))
        states.append(state(layer))
    _, layer = reopened(viewer, qtbot, image)
    paint(viewer, layer, (5, 50), (5, 100), label=9)
    states.append(state(layer))
    hands = Hands(viewer)
    for expected in [*states[2::-1], states[0]]:
        hands.key("Control-Z")
        found = state(layer)
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1] == expected[1]
    for expected in states[1:]:
        hands.key("Control-Shift-Z")
        np.testing.assert_array_equal(layer.data, expected[0])
    journal_of(layer).flush()
    hands.key("Control-Z")
    _, layer = reopened(viewer, qtbot, image)
    np.testing.assert_array_equal(layer.data, states[2][0])


def test_two_images_have_a_project_each_whatever_their_layers_are_called(
    viewer, image, segmented, qtbot, tmp_path
):
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, smear((20, 20)), photometric="rgb")
    first = segmented(image)
    second = segmented(other)
    second.name = "renamed"
    viewer.layers.selection.active = second
    second.data_setitem((np.array([0]), np.array([0])), 9)
    viewer.layers.remove(second)
    first.data_setitem((np.array([1]), np.array([1])), 8)
    expected = state(first)
    close_all()
    for path, name in ((image, "smear cells"), (other, "renamed")):
        with Project(path.with_suffix(".wbcproject")) as project:
            (record,) = project.images()
            (layer,) = project.latest_layers(record)
            assert (record.path, layer.name, layer.corrections) == (path, name, 1)
    del first, second
    text, restored = reopened(viewer, qtbot, image)
    assert text.startswith("Restore 1 correction of ")
    np.testing.assert_array_equal(restored.data, expected[0])


def test_a_moved_image_finds_its_project_and_a_missing_one_is_named(
    viewer, image, segmented, qtbot, tmp_path
):
    layer = segmented(image)
    layer.data_setitem((np.array([1]), np.array([1])), 8)
    expected = state(layer)[0]
    journal_of(layer).flush()
    viewer.layers.clear()
    close_all()
    there = tmp_path / "there"
    there.mkdir()
    image.with_name("smear.wbcproject").rename(there / "smear.wbcproject")
    moved = image.rename(there / "smear.tif")
    _, restored = reopened(viewer, qtbot, moved)
    np.testing.assert_array_equal(restored.data, expected)


def test_a_project_that_is_open_elsewhere_is_reported_and_used_when_it_is_free(
    image, segmented, notes, qtbot
):
    layer = segmented(image)
    with Project(image.with_name("smear.wbcproject"), create=True):
        layer.data_setitem((np.array([1]), np.array([1])), 8)
        layer.data_setitem((np.array([2]), np.array([2])), 8)
        qtbot.waitUntil(lambda: any("open in another napari" in note for note in notes))
    qtbot.wait(50)
    assert sum("open in another napari" in note for note in notes) == 1
    layer.data_setitem((np.array([3]), np.array([3])), 8)
    journal_of(layer).flush()
    layer.undo()
    layer.undo()
    expected = state(layer)[0]
    journal_of(layer).flush()
    close_all()
    with Project(image.with_name("smear.wbcproject")) as project:
        np.testing.assert_array_equal(project.journal(1).restore()[0], expected)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(b"no database" * 100, "is damaged"), (None, "install the newest napari-wbc-nca")],
)
def test_a_project_that_cannot_be_used_is_reported_and_left_alone(
    image, segmented, notes, qtbot, damage, message
):
    folder = image.with_name("smear.wbcproject")
    Project(folder, create=True).close()
    file = folder / "project.sqlite"
    if damage is None:
        newer = sqlite3.connect(file)
        newer.execute("PRAGMA user_version = 99")
        newer.close()
    else:
        file.write_bytes(damage)
    before = file.read_bytes()
    layer = segmented(image)
    layer.data_setitem((np.array([1]), np.array([1])), 8)
    qtbot.waitUntil(lambda: any(message in note for note in notes))
    assert layer.data[1, 1] == 8
    assert file.read_bytes() == before


def test_pixels_that_a_program_replaces_are_written_too(image, segmented):
    layer = segmented(image)
    layer.data_setitem((np.array([1]), np.array([1])), 8)
    layer.data = np.roll(layer.data, 5, axis=0)
    journal_of(layer).flush()
    expected = state(layer)[0]
    assert [kind for (kind,) in edits(image)] == ["pixels", "replace"]
    with Project(image.with_name("smear.wbcproject")) as project:
        np.testing.assert_array_equal(project.journal(1).restore()[0], expected)


def test_corrections_of_a_plane_of_a_stack_are_restored_on_it(viewer, segmented, qtbot, tmp_path):
    path = tmp_path / "stack.tif"
    planes = np.stack([smear((10, 10)), smear((50, 40)), smear((30, 80))])
    tifffile.imwrite(path, planes, photometric="rgb")
    viewer.dims.set_point(0, 1)
    layer = segmented(path)
    at = tuple(np.array([0]) for _ in layer.data.shape)
    layer.data_setitem(at, 5)
    journal_of(layer).flush()
    expected, place = state(layer)[0], layer.translate.copy()
    viewer.layers.clear()
    del layer
    _, restored = reopened(viewer, qtbot, path)
    np.testing.assert_array_equal(restored.data, expected)
    np.testing.assert_array_equal(restored.translate, place)


KILLED = """
import sys
from pathlib import Path
folder, here = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, here)
import napari, numpy as np
from hands import Hands
from napari_wbc_nca.widgets.correction_keys import make_correctable
from napari_wbc_nca.widgets.review.layer_journal import keep_journal
viewer = napari.Viewer()
(image,) = viewer.open(str(folder / "smear.tif"), plugin="napari")
layer = viewer.add_labels(np.load(folder / "0.npy"), name="smear cells")
make_correctable(layer)
keep_journal(layer, image)
viewer.layers.selection.active = layer
layer.mode, layer.brush_size = "paint", 6
hands = Hands(viewer)
random = np.random.default_rng(0)
for number in range(1, 1000):
    layer.selected_label = number % 7 + 1
    hands.drag(*zip(random.uniform(5, 85, 3), random.uniform(5, 115, 3)))
    np.save(folder / "part.npy", layer.data)
    (folder / "part.npy").rename(folder / f"{number}.npy")
    print(number, flush=True)
"""


def test_strokes_survive_a_kill_of_the_window(viewer, widget, image, qtbot, tmp_path):
    labels = np.zeros((90, 120), np.uint32)
    labels[10:30, 10:30] = 1
    np.save(tmp_path / "0.npy", labels)
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        finished = [child.stdout.readline() for _ in range(7)]
        child.kill()
    assert finished[-1].strip() == "7"
    _, restored = reopened(viewer, qtbot, image)
    corrections = len(journal_of(restored)._journal)
    assert corrections >= 6  # the last may still have been on its way to the disk
    np.testing.assert_array_equal(restored.data, np.load(tmp_path / f"{corrections}.npy"))


def test_a_stroke_on_a_large_layer_does_not_wait_for_the_disk(image):
    labels = np.zeros((8192, 8192), np.uint32)
    labels[100:140, 100:140] = 1
    layer = Labels(labels)
    place = Place(open_project(image.with_name("large.wbcproject")), image, None, None)
    journal = LayerJournal(layer, place)
    layer.brush_size = 20
    times = []
    for at in range(120, 1000, 40):
        start = time.perf_counter()
        layer.paint((at, at), 2)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.1
    journal.flush()
    close_all()
    with Project(image.with_name("large.wbcproject")) as project:
        np.testing.assert_array_equal(project.journal(1).restore()[0], layer.data)
