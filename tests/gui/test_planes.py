from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from napari.layers._source import Source as LayerSource
from napari.layers._source import layer_source
from PIL import Image as Pictures
from squares import smear

from napari_wbc_nca.widgets.base import ViewerWidget
from napari_wbc_nca.widgets.planes import source_of, turn_layer


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


@pytest.fixture
def turned(tmp_path):
    """A picture of a phone held upside down, and the layer that napari's reader makes of it."""
    path, exif = tmp_path / "phone.png", Pictures.Exif()
    exif[274] = 3
    Pictures.fromarray(smear((10, 10))).save(path, exif=exif)
    with layer_source(path=str(path)):
        return Image(smear((10, 10)), name="phone")


def test_layer_is_turned_as_its_file_states_once(turned):
    expected = smear((10, 10))[::-1, ::-1]
    for _ in range(2):
        turn_layer(turned)
        np.testing.assert_array_equal(turned.data, expected)
    turned.data = turned.data[:50]  # no longer what the file holds
    turn_layer(turned)
    np.testing.assert_array_equal(turned.data, expected[:50])


def test_pictures_are_turned_when_a_dock_or_they_are_opened(viewer, turned):
    expected = smear((10, 10))[::-1, ::-1]
    viewer.add_layer(turned)
    dock = ViewerWidget(viewer)
    np.testing.assert_array_equal(turned.data, expected)
    with layer_source(path=turned.source.path):
        later = viewer.add_image(smear((10, 10)), name="later")
    np.testing.assert_array_equal(later.data, expected)
    dock.close()
