from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.evaluation.bias import check_bias, pixel_shares, relevance_by_part
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.progress import run_to_end

SIDE = 24
CELL = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2)) < 7
NUCLEUS = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2)) < 4


def crops(bordered: bool, count=64):
    """Cells of two types, red or blue; with a border of the class's colour, or such a nucleus."""
    random = np.random.default_rng(0)
    images = random.normal(0, 0.02, (count, 3, SIDE, SIDE)) + 0.05
    images[:, 1, CELL] += 0.4
    types = np.arange(count) % 2
    for image, kind in zip(images, types, strict=True):
        place = np.zeros((SIDE, SIDE), bool)
        place[:3] = place[-3:] = place[:, :3] = place[:, -3:] = True
        image[2 * kind, place if bordered else NUCLEUS] += 0.5
    return torch.tensor(images, dtype=torch.float32), torch.tensor(types)


def taught(bordered: bool) -> NCA:
    """A small network that was trained on such crops."""
    torch.manual_seed(0)
    network = NCA(channels=8, hidden=8, steps=3, classes=2, head=8, readouts=0)
    images, types = crops(bordered)
    steps = torch.optim.Adam(network.parameters(), 0.01)
    with torch.enable_grad():
        for _ in range(200):
            loss = torch.nn.functional.cross_entropy(network(images), types)
            steps.zero_grad()
            loss.backward()
            steps.step()
    assert (network(images).argmax(1) == types).all()
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("bordered", [True, False])
def test_a_network_that_was_taught_by_borders_is_found_out(bordered):
    network, (images, types) = taught(bordered), crops(bordered)
    state = network.rollout(images[:8])
    found = sum(
        relevance_by_part(network, one, int(kind), CELL, NUCLEUS)
        for one, kind in zip(state, types[:8], strict=True)
    )
    ratio = found[:, 2].sum() / found.sum() / (~CELL).mean()
    assert bool(ratio >= 1) is bordered


@pytest.mark.parametrize("pool", ["mean", "max", "mean_max", "parts"])
def test_the_shares_of_all_pixels_sum_to_one(pool):
    torch.manual_seed(0)
    network = NCA(channels=6, hidden=4, steps=1, classes=2, pool=pool, head=4)
    state = torch.randn(5, 7, 6)
    shares = pixel_shares(network, state)
    assert shares.shape == (len(network.pooled(state[None])[0]), 5, 7)
    torch.testing.assert_close(shares.sum((1, 2)), torch.ones(len(shares)))
    assert (shares >= 0).all()


def test_a_bundled_model_is_checked_on_images():
    model = model_store.resolve("wbc-smear")
    image = EvaluationImage(Sample(sample_path("smear-2"), None, ("neutrophil",)), None, False)
    report = run_to_end(check_bias(model, [image], NcaParams(tta_rotations=1)))
    shares = report.classes[["nucleus", "cytoplasm", "background"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1)
    np.testing.assert_allclose(report.channels.groupby("class")["relevance"].sum(), 1)
    assert not report.biased
    assert "does not look at the background" in report.text()
    assert list(report.figures()) == ["bias"]


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="is no automaton"):
        run_to_end(check_bias(model_store.resolve("wbc-fine"), [], NcaParams()))
