"""Pictures of an evaluation, drawn without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    from napari_wbc_nca.evaluation.cases import MeasuredCell
    from napari_wbc_nca.evaluation.evaluate import Evaluation

TRUE, PREDICTED, OTHER = "black", "#39ff14", "#00b7ff"
"""Outlines that stand out from pink, violet and yellow stains."""


def draw(measured: Evaluation, folder: Path) -> None:
    """Write the pictures of an evaluation into `folder`."""
    save(scores(measured.cells), folder / "scores.png")
    for projection, table in measured.confusion.groupby("projection"):
        counts = table.set_index("true").drop(columns="projection")
        save(confusion(counts), folder / f"confusion_{projection}.png")
    for projection, cases in measured.worst.items():
        if cases:
            save(montage(cases), folder / f"worst_{projection}.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, and beside it as SVG."""
    figure.savefig(path, dpi=120, bbox_inches="tight")
    figure.savefig(path.with_suffix(".svg"), bbox_inches="tight")


def scores(cells: pd.DataFrame) -> Figure:
    """Share of the true cells whose IoU is at least x, a curve each projection and score."""
    figure = Figure(figsize=(5, 4))
    axes = figure.add_subplot(
        xlabel="IoU", ylabel="Share of cells with at least this IoU", xlim=(0, 1), ylim=(0, 1.02)
    )
    for projection, part in cells[cells["cell"] > 0].groupby("projection", sort=False):
        for name in ("cell_iou", "nucleus_iou", "box_iou"):
            values = np.sort(part[name].dropna())
            if values.size:
                share = 1 - np.arange(values.size) / values.size
                label = f"{name.removesuffix('_iou')}, {projection}: mean {values.mean():.3f}"
                axes.step([0, *values], [1, *share], where="pre", label=label)
    if axes.lines:
        axes.legend(loc="lower left", fontsize="small")
    return figure


def confusion(counts: pd.DataFrame) -> Figure:
    """Counts as numbers, each row's share as its shade; true classes in rows."""
    share = counts.div(counts.sum(axis="columns").clip(lower=1), axis="index")
    labels = counts.map(str).to_numpy()
    figure = heatmap(share, labels)
    figure.axes[0].set(xlabel="predicted", ylabel="true")
    return figure


def transfer(mean: pd.DataFrame, sd: pd.DataFrame) -> Figure:
    """Mean and standard deviation of each pair of training set (row) and test set (column)."""
    labels = mean.map("{:.3f}".format) + "\n± " + sd.map("{:.3f}".format)
    figure = heatmap(mean, labels.to_numpy())
    figure.axes[0].set(xlabel="tested on", ylabel="trained on")
    return figure


def heatmap(values: pd.DataFrame, labels: npt.NDArray[np.object_]) -> Figure:
    """Table of `values`, 0–1, as shades with `labels` written on them."""
    shades = values.to_numpy(float)
    rows, columns = shades.shape
    figure = Figure(figsize=(1.5 + 0.9 * columns, 1 + 0.6 * rows))
    axes = figure.add_subplot()
    axes.imshow(shades, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(columns), values.columns, rotation=45, ha="right")
    axes.set_yticks(range(rows), values.index)
    for (row, column), label in np.ndenumerate(labels):
        colour = "white" if shades[row, column] > 0.6 else "black"
        axes.text(column, row, label, ha="center", va="center", color=colour)
    return figure


def montage(cases: Sequence[MeasuredCell], columns: int = 4) -> Figure:
    """Cells with the outline of the truth (black) and of the prediction (green)."""
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.7 * rows), layout="constrained")
    for position, case in enumerate(cases, start=1):
        axes = figure.add_subplot(rows, columns, position)
        axes.set_title(case.title, fontsize="x-small")
        axes.set_axis_off()
        axes.imshow(case.rgb)
        _outline(axes, case.true, TRUE)
        _outline(axes, case.predicted, PREDICTED)
    return figure


def disagreements(pairs: Sequence[tuple[MeasuredCell, MeasuredCell]], columns: int = 4) -> Figure:
    """Cells with the outlines of the truth (black), one model (green) and the other (blue)."""
    rows = max(1, -(-len(pairs) // columns))
    figure = Figure(figsize=(2.4 * columns, 2.7 * rows), layout="constrained")
    for position, (first, second) in enumerate(pairs, start=1):
        axes = figure.add_subplot(rows, columns, position)
        axes.set_title(f"{first.title}\n{second.score:.2f} the other", fontsize="x-small")
        axes.set_axis_off()
        for case, colour in ((first, PREDICTED), (second, OTHER)):
            y, x = case.corner
            height, width = case.true.shape
            axes.imshow(case.rgb, extent=(x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5))
            _outline(axes, case.predicted, colour, case.corner)
        _outline(axes, first.true, TRUE, first.corner)
        axes.autoscale()
    return figure


def _outline(
    axes: Axes, mask: npt.NDArray[np.bool_], colour: str, corner: tuple[int, int] = (0, 0)
) -> None:
    if mask.any():
        # Padded, so that an outline closes where a cell touches the border.
        y, x = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
        y, x = y + corner[0], x + corner[1]
        axes.contour(x, y, np.pad(mask, 1).astype(float), levels=[0.5], colors=colour, linewidths=1)
