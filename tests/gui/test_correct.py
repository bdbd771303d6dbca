"""Corrections with real keys, mouse and buttons in a real window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import zarr
from hands import Hands, open_dock
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_wbc_nca.widgets.canvas_lines import outline_selection
from napari_wbc_nca.widgets.correct import CorrectWidget
from napari_wbc_nca.widgets.correction_operations import CLASS_KEYS, HIDE_KEY, OPERATIONS
from napari_wbc_nca.widgets.features_table import UNKNOWN

CLASSES = ("neutrophil", "lymphocyte", "monocyte")


def squares():
    """Two squares that touch, 1 and 2, and one apart, 5, with a hole and a loose pixel."""
    labels = np.zeros((120, 160), np.uint32)
    labels[20:60, 20:60] = 1
    labels[20:60, 60:100] = 2
    labels[70:110, 100:140] = 5
    labels[85:90, 105:110] = 0
    labels[80, 150] = 5
    return labels


def features():
    return pd.DataFrame(
        {
            "index": [1, 2, 5],
            "label": [1, 2, 5],
            "class": ["neutrophil", "lymphocyte", "monocyte"],
            "confidence": [0.9, 0.8, 0.7],
            **{f"p_{name}": [0.2, 0.3, 0.5] for name in CLASSES},
        }
    )


@pytest.fixture
def docked(viewer):
    """The widget as the menu opens it."""
    docked = open_dock(viewer, "Correct cells")
    assert isinstance(docked, CorrectWidget)
    return docked


@pytest.fixture
def layer(viewer, docked):
    labels = viewer.add_labels(squares(), features=features(), name="cells")
    viewer.reset_view()
    return labels


@pytest.fixture
def hands(viewer, layer):
    return Hands(viewer)


def column(layer, name):
    return dict(zip(layer.features["index"], layer.features[name], strict=True))


def names_of(docked):
    """Classes that are offered, without their keys."""
    return [button.text().split("  ")[0] for button in docked.classes]


def true_areas(layer):
    labels, areas = np.unique(layer.data, return_counts=True)
    return {int(label): int(area) for label, area in zip(labels, areas, strict=True) if label}


def check(layer):
    """The table says what the pixels say."""
    assert column(layer, "area_px") == true_areas(layer)
    for label, y in column(layer, "centroid_y").items():
        assert y == pytest.approx(np.nonzero(layer.data == label)[-2].mean())
    assert layer.features["label"].tolist() == layer.features["index"].tolist()


def test_merge_by_a_drawn_line_is_one_step_of_undo(layer, hands):
    before = layer.features.copy()
    hands.key("Alt-M")
    hands.drag((40, 40), (40, 80))
    assert true_areas(layer) == {1: 3200, 5: 1576}
    assert column(layer, "class") == {1: "neutrophil", 5: "monocyte"}
    assert column(layer, "origin") == {1: "edited", 5: "auto"}
    check(layer)
    hands.key("Control-Z")
    np.testing.assert_array_equal(layer.data, squares())
    pd.testing.assert_frame_equal(layer.features, before)
    hands.key("Control-Shift-Z")
    assert column(layer, "class") == {1: "neutrophil", 5: "monocyte"}
    check(layer)


def test_merge_keeps_the_cell_where_the_line_begins(layer, hands):
    hands.key("Alt-M")
    hands.drag((40, 80), (40, 40))
    assert column(layer, "class") == {2: "lymphocyte", 5: "monocyte"}


def test_split_by_a_drawn_line_gives_the_new_cell_its_parents_class(layer, hands):
    hands.key("Alt-C")
    hands.drag((10, 45), (70, 45))
    assert true_areas(layer)[1] + true_areas(layer)[6] == 1600
    assert column(layer, "class")[6] == "neutrophil"
    assert column(layer, "origin") == {1: "edited", 2: "auto", 5: "auto", 6: "edited"}
    assert np.isnan(column(layer, "confidence")[6])
    check(layer)
    hands.key("Control-Z")
    assert column(layer, "origin") == {1: "auto", 2: "auto", 5: "auto"}
    check(layer)


@pytest.mark.parametrize(
    ("key", "area"),
    [
        ("Alt-D", None),
        ("Alt-O", 1601),
        ("Alt-K", 1575),
        ("Alt-G", 1576 + 160 + 16 + 4),
        ("Alt-Shift-G", 1575 - 156 - 20),
    ],
)
def test_keys_work_on_the_cell_under_the_mouse(layer, hands, key, area):
    hands.point((100, 120))
    hands.key(key)
    assert true_areas(layer).get(5) == area
    assert column(layer, "origin").get(5, "edited") == "edited"
    check(layer)
    hands.key("Control-Z")
    np.testing.assert_array_equal(layer.data, squares())
    assert column(layer, "origin")[5] == "auto"


def test_smooth_rounds_corners(layer, hands):
    hands.point((40, 40))
    hands.key("Alt-S")
    assert layer.data[20, 20] == 0
    assert layer.data[40, 59] == 1
    check(layer)


def test_relabel_numbers_the_cells_and_their_rows(layer, hands):
    hands.key("Alt-Shift-R")
    assert true_areas(layer) == {1: 1600, 2: 1600, 3: 1576}
    assert column(layer, "class")[3] == "monocyte"
    assert column(layer, "confidence")[3] == 0.7
    assert column(layer, "origin")[3] == "auto"
    check(layer)
    hands.key("Control-Z")
    assert column(layer, "class")[5] == "monocyte"
    check(layer)


def test_class_keys_and_their_undo(layer, hands):
    hands.point((40, 80))
    hands.key("Alt-3")
    assert column(layer, "class")[2] == "monocyte"
    assert column(layer, "origin")[2] == "edited"
    hands.point((100, 120))
    hands.key("Alt-D")
    hands.key("Control-Z")
    assert column(layer, "class")[2] == "monocyte"
    hands.key("Control-Z")
    assert column(layer, "class")[2] == "lymphocyte"
    assert column(layer, "origin")[2] == "auto"
    hands.key("Control-Shift-Z")
    assert column(layer, "class")[2] == "monocyte"


def test_class_key_without_a_class_says_which_there_are(layer, hands, notes):
    hands.point((40, 80))
    hands.key("Alt-9")
    assert "no class 9; the classes are neutrophil, lymphocyte, monocyte" in notes[-1]


def test_brush_fill_and_eraser_of_napari_are_followed(layer, hands):
    layer.selected_label, layer.brush_size = 9, 6
    hands.key("2")
    hands.drag((10, 10), (10, 30))
    assert column(layer, "class")[9] == UNKNOWN
    assert column(layer, "origin")[9] == "added"
    check(layer)
    hands.key("1")
    hands.drag((40, 40), (40, 50))
    assert column(layer, "origin")[1] == "edited"
    check(layer)
    layer.selected_label = 2
    hands.key("4")
    hands.click((100, 120))
    assert column(layer, "area_px")[2] == 1600 + 1575
    check(layer)
    for _ in range(3):
        hands.key("Control-Z")
    np.testing.assert_array_equal(layer.data, squares())
    assert column(layer, "class") == {1: "neutrophil", 2: "lymphocyte", 5: "monocyte"}
    assert set(column(layer, "origin").values()) == {"auto"}
    check(layer)


def test_erased_cell_gets_its_class_back_by_undo_and_loses_it_by_redo(layer, hands):
    layer.brush_size = 90
    hands.key("1")
    hands.click((40, 40))
    assert 1 not in column(layer, "class")
    hands.key("Control-Z")
    assert column(layer, "class")[1] == "neutrophil"
    hands.key("Control-Shift-Z")
    assert 1 not in column(layer, "class")
    hands.key("Control-Z")
    assert column(layer, "confidence")[1] == 0.9
    check(layer)


def test_class_given_after_an_edit_outlives_undoing_that_edit_elsewhere(layer, hands):
    hands.point((40, 40))
    hands.key("Alt-G")
    table = layer.features.copy()
    table.loc[table["index"] == 1, "class"] = "monocyte"
    layer.features = table
    hands.key("Control-Z")
    assert column(layer, "class")[1] == "monocyte"
    assert column(layer, "area_px")[1] == 1600


def test_away_from_the_picture_the_selected_cell_is_meant(docked, layer, hands, click):
    hands.leave()
    layer.selected_label = 2
    assert "Cell 2: lymphocyte, 1600 px, auto" in docked.cell.text()
    click(docked.buttons["delete"])
    assert sorted(true_areas(layer)) == [1, 5]
    assert "no cell yet" in docked.cell.text()
    layer.selected_label = 1
    click(docked.classes[2])
    assert column(layer, "class")[1] == "monocyte"
    assert docked.counts.text() == "1 auto · 1 edited · 0 added"


def test_button_tips_hold_the_keys(docked, layer):
    for name, operation in OPERATIONS.items():
        tip = docked.buttons[name].toolTip()
        assert operation.tip in tip
        assert f"({coerce_keybinding(operation.key)})" in tip
        text = docked.buttons[name].text()
        assert text == f"{operation.title}\n{coerce_keybinding(operation.key)}"
    assert names_of(docked) == list(CLASSES)
    assert "Alt+1" in docked.classes[0].text()


def test_another_class_is_offered_and_given(docked, layer, hands):
    QTest.keyClicks(docked.new_class, "blast")
    QTest.keyClick(docked.new_class, Qt.Key.Key_Return)
    assert names_of(docked) == [*CLASSES, "blast"]
    hands.point((40, 40))
    hands.key("Alt-4")
    assert column(layer, "class")[1] == "blast"
    assert names_of(docked) == [*CLASSES, "blast"]


def test_labels_are_hidden_while_the_key_is_held(viewer, layer, hands):
    hidden = viewer.add_labels(squares(), visible=False)
    viewer.layers.selection.active = layer
    hands.native.setFocus()
    QTest.keyPress(hands.native, Qt.Key.Key_H)
    assert not layer.visible
    QTest.keyRelease(hands.native, Qt.Key.Key_H)
    assert layer.visible
    assert not hidden.visible


def test_selected_cell_is_outlined(viewer, docked, layer, hands):
    def marked():
        """Box of the outline in the world, when it is to be seen."""
        line = outline_selection(viewer).line.line
        return np.ptp(line.pos, axis=0).round().tolist() if line.visible else None

    layer.selected_label = 1
    assert marked() == [44, 44]
    layer.selected_label = 5
    assert marked() == [55, 44]
    hands.point((80, 150))
    hands.key("Alt-K")
    assert marked() == [44, 44]
    layer.selected_label = 3
    assert marked() is None
    layer.selected_label = 2
    assert marked() is not None
    layer.visible = False
    assert marked() is None
    layer.visible = True
    viewer.layers.selection.active = None
    assert marked() is None


def test_lines_do_not_pan_and_give_the_mouse_back(viewer, layer, hands):
    centre = viewer.scene.camera.center
    hands.key("2")
    hands.key("Alt-M")
    assert "Draw a line over cells" in viewer.help
    hands.drag((40, 40), (40, 80))
    assert viewer.scene.camera.center == centre
    assert layer.mode == "paint"
    hands.key("6")
    assert layer.mouse_pan
    assert layer.cursor == "standard"
    assert "Draw a line" not in viewer.help


def test_same_key_a_click_or_another_mode_ends_the_waiting(layer, hands):
    for end in (lambda: hands.key("Alt-C"), lambda: hands.click((40, 40)), lambda: hands.key("2")):
        hands.key("6")
        hands.key("Alt-C")
        assert layer.cursor == "cross"
        end()
        hands.key("6")
        assert layer.mouse_pan
        hands.drag((10, 45), (70, 45))
        np.testing.assert_array_equal(layer.data, squares())


def test_another_operation_takes_the_place_of_the_one_that_waits(layer, hands):
    hands.key("Alt-C")
    hands.key("Alt-M")
    hands.drag((40, 40), (40, 80))
    assert true_areas(layer) == {1: 3200, 5: 1576}


def test_line_is_seen_while_it_is_drawn(viewer, layer, hands):
    def magenta():
        picture = viewer.screenshot(canvas_only=True, flash=False).astype(int)
        return int(((picture[..., 0] > 200) & (picture[..., 1] < 60)).sum())

    layer.opacity = 0
    hands.key("Alt-M")
    hands.point((40, 30))
    place = hands.place
    QTest.mousePress(hands.native, Qt.MouseButton.LeftButton, pos=place((40, 30)))
    for x in (50, 70, 90):
        QTest.mouseMove(hands.native, place((40, x)))
        QTest.qWait(20)
    assert magenta() > 50
    QTest.mouseRelease(hands.native, Qt.MouseButton.LeftButton, pos=place((40, 90)))
    QTest.qWait(20)
    assert magenta() == 0


@pytest.mark.parametrize(
    ("point", "key", "message"),
    [
        ((5, 5), "Alt-D", "no cell under the mouse"),
        ((40, 40), "Alt-K", "nothing to change"),
        ((40, 40), "Alt-Shift-C", "there are no points"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(layer, hands, notes, point, key, message):
    hands.point(point)
    hands.key(key)
    assert message in notes[-1]
    np.testing.assert_array_equal(layer.data, squares())


def test_line_over_one_cell_or_none_is_explained(layer, hands, notes):
    hands.key("Alt-M")
    hands.drag((40, 30), (40, 50))
    assert "1 cell to merge" in notes[-1]
    hands.key("Alt-C")
    hands.drag((5, 5), (5, 90))
    assert "meets no cell" in notes[-1]
    np.testing.assert_array_equal(layer.data, squares())


def test_scaled_moved_and_rotated_layer_is_corrected_where_it_is_seen(viewer, docked):
    layer = viewer.add_labels(squares(), scale=(0.5, 0.25), translate=(10, 20), rotate=20)
    viewer.reset_view()
    hands = Hands(viewer)
    hands.point(tuple(layer.data_to_world((100, 120))))
    hands.key("Alt-D")
    assert sorted(true_areas(layer)) == [1, 2]
    hands.key("Alt-C")
    hands.drag(*(tuple(layer.data_to_world(at)) for at in ((10, 45), (70, 45))))
    assert sorted(true_areas(layer)) == [1, 2, 6]
    check(layer)


def test_zarr_labels_are_corrected(viewer, docked, tmp_path):
    data = zarr.create_array(
        tmp_path / "labels.zarr", shape=(120, 160), chunks=(64, 64), dtype="u4"
    )
    data[:] = squares()
    layer = viewer.add_labels(data, features=features())
    hands = Hands(viewer)
    hands.key("Alt-M")
    hands.drag((40, 40), (40, 80))
    hands.point((100, 120))
    hands.key("Alt-1")
    assert (np.asarray(data[20:60, 20:100]) == 1).all()
    assert column(layer, "class") == {1: "neutrophil", 5: "neutrophil"}
    hands.key("Control-Z")
    hands.key("Control-Z")
    np.testing.assert_array_equal(np.asarray(data[:]), squares())
    assert column(layer, "class") == {1: "neutrophil", 2: "lymphocyte", 5: "monocyte"}


def test_layers_that_cannot_be_edited_say_what_to_do(viewer, docked, notes):
    import dask.array as da

    layer = viewer.add_labels(da.from_array(squares()))
    hands = Hands(viewer)
    hands.point((40, 40))
    hands.key("Alt-D")
    assert "compute()" in notes[-1]
    viewer.layers.remove(layer)
    layer = viewer.add_labels(squares())
    layer.editable = False
    hands.key("Alt-M")
    assert "locked" in notes[-1]


def test_narrow_labels_ask_for_a_wider_type(viewer, docked, notes):
    labels = squares().astype(np.uint8)
    labels[0, 0] = 255
    layer = viewer.add_labels(labels)
    hands = Hands(viewer)
    hands.key("Alt-C")
    hands.drag((10, 45), (70, 45))
    assert "256 does not fit uint8" in notes[-1]
    np.testing.assert_array_equal(layer.data, labels)


def test_colours_follow_the_classes(viewer, docked):
    from napari_wbc_nca.widgets.class_colours import class_colours, colormap
    from napari_wbc_nca.widgets.planes import OURS

    table = features()
    layer = viewer.add_labels(
        squares(),
        features=table,
        colormap=colormap(table, class_colours(table)),
        metadata={OURS: {}},
    )
    hands = Hands(viewer)

    def shown(at):
        """Colour of a data pixel in the picture, as the layer maps it now."""
        value = layer._slice.image.view[at]
        return tuple(layer.colormap._label_mapping_and_color_dict[1][int(value)].round(3))

    before = {at: shown(at) for at in ((40, 40), (40, 80), (100, 120))}
    hands.key("Alt-C")
    hands.drag((10, 50), (70, 50))
    assert shown((40, 25)) == shown((40, 58)) == before[40, 40]
    assert tuple(layer.get_color(6).round(3)) == before[40, 40]
    hands.point((40, 25))
    hands.key("Alt-2")
    assert shown((40, 25)) == before[40, 80]
    assert shown((40, 58)) == before[40, 40]
    hands.key("Control-Z")
    assert shown((40, 25)) == before[40, 40]
    layer.brush_size = 7
    layer.paint((5, 5), 9)
    assert shown((5, 5)) == (1, 1, 1, 1)
    assert "#" in docked.classes[0].styleSheet()


def test_no_key_of_ours_takes_the_place_of_one_of_napari(viewer, layer):
    """Compared with napari as it starts without plugins, and with all menus."""
    from napari.layers import Labels
    from napari.utils.action_manager import action_manager
    from napari.utils.shortcuts import default_shortcuts

    from napari_wbc_nca.widgets.review.keys import KEYS, bind_review_keys

    bind_review_keys()
    review = [item.canvas for item in KEYS if item.canvas]
    keys = (*CLASS_KEYS, HIDE_KEY, *(operation.key for operation in OPERATIONS.values()), *review)
    ours = {coerce_keybinding(key) for key in keys}
    assert len(ours) == len(CLASS_KEYS) + len(OPERATIONS) + 1 + len(review)
    defaults = {
        coerce_keybinding(key)
        for action, keys in default_shortcuts.items()
        if action.startswith("napari:")
        for key in keys
    }
    assert not ours & defaults
    app = viewer.window._qt_window
    chosen = {key for found in app.findChildren(_actions()) for key in found.shortcuts()}
    assert not {str(key).replace("+", "-") for key in ours} & {
        key.toString().replace("+", "-") for key in chosen
    }
    for provider in (*type(viewer).__mro__, *Labels.__mro__):
        for key, command in getattr(provider, "class_keymap", {}).items():
            mine = "napari-wbc-nca" in getattr(command, "__name__", "")
            assert mine == (key in ours and provider is Labels), key
    mnemonics = {
        action.text().split("&")[1][0].upper()
        for action in app.menuBar().actions()
        if "&" in action.text()
    }
    assert not {f"Alt+{letter}" for letter in mnemonics} & {str(key) for key in ours}
    assert {"F", "V", "L", "P", "W", "H"} <= mnemonics
    named = [name for name in action_manager._actions if name.startswith("napari-wbc-nca:")]
    assert len(named) == len(ours)


def _actions():
    from qtpy.QtGui import QAction

    return QAction


def test_menu_has_an_entry_for_each_operation(viewer, layer, hands):
    from napari._app_model import get_app_model

    app = get_app_model()
    listed = [item.command.id for item in app.menus.get_menu("napari-wbc-nca/cells")]
    assert listed == [f"napari-wbc-nca.{name}" for name in OPERATIONS]
    hands.leave()
    layer.selected_label = 5
    app.commands.execute_command("napari-wbc-nca.fill_holes").result()
    assert true_areas(layer)[5] == 1601
    check(layer)
