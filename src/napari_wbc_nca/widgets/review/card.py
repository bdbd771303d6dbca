"""Card of the selected cell: crop, probabilities, doubt and its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.ops.doubt import reasons, scale_by_temperature
from napari_wbc_nca.widgets.layout import text_label

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.widgets.review.crops import CropSource
    from napari_wbc_nca.widgets.review.model import ReviewModel

SIZE = 112
"""Screen pixels of the crop."""
BARS = 3
"""Types whose probabilities are shown, the likeliest first."""


class CellCard(QWidget):
    """What is known of the selected cell."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.picture = QLabel(alignment=Qt.AlignmentFlag.AlignTop)
        self.picture.setFixedWidth(SIZE)
        self.text = text_label()
        self.bars = [ProbabilityBar() for _ in range(BARS)]
        stack = QVBoxLayout()
        stack.setSpacing(2)
        for bar in self.bars:
            stack.addWidget(bar)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture, 0, 0, 2, 1)
        layout.addWidget(self.text, 0, 1)
        layout.addLayout(stack, 1, 1)
        layout.setColumnStretch(1, 1)
        self.setMinimumHeight(SIZE + 40)  # most cells' texts, so that the gallery stays in place
        self._model: ReviewModel | None = None
        self._crops: CropSource | None = None
        self._update()

    def show_cells(self, model: ReviewModel | None, crops: CropSource | None) -> None:
        """Show the selected cell of a model."""
        self._model, self._crops = model, crops
        if model is not None:
            model.changed.connect(self._update)
            model.cells_changed.connect(self._update)
            model.selection_changed.connect(self._update)
        self._update()

    def _update(self, labels: object = None) -> None:
        shown: list[tuple[str, float]] = []
        if self._model is None or self._crops is None or not self._model.selection:
            self.picture.clear()
            self.text.setText("No cell is selected.")
        else:
            shown = self._show_cell(self._model, self._crops)
        for number, bar in enumerate(self.bars):
            bar.setVisible(number < len(shown))

    def _show_cell(self, model: ReviewModel, crops: CropSource) -> list[tuple[str, float]]:
        """Show the selected cell or place; return the probabilities that bars show."""
        label = model.selection[0]
        cell = model.cell(label)
        self.picture.setPixmap(crops.pixmap(label, cell, SIZE, outline=label > 0))
        if label < 0:
            self.text.setText(describe_place(cell))
            return []
        self.text.setText(describe_cell(label, cell, len(model.selection)))
        known = model.colours()
        shown = probabilities(cell, model.temperature)[:BARS]
        for bar, (name, probability) in zip(self.bars, shown, strict=False):
            bar.show_probability(name, probability, known.get(name, "#a8a8a8"))
        return shown


class ProbabilityBar(QProgressBar):
    """Bar of the probability of a type, in the colour of the type."""

    def __init__(self) -> None:
        super().__init__()
        self.setRange(0, 1000)
        self.setFixedHeight(16)
        self._colour = ""

    def show_probability(self, name: str, probability: float, colour: str) -> None:
        """Show a type, its probability in 0–1, and its colour ``#rrggbb``."""
        self.setValue(round(1000 * probability))
        self.setFormat(f"{name} {probability:.2f}")
        if colour != self._colour:  # reading a style sheet takes long
            self._colour = colour
            faint = f"#90{colour[1:]}"  # so that the text is readable on yellow too
            self.setStyleSheet(f"QProgressBar::chunk {{ background-color: {faint}; }}")


def describe_cell(label: int, cell: pd.Series, selected: int = 1) -> str:
    """Describe a cell in rich text: type, status, size, and the reasons of its doubt."""
    lines = [f"<b>Cell {label}: {cell['type']}</b>"]
    if selected > 1:
        lines[0] += f" and {selected - 1} more"
    who = f" by {cell['reviewer']}" if cell.get("reviewer") else ""
    lines.append(f"{cell['status']}{who}")
    area = cell.get("area_um2")
    known = area is not None and area == area
    size = f"{area:.0f} µm²" if known else f"{cell['area_px']:.0f} px"
    ratio = cell.get("nc_ratio")
    lines.append(size + (f", N:C {ratio:.2f}" if ratio is not None and ratio == ratio else ""))
    why = reasons(cell.to_dict())
    lines.append(f"Doubt {cell['doubt']:.2f}" + (":" if why else ""))
    lines += [f"· {reason} ({added:.2f})" for reason, added in why]
    return "<br>".join(lines)


def describe_place(place: pd.Series) -> str:
    """Describe a place where a cell is likely missed in rich text."""
    lines = ["<b>Likely missed cell</b>", f"Doubt {place['doubt']:.2f}: {place['reason']}"]
    return "<br>".join([*lines, "Enter adds the cell, Space or D dismisses the place."])


def probabilities(cell: pd.Series, temperature: float = 1.0) -> list[tuple[str, float]]:
    """List types with their calibrated probabilities, the likeliest first."""
    found = {str(n)[2:]: float(cell[n]) for n in cell.index if str(n).startswith("p_")}
    known = {n: p for n, p in found.items() if n != NONE and p == p}
    (shares,) = scale_by_temperature(np.array([list(known.values())]), temperature).tolist()
    return sorted(zip(known, shares, strict=True), key=lambda item: -item[1])
