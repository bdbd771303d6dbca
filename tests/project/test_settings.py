"""Settings of the journal that last from one session to the next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_wbc_nca.io._files import HOME, write_whole
from napari_wbc_nca.project.project import default_folder
from napari_wbc_nca.project.settings import (
    JournalSettings,
    load_settings,
    remember_project,
    remembered_project,
    save_settings,
)


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


def test_projects_that_begin_at_once_are_all_remembered(tmp_path):
    """Each open project has a thread that writes."""
    pairs = [(tmp_path / f"{n}.png", tmp_path / f"{n}.wbcproject") for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda pair: remember_project(*pair), pairs))
    assert [remembered_project(image) for image, _ in pairs] == [folder for _, folder in pairs]


def test_threads_that_write_one_file_leave_one_of_them_whole(tmp_path):
    def write(text):
        with write_whole(tmp_path / "a.txt") as (part,):
            part.write_text(text)

    texts = [str(n) * 1000 for n in range(10)] * 10
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, texts))
    assert (tmp_path / "a.txt").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
