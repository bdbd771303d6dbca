"""Update the cells of a run after a change of their centroids."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_wbc_nca.widgets.result_layers import (
    Numbers,
    cells_table,
    number_cells,
    positions,
    renumber,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Segmentation
    from napari_wbc_nca.widgets.planes import Index
    from napari_wbc_nca.widgets.segment_run import Request

    Positions = npt.NDArray[np.float64]
    Rows = dict[tuple[float, ...], list[int]]
    Changes = Mapping[Index, tuple[Positions, list[int]]]

_DIGITS = 3
"""Places behind the point up to which two positions in pixels are the same."""


@dataclass(frozen=True, eq=False)
class PlaneInstances:
    """Segmentations by plane, as computed, and the integers of their cells in the layers.

    The arrays of `done` are not those of the layers; `numbers` are label to integer by plane.
    """

    request: Request
    checkpoint: Checkpoint
    done: Mapping[Index, Segmentation]
    numbers: Mapping[Index, Numbers]

    def table(self) -> pd.DataFrame:
        """Return the table of all cells, with their integers in the layers."""
        return cells_table(self.request, self.done, self.numbers)

    def labels(self, index: Index, name: str) -> npt.NDArray[np.uint32]:
        """Return the label image of a plane, with the integers of the layers."""
        return renumber(self.done[index].labels[name], self.numbers[index])

    def changes(self, rows: Positions) -> Changes:
        """Return the changes by plane that make the centroids `rows`; none where they are.

        They are centroids ``(N, 2)`` y, x in pixels that are new, and labels of the plane's cells
        that are gone. Rows ``(N, lead + 2)`` on planes that were not segmented are ignored.
        """
        now, table = _by_plane(self.request, rows), self.table()
        before = _by_plane(self.request, positions(self.request, table))
        labels = {number: label for own in self.numbers.values() for label, number in own.items()}
        found = {}
        for index in self.done:
            rows_now, places = now.get(index, {}), before.get(index, {})
            gone, new = _more(places, rows_now), _more(rows_now, places)
            if gone or new:
                removed = [labels[int(number)] for number in table["index"].iloc[gone]]
                found[index] = (rows[new, -2:].reshape(-1, 2), sorted(removed))
        return found

    def updated(self, changes: Changes, highest: int) -> Generator[Progress, None, PlaneInstances]:
        """Compute the instances after `changes`; runs in a thread.

        Cells that stay keep their integers; new ones get integers above `highest`.
        """
        from napari_wbc_nca.workflow import segment

        done, kept = dict(self.done), {index: dict(own) for index, own in self.numbers.items()}
        for index, (added, removed) in changes.items():
            image, params = self.request.source.image(index), self.request.params
            done[index] = yield from segment.update(
                done[index], image, self.checkpoint, params, added, removed
            )
            kept[index] = {la: no for la, no in kept[index].items() if la not in removed}
        return replace(self, done=done, numbers=number_cells(self.request, done, kept, highest))


def instances_of(
    request: Request, checkpoint: Checkpoint, done: Mapping[Index, Segmentation]
) -> PlaneInstances:
    """Copy the instances of a run, so that edits of its layers do not change them."""
    copies = {
        index: replace(found, labels={n: np.array(plane) for n, plane in found.labels.items()})
        for index, found in done.items()
    }
    return PlaneInstances(request, checkpoint, copies, number_cells(request, done))


def removed_numbers(before: PlaneInstances, after: PlaneInstances) -> list[int]:
    """List the integers in the layers whose cells were removed."""
    now = {number for own in after.numbers.values() for number in own.values()}
    return [no for own in before.numbers.values() for no in own.values() if no not in now]


def merge_features(
    features: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame
) -> pd.DataFrame:
    """Replace the rows of cells that changed from `before` to `after`; all others stay.

    People may have edited `features` and added columns and rows; what only these columns say of a
    changed cell stays. Cells are identified by ``index``.
    """
    old, new = before.set_index("index"), after.set_index("index")
    same = [n for n in new.index.intersection(old.index) if new.loc[n].equals(old.loc[n])]
    computed = features["index"].isin(old.index.union(new.index))
    kept = features[features["index"].isin(same) | ~computed]
    own = [name for name in features if name == "index" or name not in after]
    rows = after[~after["index"].isin(kept["index"])].merge(features[own], "left", "index")
    both = pd.concat([kept, rows], ignore_index=True) if len(kept) else rows
    return both.sort_values("index", ignore_index=True)


def _more(those: Rows, these: Rows) -> list[int]:
    """List the rows at positions where there are more of `those` than of `these`."""
    return [row for at, rows in those.items() for row in rows[len(these.get(at, ())) :]]


def _by_plane(request: Request, rows: Positions) -> dict[Index, Rows]:
    """Return the numbers of the rows at each position of each plane."""
    found: dict[Index, Rows] = {}
    for number, row in enumerate(rows):
        lead = tuple(int(at) for at in np.round(row[:-2]))
        index = request.planes[0] if len(request.planes) == 1 else lead
        at = tuple(np.round(row[-2:], _DIGITS).tolist())
        found.setdefault(index, {}).setdefault(at, []).append(number)
    return found
