import numpy as np
import planted
import pytest

from napari_wbc_nca.methods.propagation.graph_cut import ENERGIES, CutWindow, cut_cell
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.ops import minimum_cut, stain
from napari_wbc_nca.ops.metrics import iou

SHAPE, CENTRE, RED = (96, 96), (48.0, 48.0), ((48.0, 83.0), (12.0, 40.0))


def disc(centre, radius):
    return planted.disc(SHAPE, centre, radius)


def window(**changes):
    """White cell of 48 px beside red ones; what it contributes lies on its nucleus alone."""
    rgb = planted.smear(CENTRE, shape=SHAPE, radius=24, red=RED)
    values = stain.fit_normalisation({"name": "density"}, rgb)(rgb, (0, 0), SHAPE)
    own = disc(CENTRE, 12).astype(np.float32)
    rival = np.zeros(SHAPE, np.float32)
    for red in RED:
        rival[disc(red, 20) & (own == 0)] = 0.5  # also on the white cell's rim
    given = {
        "values": values,
        "salient": minimum_cut.fit_saliency("stain", values)(values),
        "own": own,
    }
    given |= {"rival": rival, "middle": (47.5, 47.5), "others": np.asarray(RED) - 0.5, "sigma": 6.0}
    return CutWindow(**{**given, **changes})


def test_colours_and_necks_give_the_whole_cell_though_others_contribute_to_its_rim():
    truth = disc(CENTRE, 24)
    found = iou(cut_cell(window(), "colour", PropagationParams()), truth)
    assert found > 0.9
    assert found > iou(cut_cell(window(), "paper", PropagationParams()), truth)


@pytest.mark.parametrize("terms", sorted(ENERGIES))
def test_a_cell_to_which_nothing_contributes_is_cut_out_around_its_centroid(terms):
    none = np.zeros(SHAPE, np.float32)
    mask = cut_cell(window(own=none, rival=none), terms, PropagationParams())
    assert mask[48, 48]


def test_a_cell_alone_in_its_window_needs_no_others():
    rgb = planted.smear(CENTRE, shape=SHAPE, radius=24)
    values = stain.fit_normalisation({"name": "density"}, rgb)(rgb, (0, 0), SHAPE)
    alone = window(
        values=values,
        salient=minimum_cut.fit_saliency("stain", values)(values),
        rival=np.zeros(SHAPE, np.float32),
        others=np.empty((0, 2)),
    )
    assert iou(cut_cell(alone, "colour", PropagationParams()), disc(CENTRE, 24)) > 0.9
