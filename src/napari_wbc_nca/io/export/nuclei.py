"""The nuclei that belong to corrected cells; free of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.samples import NONE, canonical

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.io.export.items import Item


def nuclei(one: Item) -> npt.NDArray[Any] | None:
    """Nuclei with the integers of the cells they lie in, whatever became of these since.

    None where a white cell has no nucleus: it was drawn later, and would be taken for one without.
    """
    if one.nucleus is None:
        return None
    found = np.where(one.nucleus > 0, one.labels, 0)
    white = [label for label, name in one.classes().items() if canonical(name) != NONE]
    return found if np.isin(white, found).all() else None
