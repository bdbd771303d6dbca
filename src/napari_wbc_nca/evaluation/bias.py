"""Check where in an image an automaton finds what its types are decided by."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.evaluation.cells import predict
from napari_wbc_nca.evaluation.report import Report, markdown
from napari_wbc_nca.io.images import read
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.nca.cell_features import as_run
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.models.lrp import relevance
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.params import as_dict
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_wbc_nca.evaluation.ground_truth import EvaluationImage
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.types import Checkpoint

PARTS = ("nucleus", "cytoplasm", "background")
FLAGGED = 1.0
"""Share of a channel's relevance in the background over the background's share of the area, from
which on the channel looks at the background."""
_LEAST = 0.02  # share of all relevance that a channel has to be named
_EPSILON = 1e-6


@dataclass(frozen=True, eq=False)
class BiasReport(Report):
    """Where the relevance for the types of cells lies.

    Attributes
    ----------
    channels
        A row a class and channel: its share of the relevance for the class, the shares of that in
        nucleus, cytoplasm and background, and ``ratio``, that in the background over the
        background's share of the windows.
    classes
        The same of all channels together, a row a class.
    """

    stem: ClassVar[str] = "bias"

    channels: pd.DataFrame
    classes: pd.DataFrame
    provenance: dict[str, Any]

    def named(self) -> list[int]:
        """Return the channels that look at the background, for any class."""
        some = self.channels[self.channels["relevance"] >= _LEAST]
        return sorted(set(some.loc[some["ratio"] >= FLAGGED, "channel"].tolist()))

    @property
    def biased(self) -> bool:
        """Whether the relevance for any class lies in the background more than by its area."""
        return bool((self.classes["ratio"] >= FLAGGED).any())

    def headline(self) -> str:
        """Return whether the model looks at the background, and by which channels."""
        channels = ", ".join(map(str, self.named())) or "none"
        verdict = "looks" if self.biased else "does not look"
        name = self.provenance["model"]
        return f"{name} {verdict} at the background; channels that do: {channels}"

    def text(self) -> str:
        """Return the verdict and the table of classes as Markdown."""
        return self.join(self.provenance["model"], [self.headline(), markdown(self.classes)])

    def figures(self) -> dict[str, Figure]:
        """Plot the shares of nucleus, cytoplasm and background, a bar a class."""
        from matplotlib.figure import Figure as NewFigure

        figure = NewFigure(figsize=(6, 0.5 * len(self.classes) + 1.2))
        axes, left = figure.subplots(), np.zeros(len(self.classes))
        for part, colour in zip(PARTS, ("#5b2a86", "#c8a2d8", "#bbbbbb"), strict=True):
            values = self.classes[part].to_numpy(float)
            axes.barh(self.classes["class"], values, left=left, label=part, color=colour)
            left = left + values
        axes.set_xlabel("share of the relevance")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=3, frameon=False)
        return {"bias": figure}


def check_bias(
    checkpoint: Checkpoint, images: Sequence[EvaluationImage], settings: NcaParams
) -> Generator[Progress, None, BiasReport]:
    """Measure in which part of a cell's window the relevance for its type lies.

    Nucleus and cytoplasm are those that the model itself segments. The relevance of each pooled
    feature for the likeliest type (LRP) is divided among the pixels by what they contribute to
    it, and its absolute values are summed by channel and part.

    Raises
    ------
    ValueError
        For a model that is no automaton, or images in which it finds no cell.
    """
    network = load_network(checkpoint, settings.device)
    if not isinstance(network, NCA):
        raise ValueError(
            f"{checkpoint.name} is no automaton, whose channels could be looked at; give "
            "wbc-smear, wbc-types or one that was trained from them"
        )
    sums: dict[str, npt.NDArray[np.float64]] = {}
    areas: dict[str, list[float]] = {}
    for done, image in enumerate(images, start=1):
        own = image.sample.pixels
        picture = read(image.sample.path) if own is None else Image(own, image.name)
        chosen = _settings(settings, image)
        found = yield from predict(picture, checkpoint, chosen)
        _, field = open_field(picture, as_run(checkpoint, chosen))
        view = field.rescaled(found.provenance["diameter"] / checkpoint.diameter)
        for row in found.cells.to_dict("records"):
            if row["class"] == NONE:
                continue
            middle = ((row["box_y0"] + row["box_y1"]) / 2, (row["box_x0"] + row["box_x1"]) / 2)
            part = view.window(view.from_image(middle), checkpoint.window)
            masks = [
                view.sample_labels(np.asarray(found.labels[name]), part) == row["label"]
                for name in ("cell", "nucleus")
            ]
            origin = torch.tensor([[part[0].start, part[1].start]])
            pixels = view.read(part)[None].to(next(network.parameters()).device)
            with torch.inference_mode():
                state = network.rollout(pixels, settings.seed, origin)
                target = checkpoint.classes.index(row["class"])
                shares = relevance_by_part(network, state[0], target, *masks)
            name = str(row["class"])
            sums[name] = sums.get(name, np.zeros_like(shares)) + shares / max(shares.sum(), 1e-12)
            areas.setdefault(name, []).append(float((~masks[0]).mean()))
        yield Progress(done, len(images), f"looked at {image.name}")
    if not sums:
        raise ValueError(f"{checkpoint.name} finds no cell in these images; give others")
    record = {"model": checkpoint.name, "sha256": checkpoint.sha256, **as_dict(settings)}
    return BiasReport(*_tables(sums, areas), {**record, "images": len(images)})


def _settings(settings: NcaParams, image: EvaluationImage) -> NcaParams:
    return replace(settings, locate="whole") if image.whole else settings


def relevance_by_part(
    network: NCA,
    state: torch.Tensor,
    target: int,
    cell: npt.NDArray[np.bool_],
    nucleus: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Sum the absolute relevance of each channel in nucleus, cytoplasm and background.

    Parameters
    ----------
    network, state
        Automaton, and last state ``(h, w, C)`` of a window.
    target
        Number of the class.
    cell, nucleus
        ``(h, w)`` masks.

    Returns
    -------
    ndarray
        ``(C, 3)``
    """
    layers = (network.fc2, network.fc3)
    weights = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    pooled = network.pooled(state[None])
    scores = relevance(pooled, *weights, target=target, epsilon=_EPSILON)[0].abs()
    shares = pixel_shares(network, state)
    dark = torch.from_numpy(nucleus & cell).to(shares)
    whole = torch.from_numpy(cell).to(shares)
    masks = torch.stack([dark, whole - dark, 1 - whole]).flatten(1)  # (3, h w)
    by_feature = scores[:, None] * (shares.flatten(1) @ masks.T)
    found = by_feature.view(-1, network.channels, 3).sum(0)
    return cast("npt.NDArray[np.float64]", found.cpu().double().numpy())


def pixel_shares(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Return the share ``(F, h, w)`` of each pixel of a ``(h, w, C)`` state in pooled features.

    A mean is divided by the absolute values that are averaged, a spread by the squared distances
    from the mean; a maximum is that of its pixel.
    """
    height, width, channels = state.shape
    flat = state.reshape(-1, channels)  # (h w, C)
    highest = torch.nn.functional.one_hot(flat.argmax(0), len(flat)).T.to(flat)
    plain = flat.abs()
    values = {"mean": [plain], "max": [highest], "mean_max": [plain, highest]}.get(network.pool)
    if values is None:
        cell, dark = network.readout(state[None]).sigmoid().reshape(len(flat), -1).T[:2]
        cell = cell**2
        inside = (cell / (cell.sum() + 1e-6))[:, None]
        spread = inside * (flat - (flat * inside).sum(0)) ** 2
        weights = (cell, dark, cell * (1 - dark))
        own, nucleus, pale = (plain * weight[:, None] for weight in weights)
        values = [plain, highest, own, spread, nucleus, pale]
    shares = [value / value.sum(0).clamp(min=1e-12) for value in values]
    return torch.cat(shares, 1).T.reshape(-1, height, width)


def _tables(
    sums: dict[str, npt.NDArray[np.float64]], areas: dict[str, list[float]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    channels, classes = [], []
    for name, table in sums.items():
        background = float(np.mean(areas[name]))
        for number, row in enumerate(table):
            known = {"class": name, "channel": number, "relevance": row.sum() / table.sum()}
            channels.append(known | _shares(row, background))
        counted = {"class": name, "cells": len(areas[name])}
        classes.append(counted | _shares(table.sum(0), background))
    by_relevance = pd.DataFrame(channels).sort_values(
        ["class", "relevance"], ascending=[True, False], ignore_index=True
    )
    return by_relevance, pd.DataFrame(classes)


def _shares(row: npt.NDArray[np.float64], background: float) -> dict[str, float]:
    shares = row / max(row.sum(), 1e-12)
    ratio = shares[2] / max(background, 1e-12)
    return {**dict(zip(PARTS, shares.tolist(), strict=True)), "ratio": float(ratio)}
