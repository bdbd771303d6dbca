"""Make the figures of the method pages from the bundled smears and models.

``python docs/scripts/figures.py`` writes ``docs/images/*.png``; figures of a model that is not
bundled are left out, with a note.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read
from napari_wbc_nca.io.results import draw
from napari_wbc_nca.methods.field import Field, Part, fine_part
from napari_wbc_nca.methods.nca.cells import PROJECTIONS
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.ops.growth import convex_pieces, grow_region, stained_mask
from napari_wbc_nca.ops.stain import fit_background, sample_field
from napari_wbc_nca.workflow.segment import segment

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image as Picture

IMAGES = Path(__file__).parents[1] / "images"
MODEL = "wbc-smear"
MAXIMUM = "wbc-types"
STEPS = (0, 4, 12, 20, 32)


def smear(name: str) -> Any:
    """Bundled picture ``(Y, X, 3)``."""
    with as_file(files("napari_wbc_nca") / "samples" / f"{name}.jpg") as path:
        return np.asarray(read(path).pixels)


def panels(titles: list[str], images: list[Any], **shown: Any) -> tuple[Figure, Any]:
    """A row of pictures with titles."""
    figure, axes = plt.subplots(1, len(images), figsize=(3 * len(images), 3), layout="constrained")
    for axis, title, image in zip(axes, titles, images, strict=True):
        axis.imshow(image, **({} if image.ndim == 3 else shown))
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    return figure, axes


def density() -> Figure:
    """Stain normalisation of a field with a strong cast and fall-off."""
    rgb = smear("typed")
    light = fit_background(sample_field(rgb))
    shape = rgb.shape[:2]
    empty = np.exp(light(np.zeros_like(rgb), (0, 0), shape)) - 1
    q = light(rgb, (0, 0), shape)
    titles = ["field", "its empty background", "density (red, green, blue as colours)"]
    return panels(titles, [rgb, np.clip(empty / 255, 0, 1), np.clip(q, 0, 1)])[0]


def first_cell() -> tuple[Any, Field, Part]:
    """Network, field at its scale, and the window of the surest cell of a smear."""
    model, rgb = model_store.resolve(MODEL), smear("smear-1")
    found = segment(rgb, model)
    cell = found.cells.sort_values("confidence").iloc[-1]
    view = Field(rgb, found.provenance["diameter"] / model.diameter, model.normalisation)
    middle = (cell["centroid_y"] / view.factor, cell["centroid_x"] / view.factor)
    return load_network(model, "cpu"), view, view.window(middle, model.window)


def steps() -> Figure:
    """State of a window during the rollout: the channels that vary most in the end."""
    network, view, part = first_cell()
    times = sorted({min(step, network.steps) for step in STEPS})
    origin = torch.tensor([[part[0].start, part[1].start]])
    with torch.inference_mode():
        states = [network.rollout(view.read(part)[None], origin=origin, steps=t)[0] for t in times]
    channels = states[-1][..., 3:].std((0, 1)).argsort(descending=True)[:3] + 3
    low, high = (torch.quantile(states[-1][..., channels], q) for q in (0.01, 0.99))
    images = [((s[..., channels] - low) / (high - low)).clip(0, 1).numpy() for s in states]
    return panels([f"after {t} steps" for t in times], images)[0]


def grown() -> Figure:
    """How a response grows: what it marks, stained matter and its pieces, and what is kept."""
    network, view, part = first_cell()
    fine = view.fine_density()
    around = fine_part(part, fine.shape)
    with torch.inference_mode():
        state = network.rollout(view.read(part)[None])
        coarse = PROJECTIONS["centre"](network, state)[0].numpy()
    response = view.interpolate(coarse, part, fine.factor, around)
    q = fine.read(around).numpy().transpose(1, 2, 0)
    found = convex_pieces(stained_mask(q))
    colours = plt.get_cmap("tab20")(found % 20)[..., :3] * (found > 0)[..., None]
    titles = ["stained matter as colours", "response of centre", "pieces", "what is kept"]
    light = np.clip(np.exp(-q), 0, 1)
    figure, axes = panels(titles, [light, response, colours, light], cmap="magma", vmin=0, vmax=1)
    axes[-1].contour(grow_region(response, q), [0.5], colors="tab:green", linewidths=2)
    return figure


def projections() -> Figure:
    """Response of each projection around one cell, with the outline that it gives."""
    model, rgb = model_store.resolve(MODEL), smear("smear-1")
    found = segment(rgb, model)
    cell = found.cells.sort_values("confidence").iloc[-1]
    middle = cell["centroid_y"], cell["centroid_x"]
    half = found.provenance["diameter"]
    around = tuple(slice(max(0, int(c - half)), int(c + half)) for c in middle)
    place = {"locate": "points", "points": np.array([middle]), "diameter": half, "maps": True}
    results = [segment(rgb, model, projection=name, **place) for name in PROJECTIONS]
    responses = [result.maps["response"][around] for result in results]
    figure, axes = panels(["smear", *PROJECTIONS], [rgb[around], *responses], cmap="magma")
    for axis, result in zip(axes[1:], results, strict=True):
        axis.contour(result.labels["cell"][around] > 0, [0.5], colors="cyan", linewidths=1.5)
    return figure


def relevance() -> Figure:
    """The channels that decided the type of a cell, in a network that takes the maximum."""
    rgb = smear("smear-1")
    found = segment(rgb, MAXIMUM, maps=True)
    cell = found.cells.sort_values("confidence").iloc[-1]
    box = tuple(slice(cell[f"box_{axis}0"], cell[f"box_{axis}1"]) for axis in "yx")
    maps = {
        name.split(": ")[1]: values[box]
        for name, values in found.maps.items()
        if name.startswith(f"cell {cell['label']} ")
    }
    return panels([cell["class"], *maps], [rgb[box], *maps.values()], cmap="magma")[0]


def demo() -> Picture:
    """Overlay that ``napari-wbc-nca demo`` writes."""
    rgb = smear("smear-1")
    return draw(rgb, segment(rgb, MODEL))


def main() -> None:
    """Write all figures."""
    IMAGES.mkdir(exist_ok=True)
    demo().save(IMAGES / "demo_overlay.png")
    made = {
        **{"density": density, "steps": steps, "grown": grown, "projections": projections},
        "relevance": relevance,
    }
    for name, make in made.items():
        if make is not density and MODEL not in model_store.names():
            print(f"{name}: left out, there is no model {MODEL!r}")
            continue
        make().savefig(IMAGES / f"{name}.png", dpi=100, bbox_inches="tight")
        print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
