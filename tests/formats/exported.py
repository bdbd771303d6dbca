"""Random labels, and readers of every format that are the formats' own libraries, not ours."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
import tifffile
from PIL import Image as Pictures
from scipy import ndimage
from shapely.geometry import shape as shape_of

from napari_wbc_nca.types import Image

CLASSES = ("basophil", "lymphocyte", "neutrophil")


def random_labels(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, *, holes: bool = True
) -> np.ndarray:
    """Cells of all sizes; some have holes, some two pieces, some are a single pixel.

    Integers have gaps, and with 70,000 of them need 32 bits.
    """
    seeds = np.zeros(shape, bool)
    seeds.ravel()[rng.choice(seeds.size, min(cells, seeds.size), replace=False)] = True
    distance, nearest = ndimage.distance_transform_edt(~seeds, return_indices=True)
    numbers = np.zeros(shape, np.int64)
    step = 1 + int(rng.integers(0, 2))
    numbers[seeds] = rng.permutation(np.arange(1, np.count_nonzero(seeds) + 1)) * step
    radius = np.where(
        rng.random(shape) < 0.2,
        0.5,
        rng.uniform(0.5, 1.2 * (shape[0] * shape[1] / cells) ** 0.5, shape),
    )
    own = tuple(nearest)
    labels = np.where(distance <= radius[own], numbers[own], 0)
    labels[(rng.random(shape) < 0.05) & ~seeds & holes] = 0  # holes, and corners that only touch
    if holes:
        far = rng.choice(
            np.flatnonzero(labels == 0), min(cells // 10, int((labels == 0).sum())), replace=False
        )
        labels.ravel()[far] = rng.choice(np.unique(numbers[seeds]), len(far))  # second pieces
    else:
        labels = _largest_filled(labels)
    return labels


def _largest_filled(labels: np.ndarray) -> np.ndarray:
    """Each cell as one piece connected by edges, without holes."""
    found = np.zeros_like(labels)
    for label in np.unique(labels[labels > 0]):
        pieces, count = ndimage.label(labels == label)
        sizes = ndimage.sum_labels(labels == label, pieces, np.arange(1, count + 1))
        found[ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))] = label
    return found


def random_image(rng: np.random.Generator, labels: np.ndarray, name: str = "field") -> Image:
    return Image(rng.integers(0, 256, (*labels.shape, 3), dtype=np.uint8), name, 0.25)


def random_cells(rng: np.random.Generator, labels: np.ndarray) -> pd.DataFrame:
    numbers = np.unique(labels[labels > 0])
    return pd.DataFrame(
        {
            "label": numbers,
            "class": rng.choice(CLASSES, len(numbers)),
            "origin": rng.choice(["auto", "edited", "added"], len(numbers)),
        }
    )


Found = tuple[np.ndarray, dict[int, str]]
"""Labels, and the class of each."""


def by_tifffile(folder: Path, name: str, shape: tuple[int, int]) -> Found:
    table = pd.read_csv(folder / "labels" / f"{name}_cells.csv")
    classes = dict(zip(table["label"], table["class"], strict=True))
    return tifffile.imread(folder / "labels" / f"{name}.tif"), classes


def by_pycocotools(folder: Path, name: str, shape: tuple[int, int]) -> Found:
    from pycocotools import mask
    from pycocotools.coco import COCO

    data = COCO()  # its own loading prints
    data.dataset = json.loads((folder / "annotations" / "instances.json").read_text())
    with redirect_stdout(StringIO()):
        data.createIndex()
    labels, classes = np.zeros(shape, np.int64), {}
    for some in data.loadAnns(data.getAnnIds()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it does not know NumPy 2
            lengths = data.annToRLE(some)
            inside, area, box = (f(lengths) for f in (mask.decode, mask.area, mask.toBbox))
        assert some["bbox"] == box.tolist()
        left, top, width, height = box.astype(int)
        part = np.s_[top : top + height, left : left + width]
        inside = inside[part] == 1
        assert some["area"] == area == np.count_nonzero(inside)
        labels[part][inside] = some["label"]
        classes[some["label"]] = data.cats[some["category_id"]]["name"]
    return labels, classes


def by_shapely(folder: Path, name: str, shape: tuple[int, int]) -> Found:
    content = json.loads((folder / f"{name}.geojson").read_text())
    labels, classes = np.zeros(shape, np.int64), {}
    for feature in content["features"]:
        geometry, own = shape_of(feature["geometry"]), feature["properties"]
        assert geometry.is_valid
        _paint(labels, int(own["name"]), geometry)
        classes[int(own["name"])] = own["classification"]["name"]
    return labels, classes


def by_roifile(folder: Path, name: str, shape: tuple[int, int]) -> Found:
    import roifile

    found: Any = roifile.roiread(folder / f"{name}.zip")
    labels, classes = np.zeros(shape, np.int64), {}
    for roi in found:
        rings = [shapely.Polygon(ring) for ring in roi.coordinates(multi=True)]
        geometry = rings[0]
        for ring in rings[1:]:
            geometry = shapely.symmetric_difference(geometry, ring)
        _paint(labels, roi.properties["label"], geometry)
        left, top, right, bottom = geometry.bounds
        assert (roi.left, roi.top, roi.right, roi.bottom) == (left, top, right, bottom)
        classes[roi.properties["label"]] = roi.properties["class"]
    return labels, classes


def by_ome_zarr(folder: Path, name: str, shape: tuple[int, int]) -> Found:
    from ome_zarr.format import FormatV04
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = list(Reader(parse_url(folder / f"{name}.ome.zarr", mode="r", fmt=FormatV04()))())
    image, labels = nodes[0], nodes[-1]
    assert image.metadata["coordinateTransformations"][0][0]["scale"][-2:] == [0.25, 0.25]
    classes = {key: own["class"] for key, own in labels.metadata["properties"].items()}
    return np.asarray(labels.data[0]).reshape(shape), classes


def by_numpy(folder: Path, name: str, shape: tuple[int, int]) -> Found:
    """cellpose's files, as its window opens them."""
    content = np.load(folder / f"{name}_seg.npy", allow_pickle=True).item()
    masks = tifffile.imread(folder / f"{name}_masks.tif")
    np.testing.assert_array_equal(content["masks"], masks)
    assert {*np.unique(content["outlines"])} - {0} == {*np.unique(masks)} - {0}
    assert len(content["ismanual"]) == len(content["colors"]) == masks.max(initial=0)
    table = pd.read_csv(folder / f"{name}_cells.csv")
    return masks, dict(zip(table["label"], table["class"], strict=True))


READERS: dict[str, Callable[[Path, str, tuple[int, int]], Found]] = {
    "tiff": by_tifffile,
    "coco": by_pycocotools,
    "coco-polygons": by_pycocotools,
    "qupath": by_shapely,
    "imagej": by_roifile,
    "omezarr": by_ome_zarr,
    "cellpose": by_numpy,
}


def class_map(folder: Path, name: str) -> tuple[np.ndarray, dict[str, int]]:
    """nnU-Net's class map and what its numbers mean."""
    place = next(folder.rglob("dataset.json")).parent
    content = json.loads((place / "dataset.json").read_text())
    return np.asarray(Pictures.open(place / "labelsTr" / f"{name}.png")), content["labels"]


def yolo_rows(folder: Path, name: str, split: str = "train") -> Iterator[tuple[int, np.ndarray]]:
    for line in (folder / "labels" / split / f"{name}.txt").read_text().splitlines():
        kind, *numbers = line.split()
        yield int(kind), np.array(numbers, float)


def yolo_labels(folder: Path, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Outlines filled by shapely; cells are numbered by their rows."""
    labels = np.zeros(shape, np.int64)
    for number, (_, row) in enumerate(yolo_rows(folder, name), start=1):
        _paint(labels, number, shapely.Polygon(row.reshape(-1, 2) * (shape[1], shape[0])))
    return labels


def _paint(labels: np.ndarray, label: int, geometry: Any) -> None:
    """Write `label` where a pixel's centre lies in a geometry."""
    for part in getattr(geometry, "geoms", [geometry]):  # pieces may lie far from each other
        left, top, right, bottom = np.floor(part.bounds).astype(int)
        y, x = np.mgrid[top : bottom + 1, left : right + 1]
        shapely.prepare(part)
        inside = shapely.contains_xy(part, x + 0.5, y + 0.5)
        labels[y[inside], x[inside]] = label
