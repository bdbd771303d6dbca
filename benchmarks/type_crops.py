"""Cut out the cells that train the classifier of types, and those that measure its choices.

    python benchmarks/type_crops.py DATA OUTPUT

writes ``OUTPUT/SET.npz`` of each set: ``x`` ``(N, 128, 128, 3)`` uint8, in which the cell's box is
64 pixels wide, ``y`` its class, and ``g`` what may not be split, slide or picture; in ``smears``
the picture's width, which tells its laboratory, stands before it. Pictures of which a copy measures
something are left out of ``smears``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_wbc_nca.cell_types import NONE, TYPES, WBC

SIDE, CELL = 128, 64  # pixels of a crop, and of the box of the cell in it
WITHOUT_BOX = 0.36  # side of the box in a picture of `pbc` without one: median of the others
SPLITS = Path(__file__).parent / "splits"
COPIES = ("fields_in_smears_train", "smears_train_in_fold_a", "smears_train_in_fold_b")
Row = tuple[npt.NDArray[np.uint8], str, str]


def crop(picture: Image.Image, cy: float, cx: float, size: float) -> npt.NDArray[np.uint8]:
    """Cut out a cell of `size` around its centre; beyond the border the picture is reflected."""
    half = SIDE / 2 * size / CELL
    pad = int(np.ceil(half)) + 2
    pixels = np.asarray(picture)
    mode = "reflect" if min(pixels.shape[:2]) > pad else "symmetric"
    whole = Image.fromarray(np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode))
    box = (cx + pad - half, cy + pad - half, cx + pad + half, cy + pad + half)
    small = whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(small)


def boxes(path: Path, width: int, height: int) -> Iterator[tuple[int, float, float, float, float]]:
    """Read class, centre y, x, height and width in pixels of a YOLO file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        index, cx, cy, w, h = line.split()[:5]
        yield (
            int(index),
            float(cy) * height - 0.5,
            float(cx) * width - 0.5,
            float(h) * height,
            float(w) * width,
        )


def whole(box: tuple[int, float, float, float, float], size: tuple[int, int]) -> bool:
    """Whether a box lies two pixels or more inside a picture of `size` (width, height)."""
    _, cy, cx, h, w = box
    reach = (cy - h / 2, cx - w / 2, size[1] - cy - h / 2, size[0] - cx - w / 2)
    return min(reach) > 2


def pbc(data: Path) -> Iterator[Row]:
    """Cells of one laboratory, eleven classes by pathologists."""
    with (data / "pbc" / "classes.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            picture = Image.open(data / "pbc" / row["file"]).convert("RGB")
            width, height = picture.size
            cy, cx = (float(row[name] or 0.5) for name in ("cy", "cx"))
            h, w = (float(row[name] or WITHOUT_BOX) for name in ("h", "w"))
            size = (h * height * w * width) ** 0.5
            where = (cy * height - 0.5, cx * width - 0.5)
            yield crop(picture, *where, size), row["class"], row["file"]


def typed(data: Path) -> Iterator[Row]:
    """Cells of five types, by slide."""
    for path in sorted((data / "typed").glob("*.jpg")):
        picture = Image.open(path).convert("RGB")
        for box in boxes(path.with_suffix(".txt"), *picture.size):
            if whole(box, picture.size):
                index, cy, cx, h, w = box
                yield crop(picture, cy, cx, (h * w) ** 0.5), TYPES[index], path.stem.split("_")[0]


def fields(data: Path) -> Iterator[Row]:
    """Cells of fields that hold one white cell, whose type is known."""
    with (data / "fields" / "classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = next((data / "fields").glob(row["image"] + ".jp*g"))
        picture = Image.open(path).convert("RGB")
        white = [b for b in boxes(path.with_suffix(".txt"), *picture.size) if b[0] == 0]
        if row["class"] and len(white) == 1:
            _, cy, cx, h, w = white[0]
            yield crop(picture, cy, cx, (h * w) ** 0.5), row["class"], row["image"]


def smears(data: Path) -> Iterator[Row]:
    """White cells of unknown type, and at most two red cells or platelets of each picture.

    These others are shown at any scale between their own and that of the white cells.
    """
    rng = np.random.default_rng(3)
    for path in sorted((data / "smears" / "train").glob("*.txt")):
        if path.stem in _copies():
            continue
        picture = Image.open(path.with_suffix(".jpg")).convert("RGB")
        group = f"{picture.width}/{path.stem}"
        every = list(boxes(path, *picture.size))
        white = [box for box in every if box[0] == 0 and whole(box, picture.size)]
        for _, cy, cx, h, w in white:
            yield crop(picture, cy, cx, (h * w) ** 0.5), WBC, group
        other = [box for box in every if box[0] != 0 and min(box[3:]) > 1] if white else []
        typical = np.median([(h * w) ** 0.5 for *_, h, w in white]) if white else 0.0
        for number in rng.permutation(len(other))[:2]:
            _, cy, cx, h, w = other[number]
            own = (h * w) ** 0.5
            size = own * max(1.0, typical / own) ** rng.random()
            yield crop(picture, cy, cx, size), NONE, group


def _copies() -> set[str]:
    """Stems of pictures of ``smears/train`` that show the same cells as one that measures."""
    found = set()
    for name in (*COPIES, "smears_train_in_smears_val"):
        for line in (SPLITS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            names = line.split("\t")[: 2 if name == COPIES[0] else 1]
            found |= {Path(one).stem for one in names}
    return found


SETS = {"pbc": pbc, "typed": typed, "fields": fields, "smears": smears}


def main(data: Path, output: Path) -> None:
    """Write the crops of all sets."""
    output.mkdir(parents=True, exist_ok=True)
    for name, read in SETS.items():
        x, y, g = (np.stack(column) for column in zip(*read(data), strict=True))
        np.savez(output / f"{name}.npz", x=x, y=y, g=g)
        print(name, x.shape, flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
