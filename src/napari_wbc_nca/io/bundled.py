"""Real smears that come with the program; their origin and licence stand beside them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

SAMPLES = {
    "smear-1": "Blood smear with a neutrophil",
    "smear-2": "Blood smear of another laboratory",
    "typed": "Smear with an eosinophil and a neutrophil, low-cost microscope",
}
"""Name and title of each bundled image."""


def sample_path(name: str) -> Path:
    """File of the bundled image called `name`.

    Raises
    ------
    ValueError
        When there is none, with the names there are.

    Examples
    --------
    >>> sample_path("smear-1").name
    'smear-1.jpg'
    """
    if name not in SAMPLES:
        raise ValueError(f"unknown sample {name!r}; known are {', '.join(SAMPLES)}")
    return Path(str(files("napari_wbc_nca") / "samples" / f"{name}.jpg"))
