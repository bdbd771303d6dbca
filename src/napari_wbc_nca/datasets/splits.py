"""Splits of data sets: groups whole, classes in even shares, no picture on two sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.datasets.label_files import read_rows
from napari_wbc_nca.datasets.samples import LabelError, Sample, read_rgb
from napari_wbc_nca.formats.files import SPLITS
from napari_wbc_nca.io._files import NameIndex

NO_VALIDATION = (
    "No picture is held out for validation: every group (slide, patient) is too large a share of "
    "the pictures, or holds most cells of a class. The last epoch is kept instead of the best; "
    "add pictures of other groups, or raise the validation share."
)
"""Note on a share for validation that holds nothing out."""


def assign_splits(
    images: Sequence[Sequence[str]],
    shares: Mapping[str, float],
    split_by: str = "image",
    seed: int = 0,
    table: Path | None = None,
) -> list[str]:
    """Assign images to training, validation and test; to nothing where no share is above 0.

    All images of a group, such as a slide, go to one side. Groups are drawn in random order, until
    a side has its share of the images: scikit-learn's ``GroupShuffleSplit`` counts groups instead.

    Parameters
    ----------
    images
        Names of each image by which a table may list it. Images whose first name is the same, such
        as two layers of one file, are one ``image``.
    shares
        Share of the images by split, ``val`` and ``test``; the rest is for training.
    split_by
        What stays whole: ``image``, or a column of `table`.
    table
        CSV with the columns ``image`` and `split_by`; with a column ``split`` that one decides.

    Raises
    ------
    LabelError
        When the table lacks something, a group stands on two sides, or there are too few groups.
    """
    rows = {} if table is None else {row["image"]: row for _, row in read_rows(table, ["image"])}
    listed: NameIndex[dict[str, str]] = NameIndex(rows)
    decided = any(row.get("split") for row in rows.values())
    if not decided and not any(shares.values()):
        return [""] * len(images)
    groups = [_group(names, listed, split_by, table) for names in images]
    if decided:
        return _splits_of_table(images, groups, listed, split_by, str(table))
    side = _draw_splits(groups, shares, split_by, seed)
    return [side[group] for group in groups]


def _draw_splits(
    groups: Sequence[str], shares: Mapping[str, float], split_by: str, seed: int
) -> dict[str, str]:
    """Split of each group."""
    names, counts = np.unique(np.array(groups, object).astype(str), return_counts=True)
    asked = [name for name, share in shares.items() if share]
    if len(names) <= len(asked) or sum(shares.values()) >= 1:
        raise LabelError(
            f"{len(names)} {split_by if len(names) == 1 else split_by + 's'} cannot be divided "
            f"into {', '.join(['train', *reversed(asked)])} with shares of "
            f"{shares.get('val', 0):g} and {shares.get('test', 0):g}; export more, or ask for "
            "smaller shares"
        )
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    side = dict.fromkeys(names.tolist(), "train")
    for number, name in enumerate(asked):
        left, held = len(asked) - number, 0
        goal = shares[name] * len(groups)
        # Each side keeps a group, training too, however unequal they are.
        while len(order) > left and (not held or held + counts[order[0]] / 2 <= goal):
            group = order.pop(0)
            side[names[group]] = name
            held += counts[group]
    return side


def _row(
    names: Sequence[str], listed: NameIndex[dict[str, str]], table: Path | str
) -> dict[str, str]:
    row = next((row for name in names if (row := listed.get(name))), None)
    if row is None:
        raise LabelError(f"{table} has no row for {names[-1]}; add one, with its name under image")
    return row


def _group(
    names: Sequence[str], listed: NameIndex[dict[str, str]], split_by: str, table: Path | None
) -> str:
    if split_by == "image":
        return names[0]
    if table is None:
        raise LabelError(
            f"images are to be split by {split_by}, but nothing says which {split_by} each is of; "
            f"give a CSV with the columns image and {split_by}"
        )
    if not (group := _row(names, listed, table).get(split_by)):
        raise LabelError(f"{table}: no {split_by} for {names[-1]}; fill the column {split_by}")
    return group


def _splits_of_table(
    images: Sequence[Sequence[str]],
    groups: Sequence[str],
    listed: NameIndex[dict[str, str]],
    split_by: str,
    table: str,
) -> list[str]:
    """Return the splits as the table has them, checked for groups on two sides."""
    found, sides = [], dict[str, str]()
    for names, group in zip(images, groups, strict=True):
        name = _row(names, listed, table).get("split", "").lower()
        if not (side := SPLITS.get(name)):
            raise LabelError(
                f"{table}: {names[-1]} has the split {name!r}; expected one of {', '.join(SPLITS)}"
            )
        if sides.setdefault(group, side) != side:
            raise LabelError(
                f"{table}: {split_by} {group} is in {sides[group]} and in {side}, so that the test "
                "would hold training data; keep it on one side"
            )
        found.append(side)
    return found


def _count_classes(
    groups: Sequence[str], classes: Sequence[Sequence[str]]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the groups, the group of each sample, and ``(groups, classes)`` counts of cells."""
    names, group = np.unique(np.asarray(groups, object), return_inverse=True)
    kinds = sorted({name for some in classes for name in some})
    counts = np.zeros((len(names), len(kinds)))
    for row, some in zip(group, classes, strict=True):
        for name, count in Counter(some).items():
            counts[row, kinds.index(name)] += count
    return names, group, counts


def stratified_folds(
    groups: Sequence[str], classes: Sequence[Sequence[str]], folds: int, seed: int = 0
) -> npt.NDArray[np.intp]:
    """Assign samples to folds, so that groups stay whole and classes have even shares.

    `groups` holds the group of each sample, such as its slide, `classes` those of its cells.
    Groups are taken in turn, those that hold the largest share of some class first, equals in
    random order. Each goes to the fold that keeps the sum of the squared shares smallest.
    scikit-learn's ``StratifiedGroupKFold`` takes one class a sample; these have many. ValueError
    where there are fewer groups than folds.
    """
    names, group, counts = _count_classes(groups, classes)
    if len(names) < folds:
        raise ValueError(
            f"{len(names)} groups cannot make {folds} folds; ask for fewer folds, or for a group "
            "that divides the samples further"
        )
    share = counts / counts.sum(axis=0)
    fold, sizes = np.zeros(len(names), np.intp), [0] * folds
    held = np.zeros((folds, counts.shape[1]))
    order = np.random.default_rng(seed).permutation(len(names))
    for item in order[np.argsort(-share[order].max(axis=1, initial=0), kind="stable")]:
        # What the fold's squared shares grow by, apart from a term that is the same for all.
        growth = held @ share[item]
        chosen = int(np.lexsort((sizes, growth))[0])
        fold[item] = chosen
        held[chosen] += share[item]
        sizes[chosen] += 1
    return fold[group]


def group_of(sample: Sample) -> str:
    """Return the group a sample belongs to, by its data set; else its picture."""
    return f"{sample.source}/{sample.group or sample.path}"


def hold_out_groups(
    groups: Sequence[str], classes: Sequence[Sequence[str]], share: float, seed: int = 0
) -> npt.NDArray[np.bool_]:
    """Choose whole groups for validation, so that every class keeps half of its cells.

    Groups are tried in a random order in which those of each class are spread evenly, and held
    out while at most a `share` of 0–1 of the samples are: ``(N,)`` bool, True of those.
    scikit-learn's splitters take one class a sample and do not keep the classes of those that are
    left. Parameters as in :func:`stratified_folds`.

    Examples
    --------
    >>> int(hold_out_groups(["a", "b", "b", "c"], [["wbc"]] * 4, 0.5).sum()) <= 2
    True
    """
    names, group, counts = _count_classes(groups, classes)
    counts = np.column_stack([counts, ~counts.any(axis=1)])  # the last: groups without cells
    own = np.where(counts > 0, (counts > 0).sum(axis=0), np.inf).argmin(axis=1)  # rarest class
    order = np.random.default_rng(seed).permutation(len(names))
    rank = [(own[order[:n]] == own[item]).sum() for n, item in enumerate(order)]
    spread = (np.asarray(rank) + 0.5) / np.bincount(own)[own[order]] if len(order) else order
    room, left = share * len(groups), counts.sum(axis=0)
    half, sizes, held = left / 2, np.bincount(group), np.zeros(len(names), bool)
    half[-1] = 0
    for item in order[np.argsort(spread, kind="stable")]:
        if sizes[item] <= room and (left - counts[item] >= half)[counts[item] > 0].all():
            held[item] = True
            room -= sizes[item]
            left = left - counts[item]
    return held[group] if len(names) else np.zeros(0, bool)


def find_duplicates(
    first: Sequence[Path], second: Sequence[Path], size: int = 32, min_correlation: float = 0.95
) -> list[tuple[Path, Path]]:
    """Find pairs of files that show the same picture, at any size and compression.

    Both are shrunk to ``size × size`` grey pixels; pairs whose Pearson correlation is at least
    `min_correlation` are the same. Unrelated smears stay below 0.7, copies of one picture reach
    0.99. Turned, mirrored or shifted copies are not found. Pairs are in the order of `first`, then
    of `second`.
    """
    if not first or not second:
        return []
    correlation = _grey_vectors(first, size) @ _grey_vectors(second, size).T
    return [
        (first[row], second[column]) for row, column in np.argwhere(correlation >= min_correlation)
    ]


def _grey_vectors(paths: Sequence[Path], size: int) -> npt.NDArray[np.float32]:
    """Return ``(len(paths), size²)`` grey values of mean 0 and norm 1; a flat picture is all 0."""
    grey = np.stack([shrink_to_grey(path, size) for path in paths]).reshape(len(paths), -1)
    grey -= grey.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(grey, axis=1, keepdims=True)
    grey /= np.where(norm > 0, norm, 1)
    return grey


def shrink_to_grey(path: Path, size: int) -> npt.NDArray[np.float32]:
    """Average a picture over ``size × size`` areas, in grey; LabelError where it is none."""
    from PIL import Image

    if path.suffix.lower() not in (".jpg", ".jpeg"):
        grey = Image.fromarray(read_rgb(path)).convert("L")
        return np.asarray(grey.resize((size, size), Image.Resampling.BOX), np.float32)
    try:
        with Image.open(path) as picture:
            picture.draft("L", (4 * size, 4 * size))  # decodes at a fraction of its size
            grey = picture.convert("L").resize((size, size), Image.Resampling.BOX)
    except OSError as error:
        raise LabelError(f"{path} cannot be read as a picture: {error}") from error
    return np.asarray(grey, dtype=np.float32)
