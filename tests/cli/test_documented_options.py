"""Options in the documentation are options of the commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from napari_wbc_nca.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = {"--with", "--strict", "--each", "--write"}
"""Options of other programs."""


def options(command):
    """All options of a command and of those below it."""
    found = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
    return found.union(*map(options, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_documented_options_exist(page):
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*(?![\w-])", text))
    assert named <= {*options(get_command(app)), *OTHERS, "--help"}
