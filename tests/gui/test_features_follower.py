"""Features follow the labels through any sequence of edits; needs layers, but no window."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_wbc_nca.cell_types import AUTO
from napari_wbc_nca.ops import edit
from napari_wbc_nca.ops.labels import COLUMNS, measure_cells
from napari_wbc_nca.ops.split import split_by_line
from napari_wbc_nca.widgets import undo_history as history
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.features_table import UNKNOWN, complete_table

SHAPE = (14, 16)


def start():
    labels = np.zeros(SHAPE, np.uint32)
    labels[2:8, 2:7] = 1
    labels[2:8, 7:12] = 2
    labels[9:13, 3:9] = 3
    return labels


def table():
    return pd.DataFrame(
        {
            "index": [1, 2, 3],
            "class": ["neutrophil", "lymphocyte", "monocyte"],
            "p_monocyte": [0.1, 0.2, 0.9],
            "class_probability": [0.7, 0.6, 0.9],
            "reviewed": [True, False, True],
            "nucleus_area_px": [5, 6, 7],
        }
    )


def written(follower, make):
    """Do an edit where the cells are there for it."""
    try:
        follower.write(make(), ())
    except ValueError:
        pass


PLACES = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
LABELS = st.integers(1, 5)
ACTIONS = st.one_of(
    st.tuples(st.just("paint"), PLACES, st.integers(0, 5), st.integers(1, 6)),
    st.tuples(st.just("fill"), PLACES, st.integers(0, 5)),
    st.tuples(st.just("stroke"), PLACES, PLACES, st.integers(0, 5)),
    st.tuples(st.just("merge"), st.lists(LABELS, min_size=2, max_size=3, unique=True)),
    st.tuples(st.just("cut"), PLACES, PLACES),
    st.tuples(st.just("delete"), LABELS),
    st.tuples(st.just("dilate"), LABELS),
    st.tuples(st.just("relabel")),
    st.tuples(st.just("classify"), LABELS),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
)


def act(layer, action):
    follower, (name, *given) = follow(layer), action
    if name == "paint":
        layer.brush_size = given[2]
        layer.paint(given[0], given[1])
    elif name == "fill":
        layer.fill(given[0], given[1])
    elif name == "stroke":
        with layer.block_history():
            layer.paint(given[0], given[2])
            layer.paint(given[1], given[2])
    elif name == "cut":
        fresh = follower.fresh_label
        written(follower, lambda: split_by_line(layer.data, given, fresh))
    elif name == "relabel":
        written(follower, lambda: edit.relabel(layer.data))
    elif name == "classify":
        if given[0] in layer.data:
            follower.classify(given[0], "blast")
    elif name in ("undo", "redo"):
        getattr(layer, name)()
    else:
        written(follower, lambda: getattr(edit, name)(layer.data, *given))


def check(layer):
    expected = measure_cells(layer.data)
    assert layer.features["index"].tolist() == expected.index.tolist()
    assert layer.features["label"].tolist() == expected.index.tolist()
    for name in COLUMNS:
        np.testing.assert_allclose(layer.features[name], expected[name])
    assert layer.features["class"].notna().all()
    assert set(layer.features["origin"]) <= {"auto", "edited", "added"}


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30, deadline=None)
@given(st.lists(ACTIONS, max_size=10))
def test_any_sequence_of_edits_is_followed_and_undone(actions):
    layer = Labels(start(), features=table())
    follow(layer)
    first = layer.features.copy()
    for action in actions:
        act(layer, action)
        check(layer)
    last = layer.features.copy()
    steps = len(layer._undo_history)
    for _ in range(steps):
        layer.undo()
        check(layer)
    np.testing.assert_array_equal(layer.data, start())
    pd.testing.assert_frame_equal(layer.features, first, check_dtype=False)
    for _ in range(steps):
        layer.redo()
    pd.testing.assert_frame_equal(layer.features, last, check_dtype=False)


def test_types_of_columns_outlive_new_cells_and_their_undo():
    layer = Labels(start(), features=table())
    follow(layer)
    before = layer.features.dtypes
    layer.paint((0, 15), 9)
    assert layer.features["nucleus_area_px"].isna().tolist() == [False] * 3 + [True]
    assert layer.features["reviewed"].tolist()[:3] == [True, False, True]
    layer.undo()
    assert layer.features.dtypes.drop("reviewed").equals(before.drop("reviewed"))


def test_class_probability_is_that_of_the_given_class():
    layer = Labels(start(), features=table())
    follow(layer).classify(1, "monocyte")
    follow(layer).classify(2, "blast")
    assert layer.features["class_probability"].tolist()[0] == 0.1
    assert np.isnan(layer.features["class_probability"].tolist()[1])


def test_layer_without_a_table_gets_one():
    layer = Labels(start())
    follow(layer)
    check(layer)
    assert set(layer.features["class"]) == {UNKNOWN}
    assert set(layer.features["origin"]) == {AUTO}


def test_rows_go_by_the_column_label_or_by_their_place():
    by_label = table().rename(columns={"index": "label"})
    for features in (by_label, pd.DataFrame({"class": ["", "a", "b", "c"]})):
        done = complete_table(features, measure_cells(start()))
        assert done["index"].tolist() == [1, 2, 3]
        assert list(done["class"]) in (["neutrophil", "lymphocyte", "monocyte"], ["a", "b", "c"])


def test_fresh_table_is_taken_without_measuring_and_is_corrected_where_it_is_wrong():
    features = complete_table(table(), measure_cells(start())).drop(columns="origin")
    features.loc[0, "area_px"] = 1
    layer = Labels(start(), features=features)
    follower = follow(layer, fresh=True)
    assert layer.features["area_px"].tolist()[0] == 1
    assert follower.boxes([1]) == {1: (slice(2, 8), slice(2, 7))}
    check(layer)


def test_new_data_are_measured_when_next_they_are_corrected():
    layer = Labels(start(), features=table())
    follow(layer)
    layer.data = np.roll(start(), 1, axis=1)
    layer.paint((0, 15), 9)
    check(layer)


def test_areas_in_micrometres_follow():
    features = complete_table(table(), measure_cells(start()))
    features["area_um2"] = features["area_px"] * 0.25
    layer = Labels(start(), features=features)
    follow(layer)
    layer.paint((0, 15), 9)
    np.testing.assert_allclose(layer.features["area_um2"], layer.features["area_px"] * 0.25)


def test_follower_lets_a_layer_go():
    import gc
    import weakref

    layer = Labels(start())
    follow(layer)
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


def test_napari_keeps_its_history_as_this_plugin_reads_it():
    layer = Labels(start())
    with layer.block_history():
        layer.data_setitem((np.array([0]), np.array([0])), 4)
        layer.paint((13, 15), 6)
    (step,) = history.undo_steps(layer)
    change = history.change_of(layer, step)
    assert change.gain[4] == 1
    assert change.gain[6] == (layer.data == 6).sum()
    assert change.part is not None
    assert change.part[0].start == 0
    layer.undo()
    assert not list(history.undo_steps(layer))
    (again,) = history.redo_steps(layer)
    assert history.step_id(again) == history.step_id(step)
    history.add_empty_step(layer)
    assert history.change_of(layer, next(history.undo_steps(layer))).part is None
