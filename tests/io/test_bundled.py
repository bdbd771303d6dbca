from __future__ import annotations

import pytest

from napari_wbc_nca.io.images import SAMPLES, prepare, read, sample_path

SHAPES = {"smear-1": (480, 640), "smear-2": (575, 575), "typed": (450, 720)}


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_an_image_that_can_be_segmented(name):
    assert prepare(read(sample_path(name))).shape == SHAPES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_licence_names_every_sample(name):
    assert f"`{name}.jpg`" in sample_path(name).with_name("LICENSE.md").read_text(encoding="utf-8")


def test_unknown_sample_is_refused():
    with pytest.raises(ValueError, match="unknown sample 'cat'; known are smear-1, smear-2, typed"):
        sample_path("cat")
