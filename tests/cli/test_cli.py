from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import make, with_fields
from napari_wbc_nca.params import bounded
from napari_wbc_nca.progress import Progress

COMMANDS = ["demo", "gui", "segment", "train", "evaluate", "models"]


def test_help_lists_the_commands(wbc):
    done = wbc("--help")
    assert done.status == 0
    assert all(f" {name} " in done.out for name in COMMANDS)


def test_version(wbc):
    assert wbc("--version").out == f"napari-wbc-nca {version('napari-wbc-nca')}"


@pytest.mark.parametrize("arguments", [[], ["segment"], ["train"], ["evaluate"], ["models"]])
def test_help_loads_neither_networks_nor_windows(arguments):
    report = (
        "import sys; from napari_wbc_nca.cli import app\n"
        f"try: app([*{arguments!r}, '--help'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print({name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1]
    for name in ("torch", "lightning", "monai", "napari", "qtpy", "PySide6", "pandas", "skimage"):
        assert f"'{name}'" not in loaded


@dataclass(frozen=True)
class First:
    """Fields of every type."""

    size: int = bounded(3, "Size of it", 1, 9, "px")
    share: float = bounded(0.5, "Share of it", 0)
    way: Literal["up", "down"] = bounded("up", "Where it goes")
    loud: bool = bounded(True, "Whether it is heard", advanced=True)
    note: str = bounded("", "What to say")


@dataclass(frozen=True)
class Second(First):
    """Another default, wider bounds, a choice and a field more."""

    size: int = bounded(4, "Size of it", 2, 20, "px")
    way: Literal["left", "up"] = bounded("up", "Where it goes")
    own: int = bounded(1, "Of the second only")


@pytest.fixture
def made():
    """A command with the fields of two classes, and what it was given."""
    got = {}

    @with_fields({"first": First, "second": Second})
    def command(name: str, **values):
        """Do something."""
        got.update(values, name=name)

    app = typer.Typer()
    app.command()(command)

    def run(*arguments):
        result = CliRunner().invoke(app, list(arguments))
        return result, got

    return run


def test_options_that_are_not_given_are_none(made):
    result, got = made("x")
    assert result.exit_code == 0
    assert got == {"name": "x", **dict.fromkeys(("size", "share", "way", "loud", "note", "own"))}


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("--size", ("1", "20"), ("0", "21")),
        ("--way", ("up", "down", "left"), ("right",)),
    ],
)
def test_option_takes_what_any_owner_takes(made, option, good, bad):
    assert [made("x", option, value)[0].exit_code for value in good] == [0] * len(good)
    assert [made("x", option, value)[0].exit_code for value in bad] == [2] * len(bad)


def test_options_arrive_in_their_types(made):
    _, got = made("x", "--size", "7", "--share", "2", "--way", "down", "--no-loud", "--own", "0")
    assert got == {
        "name": "x", "size": 7, "share": 2.0, "way": "down", "loud": False, "note": None, "own": 0
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [("--size", "21"), ("--way", "right"), ("--share", "-1")])
def test_bounds_and_choices_hold(made, wrong):
    result, got = made("x", *wrong)
    assert (result.exit_code, got) == (2, {})


def test_help_shows_unit_and_defaults(made):
    shown = " ".join(made("--help")[0].output.replace("│", " ").split())
    for text in (
        "Size of it (px). Default: first: 3, second: 4.",
        "Share of it. Default: 0.5.",
        "Whether it is heard. Default: yes.",
        "What to say. Default: none.",
        "Advanced",
    ):
        assert text in shown


def test_option_of_another_class_is_wrong_usage():
    assert make(Second, {"own": 5, "size": None}) == Second(own=5)
    with pytest.raises(typer.BadParameter, match="unknown parameter 'own'; known are size, share"):
        make(First, {"own": 5})


def test_following_gives_the_result_and_closes_on_interrupt():
    closed = []

    def steps():
        try:
            yield Progress(0, 0, "[starting]")
            yield Progress(1, 2, values={"loss": 0.5})
        finally:
            closed.append(True)
        return "found"

    assert console.run_with_progress(steps(), "[a] name") == "found"
    assert closed == [True]
