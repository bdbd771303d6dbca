"""How long a newcomer waits: the import, and from the click to the labels.

pytest -p pytest_benchmark.plugin benchmarks/bench_start.py
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from napari_wbc_nca.io.images import SAMPLES, read, sample_path
from napari_wbc_nca.io.model_store import resolve
from napari_wbc_nca.workflow.segment import segment


@pytest.mark.parametrize("statement", ["pass", "import napari_wbc_nca"])
def test_import(benchmark: Any, statement: str) -> None:
    """Of a new interpreter; the difference of the two is the package's."""
    benchmark.pedantic(subprocess.run, ([sys.executable, "-c", statement],), rounds=9)


@pytest.mark.parametrize("name", SAMPLES)
def test_click_to_labels(benchmark: Any, name: str) -> None:
    """From pixels and a resolved model to labels and table, scale estimated."""
    image, model = read(sample_path(name)), resolve("wbc-smear")
    found = benchmark.pedantic(segment, (image, model), rounds=5, warmup_rounds=1)
    assert len(found.cells)
