"""Find ten white cells on a slide of 4000 × 4000 pixels whose scale is not given.

    WBC_NCA_DATA=/data python benchmarks/sparse_slide.py [CELLS [SIDE [SEED]]]

The slide is made of pieces of `fields` without a white cell, in which white cells of other pictures
of `fields` are set. Printed are the scale, recall and precision of the cells at the default
settings, and the seconds.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import segment

PIECE = 160
"""Side in pixels of a piece without white cells."""
MARGIN = 1.35
"""Side of what is cut out around a white cell, in sides of its box."""
Array = npt.NDArray[np.uint8]


def main(cells: int = 10, side: int = 4000, seed: int = 0) -> None:
    """Make the slide, segment it, and print the figures."""
    slide, boxes = sparse_slide(Path(os.environ["WBC_NCA_DATA"]) / "fields", cells, side, seed)
    begin = time.process_time()
    found = segment(Image(slide), "wbc-smear")
    spent = time.process_time() - begin
    places = found.cells[["centroid_y", "centroid_x"]].to_numpy()
    inside = (
        (places[:, None, 0] > boxes[:, 0])
        & (places[:, None, 0] < boxes[:, 2])
        & (places[:, None, 1] > boxes[:, 1])
        & (places[:, None, 1] < boxes[:, 3])
    )
    hits = int(inside.any(0).sum())
    print(
        f"diameter {found.provenance['diameter']:.0f} px ({found.provenance['scale']}), truth "
        f"{np.median(boxes[:, 2] - boxes[:, 0]):.0f}: {len(places)} cells, recall "
        f"{hits / len(boxes):.2f}, precision {hits / max(len(places), 1):.2f}, {spent:.0f} s"
    )
    print(*found.provenance.get("notes", ()), sep="\n")


def sparse_slide(
    folder: Path, cells: int, side: int, seed: int
) -> tuple[Array, npt.NDArray[np.float64]]:
    """Make a slide ``(side, side, 3)`` and the boxes ``(N, 4)`` y0, x0, y1, x1 of its cells."""
    rng = np.random.default_rng(seed)
    empty, white = [], []
    for path in sorted(folder.glob("*.txt")):
        pixels = np.asarray(Picture.open(next(folder.glob(f"{path.stem}.jp*g"))).convert("RGB"))
        height, width = pixels.shape[:2]
        own = white_boxes(path, height, width)
        for y, x in np.ndindex(height // PIECE, width // PIECE):
            y0, x0 = y * PIECE, x * PIECE
            apart = (own[:, 0] > y0 + PIECE) | (own[:, 2] < y0)
            apart |= (own[:, 1] > x0 + PIECE) | (own[:, 3] < x0)
            if apart.all():
                empty.append(pixels[y0 : y0 + PIECE, x0 : x0 + PIECE])
        if len(own) == 1:
            y0, x0, y1, x1 = own[0]
            half = MARGIN * np.maximum(y1 - y0, x1 - x0) / 2
            cy, cx = (y0 + y1) / 2, (x0 + x1) / 2
            if min(cy - half, cx - half, height - cy - half, width - cx - half) > 0:
                y, x, length = int(cy - half), int(cx - half), int(2 * half)
                part = pixels[y : y + length, x : x + length]
                white.append((part, (y1 - y0, x1 - x0)))
    count = -(-side // PIECE)
    rows = [
        np.concatenate(
            [np.rot90(empty[n], rng.integers(4)) for n in rng.integers(len(empty), size=count)], 1
        )
        for _ in range(count)
    ]
    slide = np.ascontiguousarray(np.concatenate(rows)[:side, :side])
    step = side // int(np.ceil(np.sqrt(cells)))
    boxes = []
    places = rng.permutation(int(np.ceil(np.sqrt(cells))) ** 2)[:cells]
    for place, number in zip(
        places.tolist(), rng.permutation(len(white))[:cells].tolist(), strict=True
    ):
        crop, (height, width) = white[number]
        y, x = (
            at * step + int(rng.integers(step - len(crop))) for at in divmod(place, side // step)
        )
        slide[y : y + len(crop), x : x + len(crop)] = crop
        cy, cx = y + len(crop) / 2, x + len(crop) / 2
        boxes.append((cy - height / 2, cx - width / 2, cy + height / 2, cx + width / 2))
    return slide, np.array(boxes)


def white_boxes(path: Path, height: int, width: int) -> npt.NDArray[np.float64]:
    """Read the boxes ``(N, 4)`` y0, x0, y1, x1 of the white cells of a YOLO file."""
    rows = [[float(v) for v in line.split()[:5]] for line in path.read_text().splitlines()]
    found = [
        ((cy - h / 2) * height, (cx - w / 2) * width, (cy + h / 2) * height, (cx + w / 2) * width)
        for kind, cx, cy, w, h in rows
        if kind == 0
    ]
    return np.array(found).reshape(-1, 4)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
