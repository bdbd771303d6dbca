"""Curves of the losses, drawn while a training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from napari.settings import get_settings
from napari.utils.theme import get_theme

SHOWN = {"loss": "training", "validation_loss": "validation"}
"""Figures of an epoch that are drawn, and what they are called."""
_HEIGHT = 170
"""In pixels."""


class LossCurves(FigureCanvasQTAgg):
    """Losses by epoch, of training and of validation."""

    def __init__(self) -> None:
        super().__init__(Figure(layout="constrained"))  # type: ignore[no-untyped-call]
        self.setMinimumHeight(_HEIGHT)
        self.setMinimumWidth(1)
        self.setAccessibleName("Losses by epoch")
        self.setToolTip("Losses by epoch; validation: on pictures that the model is not trained on")
        self.values: dict[str, tuple[list[int], list[float]]] = {}
        self.start()

    def start(self) -> None:
        """Begin with empty axes."""
        self.values = {name: ([], []) for name in SHOWN}
        self._draw()

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Draw the figures of an epoch."""
        for name, (epochs, losses) in self.values.items():
            if name in values:
                epochs.append(epoch)
                losses.append(values[name])
        self._draw()

    def _draw(self) -> None:
        self.figure.clear()
        colours = theme_colours()
        self.figure.set_facecolor(colours["axes.facecolor"])
        with rc_context(colours):
            axes = self.figure.add_subplot(xlabel="epoch", ylabel="loss")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            for name, (epochs, losses) in self.values.items():
                if epochs:
                    axes.plot(epochs, losses, marker="o", markersize=3, label=SHOWN[name])
            if axes.lines:
                axes.legend(fontsize="small")
        self.draw_idle()  # type: ignore[no-untyped-call]


def theme_colours() -> dict[Any, str]:
    """Settings of matplotlib that draw in the colours of napari's theme."""
    theme = get_theme(get_settings().appearance.theme)
    ground, text = theme.background.as_hex(), theme.text.as_hex()
    lines = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    return {"axes.facecolor": ground, **dict.fromkeys(lines, text)}
