"""Colours of an image, and whether a model knows such."""

import numpy as np
import pytest

from napari_wbc_nca.ops.colour_range import MEASURES, measure_colours, unusual_colours

BACKGROUND, RED_CELL, NUCLEUS = (235, 230, 225), (205, 150, 170), (90, 40, 130)


def picture(light=(1.0, 1.0, 1.0)):
    """Draw a field of red cells with one nucleus, under a light."""
    rgb = np.full((80, 80, 3), BACKGROUND, float)
    rgb[::8] = rgb[1::8] = rgb[2::8] = RED_CELL
    rgb[30:40, 30:42] = NUCLEUS
    return rgb * light


def usual(rgb, width=0.1):
    middle = measure_colours(rgb)
    return {name: (v - width, v + width) for name, v in zip(MEASURES, middle, strict=True)}


def test_measures_are_those_of_background_red_cells_and_nucleus():
    found = dict(zip(MEASURES, measure_colours(picture()), strict=True))
    light = np.log(np.array(BACKGROUND) + 1)
    red, nucleus = (light - np.log(np.array(colour) + 1) for colour in (RED_CELL, NUCLEUS))
    assert found["background_red"] == pytest.approx(light[0] - light[1], abs=0.02)
    assert found["stain"] == pytest.approx(np.log(red.sum()), abs=0.05)
    assert found["stain_blue"] == pytest.approx(red[2] / red.sum(), abs=0.03)
    assert found["nuclei"] == pytest.approx(np.log(nucleus.sum()), abs=0.05)
    assert found["nuclei_red"] == pytest.approx(nucleus[0] / nucleus.sum(), abs=0.03)


def test_light_is_named_and_stain_is_not_blamed_for_it():
    known = usual(picture())
    assert unusual_colours(picture(), known) == []
    assert unusual_colours(picture((1, 1, 0.6)), known)[0] == "the background is less blue"
    assert not {"nuclei are paler", "nuclei are darker"} & set(
        unusual_colours(picture((0.8, 0.8, 0.8)), known)
    )


def test_a_model_that_knows_nothing_of_colours_finds_none_unusual():
    assert unusual_colours(picture((0.2, 1, 1)), {}) == []


def test_an_empty_image_has_measures():
    assert np.isfinite(measure_colours(np.full((10, 10, 3), 255))).all()
