"""Write which pictures train and which measure, into ``benchmarks/splits``.

    python benchmarks/make_splits.py DATA

Each file lists names one a line, ready for ``include`` and ``exclude`` of a training ``.toml``;
what follows a tab is for people.

``fields_in_smears_train.txt``, ``fields_in_smears_val.txt``
    Pictures of ``fields``, and the ``smears`` that show the same cells: ``same`` pixels, or a
    ``turned`` copy.
``fields_never_trained.txt``
    Pictures of ``fields`` of which a copy is in ``smears/val``: in no training set.
``fields_fold_a.txt``, ``fields_fold_b.txt``
    All of ``fields`` in two halves, alike in types and in how many are never trained.
``smears_train_in_smears_val.txt``, ``smears_train_in_fold_a.txt``, ``…_b.txt``
    Pictures of ``smears/train`` of which a copy is in the part that measures.
``typed_heldout.txt``
    Pictures of ``typed`` from slides that measure types.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from copies import turned_copies

from napari_wbc_nca.datasets.label_files import read_types
from napari_wbc_nca.datasets.samples import is_picture, picture_size
from napari_wbc_nca.datasets.splits import find_duplicates

SPLITS = Path(__file__).parent / "splits"
HELD_OUT_SLIDES = ("B-30", "B-57", "E-12", "E-13", "E-14", "L-9", "N-2B")
"""About a fifth of the cells of the types that several slides hold. Slides of basophils,
eosinophils and lymphocytes stay for training, two or more of each."""
FULL, TURNED = (480, 640), (416, 416)
"""Height and width of the collection's own pictures, and of the copies that were made of them."""

Copies = dict[Path, dict[Path, str]]


def main(data: Path) -> None:
    fields, train, val = (
        _pictures(data / name) for name in ("fields", "smears/train", "smears/val")
    )
    copies = _copies(fields, [*train, *val])
    never = [path for path in fields if _any_in(copies, path, val)]
    folds = _folds(fields, never, read_types(data / "fields" / "classes.csv"))
    for name, smears in (("train", train), ("val", val)):
        rows = [
            f"{field.name}\t{other.name}\t{how}"
            for field in fields
            for other, how in sorted(copies[field].items())
            if other in set(smears)
        ]
        _write(f"fields_in_smears_{name}", rows)
    _write("fields_never_trained", [path.name for path in never])
    for name, fold in folds.items():
        _write(f"fields_fold_{name}", [path.name for path in fold])
        _write(f"smears_train_in_fold_{name}", _names_copied(copies, train, fold))
    _write("smears_train_in_smears_val", _names_copied(copies, train, val))
    typed = [p.name for p in _pictures(data / "typed") if p.name.split("_")[0] in HELD_OUT_SLIDES]
    _write("typed_heldout", typed)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_picture(path))


def _copies(fields: Sequence[Path], smears: Sequence[Path]) -> Copies:
    """All copies of each picture, also by way of others, and how they were made."""
    collection = [*fields, *(p for p in smears if picture_size(p) in (FULL, TURNED))]
    turned = [path for path in collection if picture_size(path) == TURNED]
    pairs = {pair: "same" for pair in find_duplicates(collection, collection) if pair[0] != pair[1]}
    for pair in turned_copies(turned, collection):
        for way in (pair, pair[::-1]):
            pairs.setdefault(way, "turned")
    near: Copies = {path: {} for path in (*fields, *smears)}
    for (first, second), how in pairs.items():
        near[first][second] = how
    return {path: _reached(near, path) for path in near}


def _reached(near: Copies, start: Path) -> dict[Path, str]:
    found = {start: ""}
    queue = [start]
    while queue:
        path = queue.pop()
        for other, how in near[path].items():
            if other not in found:
                found[other] = near[start].get(
                    other, "turned" if "turned" in (how, found[path]) else how
                )
                queue.append(other)
    del found[start]
    return found


def _any_in(copies: Copies, path: Path, others: Iterable[Path]) -> bool:
    return not copies[path].keys().isdisjoint(others)


def _names_copied(copies: Copies, paths: Sequence[Path], others: Sequence[Path]) -> list[str]:
    return [path.name for path in paths if _any_in(copies, path, others)]


def _folds(
    fields: Sequence[Path], never: Sequence[Path], types: Mapping[str, str]
) -> dict[str, list[Path]]:
    """Two halves in which each type, trained and not, is as frequent; seed 0."""
    strata: dict[tuple[str, bool], list[Path]] = {}
    for path in fields:
        strata.setdefault((types.get(path.stem, ""), path in never), []).append(path)
    random = np.random.default_rng(0)
    folds: dict[str, list[Path]] = {"a": [], "b": []}
    dealt = 0
    for key in sorted(strata):
        for index in random.permutation(len(strata[key])):
            folds["ab"[dealt % 2]].append(strata[key][index])
            dealt += 1
    return {name: sorted(fold) for name, fold in folds.items()}


def _write(name: str, rows: Sequence[str]) -> None:
    SPLITS.mkdir(exist_ok=True)
    (SPLITS / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    print(f"{name}: {len({row.split()[0] for row in rows})} pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
