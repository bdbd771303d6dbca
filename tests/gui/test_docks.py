"""All docks fit small windows, at one width, whatever they show."""

from __future__ import annotations

from hands import settle
from qtpy.QtWidgets import QLabel
from squares import smear

from napari_wbc_nca.widgets.base import RunWidget, ViewerWidget
from napari_wbc_nca.widgets.layout import Section

TITLES = (
    *("Segment WBCs", "Review cells", "Export labels", "Correct cells", "Train a model"),
    "Evaluate models",
    "Images of a folder",
)


def test_docks_scroll_and_fit_small_windows(viewer, workflow):
    window = viewer.window._qt_window
    viewer.add_image(smear((10, 10)), name="a name that is longer than any dock is wide " * 3)
    viewer.add_labels(smear((10, 10))[..., 0] // 255, name="l" * 200)
    for title in TITLES:
        _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", title)
        assert isinstance(docked, ViewerWidget)
        settle()
        width = docked.width()
        for section in docked.findChildren(Section):
            section.open(True)
        if isinstance(docked, RunWidget):
            docked.progress.start()
            docked.status.setText(f"Written to /{'folder' * 40}")
        for size in ((1280, 720), (1400, 900)):
            window.resize(*size)
            settle()
            assert (window.width(), window.height()) == size, title
            assert docked.width() == width, title
            bar = docked.verticalScrollBar().sizeHint().width()
            assert docked.widget().minimumSizeHint().width() <= width - bar, title
        for label in docked.findChildren(QLabel):
            if label.isVisible() and label.text() and not label.wordWrap():
                assert label.width() >= label.sizeHint().width(), label.text()
        viewer.window.remove_dock_widget(docked)
        settle()
