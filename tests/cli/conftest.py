"""What the tests of commands share: a runner, and a stand-in for the computation."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_wbc_nca.cli import app
from napari_wbc_nca.io import model_store
from napari_wbc_nca.params import as_dict
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint, Segmentation


@dataclass
class Outcome:
    """What a command left: its exit status, and what it wrote, without frames and line breaks."""

    status: int
    out: str
    err: str


@pytest.fixture
def wbc():
    """Run ``napari-wbc-nca`` in this process."""

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, _plain(result.stdout), _plain(result.stderr))

    return run


def _plain(text):
    return re.sub(r"[\s│╭╮╰╯─┃┏┓┡┩┳╇┴┬━└┘┌┐├┤┼]+", " ", text).strip()


@pytest.fixture
def model(monkeypatch):
    """A checkpoint under any name but ``unknown``."""
    checkpoint = Checkpoint(
        "nca_wss", {}, {}, ("neutrophil", "none"), 32, 0.4, 64, {"name": "density"}, name="tiny"
    )

    def resolve(name):
        if name == "unknown":
            raise ValueError("'unknown' is neither a file nor the name of a model")
        return checkpoint

    monkeypatch.setattr(model_store, "resolve", resolve)
    return checkpoint


class Workflow:
    """Stand-in for the workflow: one cell in an image, and a record of what it was asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, image, checkpoint, params, points=None, boxes=None):
        self.calls.append((image, params, points, boxes))
        yield Progress(1, 2, "locating")
        if image.name == "broken":
            raise RuntimeError("the network exploded")
        cell = np.zeros(image.shape, np.uint32)
        cell[2:9, 3:9] = 1
        row = {"label": [1], "class": ["neutrophil"], "class_probability": [0.875]}
        box = {"box_y0": [2], "box_x0": [3], "box_y1": [9], "box_x1": [9]}
        more = {"confidence": [0.5], "area_px": [42], "area_um2": [np.nan]}
        provenance = {"parameters": as_dict(params)}
        return Segmentation(
            {"cell": cell, "nucleus": cell}, pd.DataFrame(row | box | more), {}, provenance
        )


@pytest.fixture
def workflow(model, monkeypatch):
    """Stand-in for ``workflow.segment.run``."""
    stand_in = Workflow()
    monkeypatch.setattr("napari_wbc_nca.workflow.segment.run", stand_in)
    return stand_in
