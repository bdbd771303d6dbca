"""Training, validation and test: which image goes where, without leakage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_wbc_nca.formats.items import ExportError, Item

if TYPE_CHECKING:
    from napari_wbc_nca.formats.params import ExportParams

SPLITS = ("train", "val", "test")
_SYNONYMS = {"training": "train", "valid": "val", "validation": "val"}


def split(items: Sequence[Item], params: ExportParams, table: Path | None = None) -> list[Item]:
    """Items with their splits; as they are where no shares and no splits were given.

    All images of a slide or patient go to one side. Groups are drawn in random order, until a
    side has its share of the images.

    Parameters
    ----------
    items
        Images.
    params
        Shares, what stays whole, and the seed.
    table
        CSV with the columns ``image`` and ``slide`` or ``patient``; with a column ``split``
        that one decides.

    Raises
    ------
    ExportError
        When the table lacks something, a group stands on two sides, or there are too few groups.
    """
    rows = {} if table is None else _read(table)
    if any("split" in row for row in rows.values()):
        return _given(items, rows, params.split_by, table)
    shares = {"test": params.test, "val": params.validation}
    if not any(shares.values()):
        return list(items)
    groups = [_group(one, rows, params.split_by, table) for one in items]
    side = _drawn(groups, shares, params)
    return [replace(one, split=side[group]) for one, group in zip(items, groups, strict=True)]


def _drawn(
    groups: Sequence[str], shares: Mapping[str, float], params: ExportParams
) -> dict[str, str]:
    names, counts = np.unique(np.array(groups, object).astype(str), return_counts=True)
    wanted = [name for name, share in shares.items() if share]
    if len(names) <= len(wanted) or sum(shares.values()) >= 1:
        raise ExportError(
            f"{len(names)} {_plural(params.split_by, len(names))} cannot be divided into "
            f"{', '.join(['train', *reversed(wanted)])} with shares of {params.validation:g} and "
            f"{params.test:g}; export more, or ask for smaller shares"
        )
    order = np.random.default_rng(params.seed).permutation(len(names)).tolist()
    side = dict.fromkeys(names.tolist(), "train")
    for number, name in enumerate(wanted):
        left, held = len(wanted) - number, 0
        goal = shares[name] * len(groups)
        # Each side keeps a group, training too, however unequal they are.
        while len(order) > left and (not held or held + counts[order[0]] / 2 <= goal):
            group = order.pop(0)
            side[names[group]] = name
            held += counts[group]
    return side


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else f"{kind}s"


def _read(table: Path) -> dict[str, dict[str, str]]:
    """Rows by image name and by its stem, columns in lower case."""
    try:
        found = pd.read_csv(table, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise ExportError(f"{table} cannot be read: {error}; expected a CSV") from error
    found.columns = [str(name).strip().lower() for name in found.columns]
    if "image" not in found:
        raise ExportError(f"{table}: no column image; found {', '.join(found.columns)}")
    rows = {}
    for record in found.to_dict("records"):
        row = {str(key): str(value).strip() for key, value in record.items() if pd.notna(value)}
        if name := row.get("image"):
            rows[name] = rows[Path(name).stem] = row
    return rows


def _row(one: Item, rows: Mapping[str, dict[str, str]], table: Path | None) -> dict[str, str]:
    source = Path(str(one.record.get("source") or one.name))
    for name in (one.name, source.name, source.stem, one.record.get("title")):
        if name in rows:
            return rows[str(name)]
    raise ExportError(f"{table} has no row for {one.name}; add one, with its name under image")


def _group(one: Item, rows: Mapping[str, dict[str, str]], kind: str, table: Path | None) -> str:
    if kind == "image":
        return str(one.record.get("source") or one.name)  # two layers of an image stay together
    if table is None:
        raise ExportError(
            f"images are to be split by {kind}, but nothing says which {kind} each is of; give a "
            f"CSV with the columns image and {kind}"
        )
    found = _row(one, rows, table).get(kind)
    if not found:
        raise ExportError(f"{table}: no {kind} for {one.name}; fill the column {kind}")
    return found


def _given(
    items: Sequence[Item], rows: Mapping[str, dict[str, str]], kind: str, table: Path | None
) -> list[Item]:
    """Splits as the table has them, checked for groups on two sides."""
    found, sides = [], dict[str, str]()
    for one in items:
        name = _row(one, rows, table).get("split", "").lower()
        side = _SYNONYMS.get(name, name)
        if side not in SPLITS:
            raise ExportError(
                f"{table}: {one.name} has the split {name!r}; expected one of {', '.join(SPLITS)}"
            )
        group = _group(one, rows, kind, table)
        if sides.setdefault(group, side) != side:
            raise ExportError(
                f"{table}: {kind} {group} is in {sides[group]} and in {side}, so that the test "
                "would know what was trained on; keep it on one side"
            )
        found.append(replace(one, split=side))
    return found
