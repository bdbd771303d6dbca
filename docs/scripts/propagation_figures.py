"""Make the figure of the page on propagation from a bundled smear and the bundled detector.

``python docs/scripts/propagation_figures.py [MODEL]`` writes ``docs/images/propagation.png``.
``phase_figures.py`` makes the other one.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from figures import IMAGES, smear
from skimage.segmentation import find_boundaries

from napari_wbc_nca.workflow.segment import segment

MODEL = "smear-cells"


def main(model: str = MODEL) -> None:
    """Likelihood, one contribution, owners and instances of a smear."""
    rgb = smear("smear-1")
    found = segment(rgb, model, maps=True)
    white = found.cells[found.cells["class"] == "wbc"].sort_values("likelihood").iloc[-1]
    likelihood = np.stack([found.maps[f"likelihood {k}"] for k in ("rbc", "wbc", "platelet")], -1)
    one = found.maps.get(f"contribution {white['label']}", np.zeros(rgb.shape[:2]))
    cells = np.asarray(found.labels["cell"])
    owner = np.ma.masked_equal(np.asarray(found.labels["contribution"]) * 37 % 251, 0)
    outlined = np.array(rgb)
    edges = find_boundaries(cells, mode="inner") | find_boundaries(cells, mode="outer")
    outlined[edges] = (0, 200, 0)
    figure, axes = plt.subplots(1, 4, figsize=(14, 3), layout="constrained")
    shown = {
        "likelihood (red: red cells, green: white)": np.clip(likelihood, 0, 1),
        "contribution of one cell": np.sqrt(one),
        "who contributes most": owner,
        "instances": outlined,
    }
    for axis, (title, image) in zip(axes, shown.items(), strict=True):
        axis.imshow(image, cmap="prism" if title.startswith("who") else "magma")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.savefig(IMAGES / "propagation.png", dpi=100, bbox_inches="tight")
    print(IMAGES / "propagation.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
