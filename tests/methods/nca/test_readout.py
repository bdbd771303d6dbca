from dataclasses import replace

import numpy as np
import planted
import torch

from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.methods.nca.readout import refit
from napari_wbc_nca.methods.nca.windows import Batch
from napari_wbc_nca.models.nca import NCA

PARAMS = NcaTrainParams(classifier_fit_windows=128, batch_size=32, focal_gamma=0.0)


class Stained:
    """Windows whose colour is their class."""

    def draw(self, count, random):
        names = torch.from_numpy(random.integers(0, 3, count))
        images = torch.zeros(count, 3, 8, 8)
        images[torch.arange(count), names] = 1
        return Batch(images, torch.zeros(count, 8, 8), torch.eye(3, dtype=torch.bool)[names])


def network():
    torch.manual_seed(0)
    return NCA(8, 8, 2, classes=3, head=16).eval()


def test_the_classifier_learns_and_the_automaton_stays():
    learnt, before = network(), network().state_dict()
    planted.run(refit(learnt, Stained(), PARAMS))
    batch = Stained().draw(64, np.random.default_rng(9))
    found = learnt(batch.images).argmax(1)
    assert batch.allowed[torch.arange(64), found].float().mean() > 0.95
    for name, value in learnt.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(("fc2", "fc3")), name


def test_one_seed_gives_one_classifier():
    first, second = network(), network()
    for one in (first, second):
        torch.manual_seed(3)
        planted.run(refit(one, Stained(), replace(PARAMS, seed=3)))
    assert torch.equal(first.fc2.weight, second.fc2.weight)
