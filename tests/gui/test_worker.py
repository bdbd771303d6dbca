from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets import worker
from napari_wbc_nca.widgets.worker import Clock

PHASES = {"finding": 1, "segmenting": 4}


@pytest.fixture
def wait(monkeypatch):
    """Let seconds pass, without waiting for them."""
    now = [100.0]
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def passed(seconds):
        now[0] += seconds

    return passed


def test_time_left_is_counted_from_the_first_progress(wait):
    clock = Clock()
    wait(50)  # before the progress: not counted
    assert clock.remaining(0.0) == ""
    wait(10)
    assert clock.remaining(0.25) == "about 30 s left"
    wait(10)
    assert clock.remaining(0.5) == "about 20 s left"


def test_time_left_is_that_of_all_phases(wait):
    clock = Clock(PHASES)
    assert clock.remaining(clock.share(Progress(0, 2, "finding cells"))) == ""
    wait(10)
    assert clock.remaining(clock.share(Progress(1, 2, "finding cells"))) == "about 1 min 30 s left"
    wait(40)
    share = clock.share(Progress(2, 4, "segmenting cells"))
    assert share == pytest.approx(0.6)
    assert clock.remaining(share) == "about 33 s left"


def test_share_never_falls(wait):
    clock = Clock(PHASES)
    assert clock.share(Progress(1, 4, "segmenting cells")) == pytest.approx(0.4)
    assert clock.share(Progress(0, 4, "segmenting cells")) == pytest.approx(0.4)
    assert clock.share(Progress(0, 9, "an unknown phase")) == pytest.approx(0.4)


def test_a_phase_that_is_left_out_is_not_counted(wait):
    clock = Clock(PHASES)
    assert clock.remaining(clock.share(Progress(0, 4, "segmenting cells"))) == ""
    wait(10)
    assert clock.remaining(clock.share(Progress(2, 4, "segmenting cells"))) == "about 10 s left"


def test_nothing_is_said_too_early(wait):
    clock = Clock()
    clock.remaining(0.0)
    wait(0.5)
    assert clock.remaining(0.5) == ""
    wait(10)
    assert clock.remaining(0.0) == ""
