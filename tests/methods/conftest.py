from __future__ import annotations

import planted
import pytest
import torch
from hypothesis import settings
from PIL import Image as Picture

from napari_wbc_nca.datasets.samples import Sample

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _one_thread():
    """The networks here are so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def fields(tmp_path_factory):
    """Eight boxed fields of one white and three red cells; two types, four slides."""
    folder = tmp_path_factory.mktemp("fields")
    samples = []
    for number in range(8):
        y, x = 30 + 4 * (number % 3), 32 + 5 * (number % 4)
        red = ((12, 12), (62, 16), (60, 66))
        pixels = planted.smear((y, x), shape=(76, 80), red=red)
        if number % 2:  # lymphocytes are nearly all nucleus
            pixels[planted.disc((76, 80), (y, x), 11)] = planted.NUCLEUS
        path = folder / f"{number}.png"
        Picture.fromarray(pixels).save(path)
        boxes = planted.boxes((y, x), radius=13) + planted.boxes(*red, radius=8)
        names = (("neutrophil", "lymphocyte")[number % 2], *["none"] * 3)
        samples.append(Sample(path, planted.array(boxes), names, f"slide-{number // 2}", "made"))
    return samples
