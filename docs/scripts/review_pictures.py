"""Make the picture of the Review dock.

``python docs/scripts/review_pictures.py`` writes ``docs/images/review.png``. Without a display, run
it under ``xvfb-run -a -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

from widget_pictures import IMAGES, picture, wait, window


def main() -> None:
    """Segment a bundled smear and review its first cell."""
    IMAGES.mkdir(exist_ok=True)
    viewer, widget = window("typed")
    widget.button.click()
    wait(lambda: not widget.running)
    viewer.window.remove_dock_widget(widget)
    _, review = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Review cells")
    review.reviewer.setText("A. Reviewer")
    label = int(review.model.table.sort_values("doubt").index[-1])
    review.model.select([label])
    review.canvas.zoom_to(label)
    picture(viewer, "review")
    viewer.close()


if __name__ == "__main__":
    main()
