"""Settings of the journal: whether corrections are written, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtWidgets import QCheckBox, QWidget

from napari_wbc_nca.project.settings import load_settings, save_settings
from napari_wbc_nca.widgets.layout import add_row, choice_box, form_layout, with_tip
from napari_wbc_nca.widgets.worker import report

PLACES = ("beside the image", "in my own folder")
"""Where a new project lies: what :attr:`JournalSettings.beside` is true for, and the other."""


class JournalForm(QWidget):
    """Shows the settings of the journal, and keeps what is changed for all later sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = with_tip(
            QCheckBox("on"),
            "Write each correction to disk as it is made, so that it can be undone and restored",
        )
        self.place = choice_box(PLACES, "Where the project of an image that has none yet is kept")
        form = form_layout(self)
        add_row(form, "Journal", self.keep)
        add_row(form, "Projects", self.place)
        self.show_settings()
        self.keep.toggled.connect(lambda on: change_settings(keep=on))
        self.place.currentIndexChanged.connect(lambda n: change_settings(beside=n == 0))

    def show_settings(self) -> None:
        """Show the settings as they are kept."""
        settings = load_settings()
        self.keep.setChecked(settings.keep)
        self.place.setCurrentText(PLACES[0 if settings.beside else 1])


def change_settings(**values: Any) -> None:
    """Keep other values of the settings; say it where they cannot be written."""
    settings = load_settings()
    changed = replace(settings, **values)
    try:
        if changed != settings:
            save_settings(changed)
    except (ValueError, OSError) as error:
        report(error)
