"""Segment all of the Images dock, by the mouse: cancelled, gone on with, and by a real model."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reviewing import settle
from squares import smear

from napari_wbc_nca.io.results import TABLE
from napari_wbc_nca.workflow import segment


@pytest.fixture
def images(viewer: Any) -> Iterator[Any]:
    """The dock as the menu opens it."""
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Images of a folder")
    settle()
    yield docked
    viewer.window.remove_dock_widget(docked)
    settle()


def test_segment_all_that_was_cancelled_goes_on_where_it_stopped(
    viewer, workflow, images, tmp_path, qtbot, click, finish, monkeypatch
):
    for number, name in enumerate("abc"):
        Image.fromarray(smear((10, 10 + number))).save(tmp_path / f"{name}.png")
    tables = [tmp_path / "results" / f"{name}{TABLE}" for name in "abc"]
    run = workflow.run

    def wait_at_second(*arguments: Any, **options: Any) -> Any:
        workflow.slow = len(workflow.calls) > 0
        return (yield from run(*arguments, **options))

    monkeypatch.setattr(segment, "run", wait_at_second)
    images.open_folder(tmp_path)
    click(images.button)
    qtbot.waitUntil(lambda: len(workflow.calls) == 2, timeout=20_000)
    assert not images.button.isEnabled()
    click(images.progress.cancel)
    finish(images)
    assert images.status.text() == "Cancelled. Segment all goes on where it stopped."
    assert [table.exists() for table in tables] == [True, False, False]
    first = tables[0].stat().st_mtime_ns

    workflow.go.set()
    click(images.button)
    finish(images)
    assert [table.exists() for table in tables] == [True, True, True]
    assert tables[0].stat().st_mtime_ns == first
    assert [call["image"].name for call in workflow.calls] == ["a", "b", "b", "c"]


def test_segment_all_by_the_bundled_model(viewer, images, tmp_path, click, finish):
    sample = np.asarray(Image.open(str(files("napari_wbc_nca") / "samples" / "typed.jpg")))
    for name, part in (("left", sample[:160, :160]), ("right", sample[:160, -160:])):
        Image.fromarray(part).save(tmp_path / f"{name}.png")
    images.open_folder(tmp_path)
    click(images.button)
    finish(images)
    found = [pd.read_csv(tmp_path / "results" / f"{n}{TABLE}") for n in ("left", "right")]
    assert sum(map(len, found)) > 0
    assert {"class", "class_probability", "area_px"} <= set(found[0])
    click(images.next)
    settle()
    assert Path(images.opener.path).stem == "left"
