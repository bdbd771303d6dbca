"""What all tests share: where the data lies, and what happens to GUI tests without a display."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
GUI = ROOT / "tests" / "gui"
# Where Mesa draws without a GPU, it draws in the thread that asks for it. GPUs ignore this.
os.environ.setdefault("LP_NUM_THREADS", "0")
OPEN_WINDOW = "from qtpy.QtWidgets import QApplication; QApplication([])"


@cache
def no_window() -> str:
    """Why no window can be opened here; empty where one can.

    Qt aborts the process where it misses a library, so a process of its own tries.
    """
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in displays):
        return "no display: neither DISPLAY nor WAYLAND_DISPLAY is set; run under xvfb-run"
    tried = subprocess.run(
        [sys.executable, "-c", OPEN_WINDOW], capture_output=True, text=True, timeout=120
    )
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"]
    # Python names an error last; Qt names it first, and then aborts.
    return f"Qt opens no window: {lines[-1 if tried.returncode == 1 else 0]}"


# Plugins of other packages import napari and Qt's libraries, which takes seconds, and fails where a
# machine lacks them: pyproject.toml turns their loading off, and what is used is named here.
pytest_plugins = ["_hypothesis_pytestplugin"]
if not no_window():
    pytest_plugins += ["napari.utils._testsupport", "pytestqt.plugin"]


class Windowless(pytest.File):
    """Stands for the folder of GUI tests, which cannot even be imported without a window."""

    def collect(self) -> NoReturn:
        """Skip the folder, saying why; in CI, where a window is promised, fail."""
        if os.environ.get("CI"):
            pytest.fail(f"GUI tests must run in CI, but {no_window()}", pytrace=False)
        pytest.skip(f"GUI tests: {no_window()}", allow_module_level=True)


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Put the stand-in where the GUI tests would be collected without a window."""
    if path == GUI and no_window():
        return Windowless.from_parent(parent, path=path)
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images that lies beside a checkout; skips where there is none."""
    folder = Path(os.environ.get("WBC_NCA_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}; set WBC_NCA_DATA to the folder that holds 'smears'")
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts disks of some KiB; skips where that cannot be done."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)]
        root = os.name == "posix" and not os.geteuid()
        if not root or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a small disk can be mounted by root on Linux only")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:  # lazily: a file that is still open must not fail a test
        subprocess.run(["umount", "--lazy", str(place)], check=True)
