from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from napari_wbc_nca.datasets.samples import LabelError, is_picture
from napari_wbc_nca.datasets.splits import find_duplicates


def smear(path, seed):
    """A picture of dark discs on a bright ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :160]
    pixels = np.full((120, 160), 220.0)
    for cy, cx in random.uniform((0, 0), (120, 160), (8, 2)):
        pixels[(y - cy) ** 2 + (x - cx) ** 2 < 200] = 120
    Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(path)
    return path


def test_copies_resized_and_recompressed_are_found(tmp_path):
    originals = [smear(tmp_path / f"{n}.png", n) for n in range(6)]
    copies = []
    for n in (4, 1):
        copies.append(tmp_path / f"copy{n}.jpg")
        Image.open(originals[n]).resize((100, 100)).save(copies[-1], quality=40)
    expected = [(originals[1], copies[1]), (originals[4], copies[0])]
    assert find_duplicates(originals, copies) == expected


def test_mirrored_copies_are_others(tmp_path):
    original = smear(tmp_path / "a.png", 0)
    ImageOps.mirror(Image.open(original)).save(tmp_path / "b.png")
    assert find_duplicates([original], [tmp_path / "b.png"]) == []


def test_flat_pictures_are_like_none(tmp_path):
    Image.new("L", (50, 50), 90).save(tmp_path / "flat.png")
    assert find_duplicates([tmp_path / "flat.png"], [tmp_path / "flat.png"]) == []
    assert find_duplicates([], [tmp_path / "flat.png"]) == []


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(LabelError, match=r"text.png: it is no image that can be read"):
        find_duplicates([tmp_path / "text.png"], [tmp_path / "text.png"])


@pytest.mark.parametrize(("part", "expected"), [("train", 73), ("val", 26)])
def test_the_fields_that_stand_among_the_smears_are_found(real_data, part, expected):
    fields, smears = (
        sorted(path for path in (real_data / name).iterdir() if is_picture(path))
        for name in ("fields", f"smears/{part}")
    )
    assert len({field for field, _ in find_duplicates(fields, smears)}) == expected
