from __future__ import annotations

import pytest

from napari_wbc_nca.methods.nca.adapt_gate import Gate
from napari_wbc_nca.workflow.adapt import Adaptation


@pytest.fixture
def adapted(model, monkeypatch):
    """Stand-in for ``workflow.adapt.run``; returns a setter of whether the gate keeps models."""
    made = {}

    def run(parent, project):
        gate = Gate(12, 0.5, 0.75, 0.001, 1.0, made["judged"], made["keep"], "as asked")
        yield from ()
        return Adaptation(model, gate, {"monocyte": 12}, {"lost": "lost.png is missing"})

    monkeypatch.setattr("napari_wbc_nca.workflow.adapt.run", run)
    return lambda judged, keep: made.update(judged=judged, keep=keep)


@pytest.mark.parametrize(("judged", "keep", "status"), [(1, 1, 0), (0, 0, 0), (1, 0, 1)])
def test_a_model_is_written_unless_the_gate_refuses_it(
    wbc, adapted, tmp_path, judged, keep, status
):
    adapted(judged, keep)
    output = tmp_path / "own.safetensors"
    done = wbc("adapt", "tiny", tmp_path, "-o", output)
    assert done.status == status
    assert output.exists() is (status == 0)
    assert "12 monocytes" in done.out
    assert "Compared with tiny: as asked" in done.out
    assert "lost.png is missing" in done.err


def test_an_output_of_another_kind_is_wrong_usage(wbc, tmp_path):
    done = wbc("adapt", "wbc-fine", tmp_path, "-o", tmp_path / "own.pt")
    assert done.status == 2
    assert "does not end with .safetensors" in done.err


def test_a_folder_that_is_no_project_is_named(wbc, tmp_path):
    done = wbc("adapt", "wbc-fine", tmp_path, "-o", tmp_path / "own.safetensors")
    assert done.status == 1
    assert "is no annotation project" in done.err
