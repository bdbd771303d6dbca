"""Settings of the journal that last from one session to the next."""

from __future__ import annotations

import pytest

from napari_wbc_nca.io._files import HOME
from napari_wbc_nca.project.project import default_folder
from napari_wbc_nca.project.settings import JournalSettings, load_settings, save_settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    return tmp_path / "home"


def test_settings_are_read_as_they_were_written():
    assert load_settings() == JournalSettings()
    chosen = JournalSettings(keep=False, beside=False, reviewer="Ä. Meyer")
    save_settings(chosen)
    assert load_settings() == chosen


@pytest.mark.parametrize("text", ["", "[1]", '{"keep": "no", "other": 1}'])
def test_settings_that_cannot_be_read_are_the_usual_ones(home, text):
    home.mkdir()
    (home / "settings.json").write_text(text)
    assert load_settings() == JournalSettings()


def test_a_new_project_lies_where_the_settings_want_it(tmp_path, home):
    image = tmp_path / "day1" / "smear.png"
    image.parent.mkdir()
    beside = image.with_suffix(".wbcproject")
    assert default_folder(image) == beside
    save_settings(JournalSettings(beside=False))
    assert default_folder(image) == home / "projects" / "day1 smear.wbcproject"
    beside.mkdir()
    assert default_folder(image) == beside  # that there is one counts more
