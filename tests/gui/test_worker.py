from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_wbc_nca.widgets import worker
from napari_wbc_nca.widgets.worker import Clock


@pytest.fixture
def wait(monkeypatch):
    """Let seconds pass, without waiting for them."""
    now = [100.0]
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def passed(seconds):
        now[0] += seconds

    return passed


def test_time_left_is_that_of_the_phase(wait):
    clock = Clock()
    wait(50)  # before the phase: not counted
    assert clock.remaining("looking", 0.0) == ""
    wait(10)
    assert clock.remaining("looking", 0.25) == "about 30 s left"
    wait(10)
    assert clock.remaining("looking", 0.5) == "about 20 s left"


def test_a_new_message_begins_anew(wait):
    clock = Clock()
    clock.remaining("looking", 0.0)
    wait(10)
    assert clock.remaining("segmenting", 0.1) == ""
    wait(4)
    assert clock.remaining("segmenting", 0.5) == "about 4 s left"


def test_nothing_is_said_too_early(wait):
    clock = Clock()
    clock.remaining("looking", 0.0)
    wait(0.5)
    assert clock.remaining("looking", 0.5) == ""
    wait(10)
    assert clock.remaining("looking", 0.0) == ""
