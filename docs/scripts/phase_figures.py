"""A detector trained on one phase-contrast field, tried on another.

``WBC_NCA_DATA=/data python docs/scripts/phase_figures.py`` reads ``phase/train.png`` and
``phase/test.png`` with their likelihood maps, whose peaks are the centroids; it writes the
picture of ``docs/methods/propagation.md``. Two fields are no benchmark: it shows that the way from
centroids to instances can be gone with phase contrast, from end to end.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image as Pictures
from skimage.segmentation import find_boundaries

from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.methods.propagation.params import PropagationParams, PropagationTrainParams
from napari_wbc_nca.methods.propagation.predict import predict
from napari_wbc_nca.methods.propagation.train import train
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.ops.metrics import f1, match_points
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Image

PICTURE = Path(__file__).parents[1] / "images" / "phase.png"
NEAR = 10  # px within which a peak is a centroid's, as in the published code
PARAMS = PropagationTrainParams(
    **{"widths": "8-16-32-64", "colour": "grey", "normalisation": "maximum", "diameter": 0.0},
    **{
        "sigma": 6.0,
        "patch_size": 128,
        "max_scale_factor": 1.0,
        "epochs": 60,
        "samples_per_epoch": 24,
    },
    **{
        "batch_size": 8,
        "learning_rate": 0.003,
        "learning_rate_decay": 0.99,
        "validation_share": 0.0,
    },
)


def field(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Brightness of a field, and ``(N, 2)`` centroids from its likelihood map."""
    bright, likelihood = (
        np.asarray(Pictures.open(data / "phase" / file).convert("L"))
        for file in (f"{name}.png", f"{name}_likelihood.png")
    )
    return bright, find_peaks(likelihood / 255.0, 0.5, min_distance=4.0)


def sample(data: Path, name: str) -> Sample:
    """Points of a field as training data."""
    points = field(data, name)[1].astype(np.float32)
    path = data / "phase" / f"{name}.png"
    return Sample(path, np.concatenate((points, points), 1), ("cell",) * len(points))


def main(data: Path) -> None:
    """Train on one field, find the cells of the other, and draw them."""
    model = run_to_end(train([sample(data, "train")], PARAMS))
    bright, truth = field(data, "test")
    found = run_to_end(predict(Image(bright), model, PropagationParams(maps=True, device="cpu")))
    places = found.cells[["peak_y", "peak_x"]].to_numpy()
    hits = len(match_points(truth, places, NEAR))
    score = f1(hits, len(truth), len(places))
    print(f"{len(truth)} cells, {len(places)} found, F-measure {score:.3f}")
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
    outlined = np.stack([bright] * 3, -1)
    outlined[find_boundaries(found.labels["cell"], mode="inner")] = (255, 220, 0)
    owner = np.ma.masked_equal(np.asarray(found.labels["contribution"]) * 37 % 251, 0)
    shown = (bright, found.maps["likelihood"], owner, outlined)
    titles = ("field", "likelihood", "contributions", "instances")
    for axis, title, image in zip(axes, titles, shown, strict=True):
        axis.imshow(image, cmap={"contributions": "prism", "field": "gray"}.get(title, "magma"))
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.savefig(PICTURE, dpi=100, bbox_inches="tight")
    print(PICTURE)


if __name__ == "__main__":
    main(Path(os.environ["WBC_NCA_DATA"]))
