"""Make the pictures of the page about a differential.

``python docs/scripts/differential_pictures.py SMEAR`` opens a folder with ``mosaic.png`` (see
``differential_mosaic.py``) and the results of ``segment`` in ``SMEAR/results``, and writes
``images_dock.png``, ``review_many.png`` and ``review_plot.png`` into ``docs/images``, and a report
into ``SMEAR/report.html``. Without a display, run it under ``xvfb-run -a -s "-screen 0
1600x1000x24"``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from widget_pictures import WIDTH, picture, wait

SIZE = (1400, 900)


def main(smear: str) -> None:
    """Open a folder, review some of its cells, and write the report."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    dock, images = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Images of a folder")
    dock.parent().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    images.open_folder(smear)
    wait(lambda: len(images.images.images.states) == len(images.folder.files))
    QTest.qWait(500)
    mosaic = next(n for n, path in enumerate(images.folder.files) if path.stem == "mosaic")
    images.images.choose(mosaic)
    wait(lambda: len(images.opener.cells()) == 1)
    viewer.reset_view()
    picture(viewer, "images_dock")
    dock.hide()
    dock, review = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Review cells")
    dock.parent().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    review.reviewer.setText("A. Reviewer")
    review.reviewer.editingFinished.emit()
    for _ in range(8):
        review.next_doubtful()
        review.confirm()
        QTest.qWait(50)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # bars of earlier cards
    picture(viewer, "review_many")
    review.differential.plot.click()
    picture(viewer, "review_plot")
    page = Path(smear) / "report.html"
    review.write_report(page)
    wait(page.exists)
    images.on_close()
    viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
