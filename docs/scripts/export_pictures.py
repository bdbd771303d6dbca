"""Make the pictures of the export: the docked widget after a run, and what other programs read.

``python docs/scripts/export_pictures.py`` writes ``docs/images/export_widget.png`` and
``docs/images/exported.png``. Without a display, run it under ``xvfb-run -a -s "-screen 0
1600x1000x24"``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import napari
import numpy as np
import roifile
from matplotlib.colors import ListedColormap
from pycocotools import mask
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_wbc_nca.cell_types import colours
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.types import Image
from napari_wbc_nca.widgets.class_colours import class_colours, colormap
from napari_wbc_nca.workflow.segment import segment

IMAGES = Path(__file__).parents[1] / "images"
SIZE = (1280, 860)
WIDTH = 360
PATIENCE = 60
SAMPLE = "typed"
FORMATS = ("coco", "qupath", "imagej", "nnunet")


def main() -> None:
    """Take both pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        viewer, labels = window()
        export(viewer, Path(folder) / "exports")
        viewer.close()
        exported(Path(folder) / "exports", labels)


def window() -> tuple[napari.Viewer, np.ndarray]:
    """Viewer with a smear, its cells, and a region that was reviewed."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    (layer,) = viewer.open_sample("napari-wbc-nca", SAMPLE)
    found = segment(Image(layer.data, SAMPLE, None, str(sample_path(SAMPLE))), "wbc-smear")
    table = found.cells.assign(origin="edited")
    table.insert(0, "index", table["label"])
    viewer.add_labels(
        np.asarray(found.labels["cell"]),
        name=f"{SAMPLE} cells",
        features=table,
        colormap=colormap(table, class_colours(table)),
        opacity=0.5,
    )
    height, width = layer.data.shape[:2]
    region = [[5, 5], [5, width * 0.3], [height - 5, width * 0.3], [height - 5, 5]]
    viewer.add_shapes(
        [region], name="reviewed", face_color="transparent", edge_color="yellow", edge_width=5
    )
    return viewer, np.asarray(found.labels["cell"])


def export(viewer: napari.Viewer, folder: Path) -> None:
    """Export what lies in the region, and take the picture."""
    dock, widget = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Export labels")
    dock.parent().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    widget.form.reviewed.mode.setCurrentIndex(1)
    widget.form.folder.edit.setText(str(folder))
    for name, box in widget.form.formats.items():
        box.setChecked(name in FORMATS)
    QTest.qWait(500)
    viewer.reset_view()
    widget.button.click()
    for _ in range(PATIENCE * 20):
        QTest.qWait(50)
        if not widget.running:
            break
    widget.form.folder.edit.setText("~/exports")
    QTest.qWait(500)
    viewer.screenshot(str(IMAGES / "export_widget.png"), canvas_only=False, flash=False)


def exported(folder: Path, labels: np.ndarray) -> None:
    """Draw what COCO, QuPath, ImageJ and nnU-Net get, read by their own libraries."""
    figure, axes = plt.subplots(1, 4, figsize=(12, 2.9), layout="constrained")
    name = f"{SAMPLE}_cells"
    drawn = (_coco, _qupath, _imagej, _nnunet)
    titles = ("COCO, by pycocotools", "QuPath's GeoJSON", "ImageJ, by roifile", "nnU-Net")
    for axis, draw, title in zip(axes, drawn, titles, strict=True):
        draw(axis, folder, name, labels)
        axis.set_title(title, fontsize=10)
        axis.set_xlim(0, labels.shape[1])
        axis.set_ylim(labels.shape[0], 0)
        axis.set_aspect("equal")
        axis.axis("off")
    figure.savefig(IMAGES / "exported.png", dpi=110)


def _coco(axis: Any, folder: Path, name: str, labels: np.ndarray) -> None:
    content = json.loads((folder / "coco/annotations/instances.json").read_text())
    axis.imshow(plt.imread(folder / f"coco/images/{name}.png"))
    for some in content["annotations"]:
        if not some["iscrowd"]:
            axis.contour(mask.decode(some["segmentation"]), [0.5], colors="red", linewidths=1)


def _qupath(axis: Any, folder: Path, name: str, labels: np.ndarray) -> None:
    for feature in json.loads((folder / f"qupath/{name}.geojson").read_text())["features"]:
        shape, kind = feature["geometry"], feature["properties"]["classification"]
        parts = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
        for ring in (ring for part in parts for ring in part):
            axis.plot(*np.array(ring).T, color=np.array(kind["color"]) / 255)
        axis.annotate(kind["name"], np.mean(parts[0][0], axis=0), ha="center", fontsize=7)


def _imagej(axis: Any, folder: Path, name: str, labels: np.ndarray) -> None:
    rois: Any = roifile.roiread(folder / f"imagej/{name}.zip")
    for roi in rois:
        for ring in roi.coordinates(multi=True):
            axis.plot(*np.concatenate([ring, ring[:1]]).T, linewidth=1, color="tab:blue")
        axis.annotate(roi.name, roi.coordinates().mean(axis=0), ha="center", fontsize=7)


def _nnunet(axis: Any, folder: Path, name: str, labels: np.ndarray) -> None:
    place = folder / "nnunet/Dataset001_cells"
    values = json.loads((place / "dataset.json").read_text())["labels"]
    image = np.round(plt.imread(place / f"labelsTr/{name}.png") * 255).astype(int)
    known = colours(label for label in values if label not in ("background", "ignore"))
    shades = known | {"background": "white", "ignore": "lightgrey"}
    axis.imshow(image, cmap=ListedColormap([shades[label] for label in values]), vmin=0)
    for label, value in values.items():
        axis.fill([0], [0], facecolor=shades[label], edgecolor="grey", label=f"{value} {label}")
    axis.legend(fontsize=7, loc="upper right")


if __name__ == "__main__":
    main()
