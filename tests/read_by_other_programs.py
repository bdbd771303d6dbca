"""What other programs make of our exports, in environments of their own: ``tox -e formats``.

``python tests/read_by_other_programs.py write FOLDER`` exports; ``cellpose FOLDER`` and
``nnunet FOLDER`` read it with those programs, which this one does not install, and compare
with what was exported.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def write(folder: Path) -> None:
    """Export random labels of five images, one with an ignored part, and keep the labels."""
    sys.path.insert(0, str(Path(__file__).parent / "io"))
    from exported import random_cells, random_image, random_labels

    from napari_wbc_nca.formats.items import item, keep_reviewed
    from napari_wbc_nca.workflow.export import export

    rng = np.random.default_rng(0)
    items = []
    for number in range(5):
        labels = random_labels(rng, (120, 100), 60)
        image, cells = random_image(rng, labels), random_cells(rng, labels)
        one = item(f"field{number}", labels, cells, image.pixels, 0.25)
        reviewed = np.arange(120)[:, None] < 90 + 0 * labels
        items.append(keep_reviewed(one, reviewed) if number == 4 else one)
    done = export(items, folder, ["cellpose", "nnunet", "tiff"])
    for one in items:
        values = {name: 1 + n for n, name in enumerate(sorted({*one.cells["class"]}))}
        kinds = np.zeros(int(one.labels.max()) + 1, np.uint8)
        kinds[one.cells["label"]] = one.cells["class"].map(values)
        ignore = np.zeros(one.shape, bool) if one.ignore is None else one.ignore
        classes = np.where(ignore, 1 + len(values), kinds[one.labels])
        np.savez(folder / f"{one.name}.npz", labels=one.labels, classes=classes)
    print(f"{len(done.files)} files")


def cellpose(folder: Path) -> None:
    """cellpose's own training loader gets the masks that were exported."""
    from cellpose import io

    images, labels, names, *_ = io.load_train_test_data(
        str(folder / "cellpose"), mask_filter="_masks", look_one_level_down=False
    )
    assert len(names) == 5, names
    for image, found, name in zip(images, labels, names, strict=True):
        expected = np.load(folder / f"{Path(name).stem}.npz")["labels"]
        np.testing.assert_array_equal(found, expected)
        assert image.shape == (*expected.shape, 3)
        seg = np.load(Path(name).with_name(f"{Path(name).stem}_seg.npy"), allow_pickle=True).item()
        np.testing.assert_array_equal(seg["masks"], expected)
        assert {"outlines", "filename", "flows", "chan_choose", "ismanual"} <= set(seg)
    print(f"cellpose reads {len(names)} images with the masks that were exported")


def nnunet(folder: Path) -> None:
    """nnU-Net finds the data set sound, and reads the class maps that were exported."""
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    place = folder / "nnunet" / "Dataset001_cells"
    verify_dataset_integrity(str(place), num_processes=1)
    files = sorted((place / "labelsTr").glob("*.png"))
    for file in files:
        found, _ = NaturalImage2DIO().read_seg(str(file))
        np.testing.assert_array_equal(found[0, 0], np.load(folder / f"{file.stem}.npz")["classes"])
    print(f"nnU-Net reads {len(files)} class maps that were exported")


if __name__ == "__main__":
    {"write": write, "cellpose": cellpose, "nnunet": nnunet}[sys.argv[1]](Path(sys.argv[2]))
