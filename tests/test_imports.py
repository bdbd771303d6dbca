"""What importing loads: start-up stays fast, and works where there is no Qt."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import napari_wbc_nca

WINDOWS = {"PyQt5", "PyQt6", "PySide6", "magicgui", "napari", "qtpy", "superqt", "vispy"}
NETWORKS = {"lightning", "monai", "torch"}
HEADLESS = [
    "napari_wbc_nca.cli",
    "napari_wbc_nca.datasets.readers",
    "napari_wbc_nca.io.images",
    "napari_wbc_nca.io.results",
    "napari_wbc_nca.io.weights",
    "napari_wbc_nca.io.model_store",
    "napari_wbc_nca.methods.params",
    "napari_wbc_nca.methods.registry",
    "napari_wbc_nca.params",
    "napari_wbc_nca.types",
    "napari_wbc_nca.workflow.export",
]


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `statement`."""
    report = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_report_names_what_was_loaded():
    assert "json" in loaded_by("import json")


def test_package_loads_no_networks_windows_or_tables():
    assert loaded_by("import napari_wbc_nca").isdisjoint({*NETWORKS, *WINDOWS, "pandas", "numpy"})


@pytest.mark.parametrize("module", HEADLESS)
def test_module_loads_no_networks_or_windows(module):
    assert loaded_by(f"import {module}").isdisjoint(NETWORKS | WINDOWS)


@pytest.mark.parametrize("module", ["models.nca", "workflow.segment", "evaluation.evaluate"])
def test_computation_loads_no_windows(module):
    assert loaded_by(f"import napari_wbc_nca.{module}").isdisjoint(WINDOWS)


@pytest.mark.parametrize("name", napari_wbc_nca.__all__)
def test_public_name_is_a_function(name):
    assert callable(getattr(napari_wbc_nca, name))
    assert name in dir(napari_wbc_nca)


def test_version_is_that_of_the_installed_package():
    assert napari_wbc_nca.__version__ == version("napari-wbc-nca")


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'cure'"):
        _ = napari_wbc_nca.cure


@pytest.fixture(scope="module")
def architecture():
    """The script that draws the import graph."""
    path = Path(__file__).parents[1] / "docs/scripts/architecture.py"
    spec = spec_from_file_location("architecture", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_modules_import_each_other(architecture):
    modules = architecture.sources()
    graph = architecture.imports(modules)
    assert "napari_wbc_nca.ops.overlaps" in graph["napari_wbc_nca.ops.labels"]
    assert "napari_wbc_nca.types" in graph["napari_wbc_nca.ops.labels"]  # for type checking only
    assert architecture.circles(graph) == []


def test_circles_of_imports_are_found_in_any_kind_of_import(architecture):
    modules = {
        "p": "",
        "p.a": "def work():\n    from p import b",
        "p.b": "if TYPE_CHECKING:\n    from p.c import C",
        "p.c": "import p.a",
        "p.d": "from p.a import work",
    }
    assert architecture.circles(architecture.imports(modules)) == [["p.a", "p.b", "p.c"]]
