from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from types import SimpleNamespace

import pytest

from napari_wbc_nca import cli as gui


@pytest.fixture
def started(monkeypatch):
    """Commands that were run in place of napari."""
    commands = []

    def run(command):
        commands.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(gui, "find_spec", lambda name: name in ("napari", "PySide6") or None)
    return commands


def test_napari_opens_with_image_and_widget(wbc, started, tmp_path):
    (tmp_path / "a.png").touch()
    assert wbc("gui", tmp_path / "a.png").status == 0
    napari = [sys.executable, "-m", "napari"]
    widget = ["--with", "napari-wbc-nca", "Segment WBCs"]
    assert started == [[*napari, str(tmp_path / "a.png"), *widget]]
    assert wbc("gui").status == 0
    assert started[1] == [*napari, *widget]


def test_widget_has_the_name_of_the_manifest():
    manifest = (files("napari_wbc_nca") / "napari.yaml").read_text(encoding="utf-8")
    assert f"name: {gui.PLUGIN}\n" in manifest
    assert f"display_name: {gui.WIDGET}\n" in manifest


@pytest.mark.parametrize(("there", "missing"), [("PySide6", "napari"), ("napari", "a Qt binding")])
def test_without_napari_or_qt_the_remedy_is_named(wbc, started, monkeypatch, there, missing):
    monkeypatch.setattr(gui, "find_spec", lambda name: name == there or None)
    done = wbc("gui")
    assert (done.status, started) == (1, [])
    assert f'{missing} is not installed; run: pip install "napari-wbc-nca[all]"' in done.err


def test_missing_image_is_wrong_usage(wbc, started, tmp_path):
    done = wbc("gui", tmp_path / "no.png")
    assert (done.status, started) == (2, [])
    assert "no such file" in done.err
