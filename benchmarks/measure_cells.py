"""Measure a detector: F-measure of each kind on pictures with boxes, no option given.

python benchmarks/measure_cells.py MODEL DATA [--every N] [--output FILE]

A peak is a box's if it lies no farther from the box's centre than half the box's shorter side;
peaks and boxes are assigned one to one, optimally. ``--every n`` takes every n-th picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from napari_wbc_nca.cell_types import detection_class
from napari_wbc_nca.datasets.readers import read
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.propagation.detect import detect, load_detector
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.ops.metrics import f1, match_points
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Image

CLASSES = ("wbc", "rbc", "platelet")


def main(model: str, data: str, every: int, output: str | None) -> None:
    """Print recall, precision and F-measure of each kind."""
    checkpoint, params = model_store.resolve(model), PropagationParams(device="cpu")
    network = load_detector(checkpoint, "cpu")
    counts = np.zeros((len(checkpoint.classes), 3), int)
    for sample in read(data, CLASSES)[::every]:
        _, field = open_field(Image(read_rgb(sample)), checkpoint)
        diameter = run_to_end(image_scale(field, network, checkpoint, params)).diameter
        view = field.rescaled(diameter / checkpoint.diameter)
        peaks = run_to_end(detect(network, view, checkpoint, params)).cells
        kinds = np.asarray([detection_class(kind) for kind in sample.kinds])
        for number, kind in enumerate(checkpoint.classes):
            boxes = sample.boxes[kinds == kind]
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
            found = [view.to_image((p.y, p.x)) for p in peaks if p.kind == number]
            hits = match_points(centres, found, (boxes[:, 2:] - boxes[:, :2]).min(1) / 2)
            counts[number] += len(hits), len(boxes), len(found)
    figures = {
        kind: {"recall": hits / true, "precision": hits / found, "f_measure": f1(hits, true, found)}
        for kind, (hits, true, found) in zip(checkpoint.classes, counts.tolist(), strict=True)
    }
    print(json.dumps(figures, indent=2))
    if output:
        Path(output).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--output")
    main(**vars(parser.parse_args()))
