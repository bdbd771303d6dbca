"""How long an export takes, and whether 500 random label images come back as they were.

``python benchmarks/bench_export.py`` prints both as Markdown. ``--cells N`` and ``--images N`` take
other numbers; 0 leaves that part out. ``--first N`` begins with image N, where those before it were
done already. Every image has cells with holes, in two pieces and of one pixel; one in a hundred has
70,000 cells.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "io"))

from exported import (  # noqa: E402
    READERS,
    class_map,
    random_cells,
    random_image,
    random_labels,
    yolo_labels,
)
from scipy import ndimage  # noqa: E402

from napari_wbc_nca.formats.registry import FORMATS  # noqa: E402
from napari_wbc_nca.io.images import read as read_image  # noqa: E402
from napari_wbc_nca.io.images import sample_path  # noqa: E402
from napari_wbc_nca.types import Image  # noqa: E402
from napari_wbc_nca.workflow.export import export  # noqa: E402

MANY = 70_000
POLYGONS = ("coco-polygons", "qupath", "imagej")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cells", type=int, default=10_000)
    given = parser.parse_args()
    if given.cells:
        speed(given.cells)
    if given.images:
        round_trips(range(given.first, given.images))


def speed(cells: int) -> None:
    """Seconds that each format takes for an image of many cells."""
    labels = field(np.random.default_rng(0), cells)
    pixels = np.asarray(read_image(sample_path("smear-1")).pixels)
    across = [-(-side // own) for side, own in zip(labels.shape, pixels.shape[:2], strict=True)]
    whole = np.tile(pixels, (*across, 1))[: labels.shape[0], : labels.shape[1]]
    image = Image(whole, "field", 0.25)
    table = random_cells(np.random.default_rng(2), labels)
    print(f"| {len(table)} cells on {labels.shape[0]}×{labels.shape[1]} px | wall s | CPU s |")
    print("|---|---|---|")
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu = time.perf_counter(), time.process_time()
            export(labels, folder, name, image, table)
            print(
                f"| {name} | {time.perf_counter() - wall:.1f} | {time.process_time() - cpu:.1f} |"
            )


def field(
    rng: np.random.Generator, cells: int, shape: tuple[int, int] = (4000, 4000)
) -> np.ndarray:
    """Cells about 26 px across, as a scanned smear has them; some touch."""
    seeds = np.zeros(shape, bool)
    seeds.ravel()[rng.choice(seeds.size, cells, replace=False)] = True
    numbers, _ = ndimage.label(seeds, np.ones((3, 3)))
    distance, nearest = ndimage.distance_transform_edt(~seeds, return_indices=True)
    return np.where(distance <= 13, numbers[tuple(nearest)], 0).astype(np.uint32)


def round_trips(numbers: range) -> None:
    """Re-read by the formats' own libraries: images that are identical, and the cells' mean IoU."""
    same, overlaps, lost = Counter[str](), dict.fromkeys(POLYGONS, 0.0), Counter[str]()
    cells, count = 0, len(numbers)
    for number in numbers:
        rng = np.random.default_rng(number)
        labels = random(rng, number)
        cells += len(np.unique(labels[labels > 0]))
        with tempfile.TemporaryDirectory() as folder:
            check(rng, labels, Path(folder), same, overlaps, lost)
        if number % 25 == 24:
            print(f"{number + 1} images, {cells} cells: {dict(same)}", file=sys.stderr, flush=True)
    print(f"\n| {count} images, {cells} cells | identical images | mean IoU of cells | lost |")
    print("|---|---|---|---|")
    for name in (*READERS, "nnunet", "yolo-segments"):
        iou = f"{overlaps[name] / cells:.6f}" if name in overlaps else ""
        gone = str(lost[name]) if name in overlaps else ""
        print(f"| {name} | {same[name]} of {count} | {iou} | {gone} |")


def random(rng: np.random.Generator, number: int) -> np.ndarray:
    if number % 100 == 99:
        return random_labels(rng, (1000, 1000), MANY)
    height, width = (int(side) for side in rng.integers(1, 220, 2))
    return random_labels(rng, (height, width), int(rng.integers(1, 2 + height * width // 40)))


def check(
    rng: np.random.Generator,
    labels: np.ndarray,
    folder: Path,
    same: Counter[str],
    overlaps: dict[str, float],
    lost: Counter[str],
) -> None:
    image, table = random_image(rng, labels), random_cells(rng, labels)
    classes = dict(zip(table["label"], table["class"], strict=True))
    done = export(labels, folder, [*READERS, "nnunet"], image, table)
    for name, read in READERS.items():
        found, kinds = read(done.folders[name], "field", labels.shape)
        same[name] += bool((found == labels).all() and kinds == classes)
        if name in overlaps:
            ious = iou(found, labels)
            overlaps[name] += ious.sum()
            lost[name] += int((ious == 0).sum())
    found, meaning = class_map(done.folders["nnunet"], "field")
    lookup = np.zeros(int(labels.max(initial=0)) + 1, int)
    lookup[table["label"]] = [meaning[name] for name in table["class"]]
    same["nnunet"] += bool((found == lookup[labels]).all())
    whole = labels if labels.size > 220**2 else random_labels(rng, labels.shape, 40, holes=False)
    whole = whole if labels.size <= 220**2 else field(rng, 500, (1000, 1000))
    kept = np.unique(whole[whole > 0])
    export(whole, folder / "whole", "yolo-segments", random_image(rng, whole))
    found = yolo_labels(folder / "whole" / "yolo-segments", "field", whole.shape)
    expected = np.where(whole > 0, np.searchsorted(kept, whole) + 1, 0)
    same["yolo-segments"] += bool((found == expected).all())


def iou(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """IoU of each cell with the cell of its number."""
    size = int(max(found.max(initial=0), labels.max(initial=0))) + 1
    areas = np.bincount(found.ravel(), minlength=size) + np.bincount(labels.ravel(), minlength=size)
    both = np.bincount(labels[found == labels], minlength=size)
    numbers = np.unique(labels[labels > 0])
    return both[numbers] / (areas - both)[numbers]


if __name__ == "__main__":
    main()
