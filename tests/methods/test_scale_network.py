import numpy as np
import pytest
from PIL import Image as Picture

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.io.images import as_image, prepare, sample_path
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.field import BRIGHTNESS, Field
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.scale import LARGE, UNCERTAIN, Scale, image_scale
from napari_wbc_nca.methods.scale_network import read_scale
from napari_wbc_nca.models.build import load_model
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.workflow.segment import segment

CHECKPOINT = load_model("wbc-smear")
TYPICAL = CELL_TO_BOX * 210
"""Width of a white cell in the sample's laboratory: its 150 pictures in ``smears/train``."""


def smear():
    return to_rgb(prepare(as_image(sample_path("smear-1"))))


def scale(rgb, network=None):
    field = Field(rgb, 1, CHECKPOINT.normalisation)
    return run_to_end(image_scale(field, network, CHECKPOINT, NcaParams(device="cpu")))


def test_red_cells_alone_give_the_scale_of_a_slide():
    """No white cell is on it, so the search by the model would find nothing."""
    rgb = without_white_cells()
    found = scale(np.tile(rgb, (-(-(LARGE + 1) // rgb.shape[0]), 3, 1)))
    assert found.source == "the shapes of all cells"
    assert TYPICAL / 1.2 < found.diameter < TYPICAL * 1.2
    assert found.notes() == []


def without_white_cells():
    """Return the part of a sample above or below its white cells."""
    cells = segment(sample_path("smear-1"), "wbc-smear").cells
    rgb = smear()
    return max(rgb[: int(cells["box_y0"].min())], rgb[int(cells["box_y1"].max()) :], key=len)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_image_of_twice_the_size_has_cells_of_twice_the_size(factor):
    rgb = smear()
    size = tuple(round(side * factor) for side in rgb.shape[1::-1])
    other = np.asarray(Picture.fromarray(rgb.astype(np.uint8)).resize(size))
    (first, _), (second, _) = (
        run_to_end(read_scale(Field(pixels, 1, BRIGHTNESS))) for pixels in (rgb, other)
    )
    assert second / first == pytest.approx(factor, rel=0.15)


def test_empty_glass_does_not_give_a_scale():
    glass = np.random.default_rng(0).normal(228, 2, (LARGE + 1, 600, 3)).astype(np.uint8)
    _, spread = run_to_end(read_scale(Field(glass, 1, BRIGHTNESS)))
    assert spread > UNCERTAIN


def test_an_uncertain_scale_says_what_to_do():
    (note,) = Scale(100, "the shapes of all cells", 0.5).notes()
    assert "about 61 to 165 px" in note and "give the diameter" in note
    assert Scale(100, "the pixel size of 0.1 µm").notes() == []


def test_a_scale_is_recorded_with_its_source():
    record = Scale(100, "the boxes").record()
    assert record == {"diameter": 100.0, "scale": {"source": "the boxes", "spread": 0.0}}
