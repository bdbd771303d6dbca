from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from napari.layers._source import Source as LayerSource
from PIL import Image as Pictures
from squares import smear

from napari_wbc_nca.widgets.planes import source_of


@pytest.fixture
def printed(tmp_path):
    """A CMYK picture, and the layer that napari's reader makes of it."""
    path = tmp_path / "printed.jpg"
    Pictures.fromarray(smear((10, 10))).convert("CMYK").save(path, quality=95)
    layer = Image(np.asarray(Pictures.open(path)), rgb=True, name="printed")
    layer._source = LayerSource(path=str(path))
    return layer


def test_cmyk_is_read_as_rgb(printed):
    assert printed.data.shape == (90, 120, 4)
    pixels = np.asarray(source_of(printed).image(()).pixels)
    np.testing.assert_allclose(pixels.astype(int), smear((10, 10)), atol=12)


def test_deep_cmyk_is_refused_by_name(printed):
    printed.data = printed.data.astype(np.uint16)
    with pytest.raises(ValueError, match="CMYK"):
        source_of(printed)


def test_alpha_of_other_pictures_is_left_to_the_reader():
    layer = Image(np.full((8, 9, 4), 200, np.uint8), rgb=True)
    assert source_of(layer).image(()).pixels.shape == (8, 9, 4)
