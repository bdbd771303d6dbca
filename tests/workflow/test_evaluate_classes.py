"""Class maps against known classes: unmixed, artificial and grown together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from napari_wbc_nca.io import cultures
from napari_wbc_nca.io.samples import LabelError
from napari_wbc_nca.ops.mixing import mix_masks
from napari_wbc_nca.workflow.evaluate_classes import artificial, known, renumbered, text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("known")
    cultures.write_known(made, 1, (96, 96))
    return made


def test_a_folder_gives_unmixed_artificial_and_mixed_pictures(folder):
    found = list(known(folder))
    counts = {
        name: sum(k.data == name for k in found) for name in ("unmixed", "artificial", "mixed")
    }
    assert counts == {"unmixed": 3, "artificial": 3, "mixed": 1}
    assert all(k.names == ("background", *cultures.KINDS) for k in found)


def test_an_artificial_mixture_has_both_classes_and_their_rule(folder):
    pictures = [k for k in known(folder / "unmixed") if k.data == "unmixed"]
    made = list(artificial(pictures))
    first = made[0]
    others = [mix_masks(pictures[0].classes, k.classes) for k in pictures[1:]]
    assert any(np.array_equal(first.classes, other) for other in others)
    assert first.image.pixels.dtype == np.uint8
    empty = first.classes == 0
    assert abs(first.image.pixels[empty].mean() - pictures[0].image.pixels.mean()) < 60


def test_masks_without_names_are_white_cells(tmp_path):
    Picture.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros((9, 9), np.uint8)
    mask[:3], mask[3:5] = 128, 255
    Picture.fromarray(mask).save(tmp_path / "a_mask.png")
    (found,) = known(tmp_path)
    assert found.names == ("background", "wbc")
    assert found.classes.sum() == 45


def test_classes_are_compared_by_their_names():
    own, wanted = ("background", "b", "a", "c"), ("background", "a", "b")
    assert renumbered(np.array([0, 1, 2, 3]), own, wanted).tolist() == [0, 2, 1, 3]


def test_a_folder_without_masks_and_a_mask_of_another_size_are_refused(tmp_path):
    with pytest.raises(LabelError, match="no NAME_mask"):
        list(known(tmp_path))
    Picture.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    Picture.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "a_mask.png")
    with pytest.raises(LabelError, match=r"is \(9, 8\), but its picture is \(9, 9\)"):
        list(known(tmp_path))


def test_text_has_models_side_by_side():
    import pandas as pd

    rows = [("one", "mixed", "a", 0.5, 0.25, 4), ("two", "mixed", "a", 1.0, 0.75, 4)]
    names = ["model", "data", "class", "accuracy", "iou", "pixels"]
    assert "| a | 0.500 | 0.250 | 1.000 | 0.750 |" in text(pd.DataFrame(rows, columns=names))
