from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wbc_nca.methods.nca.samples import (
    CYTOPLASM,
    IGNORED,
    OUTSIDE,
    CellLocation,
    PreparedSample,
    WindowSampler,
)

CLASSES = ("neutrophil", "basophil", "none")
SIDE, SHAPE = 8, (96, 128)
TYPED, UNTYPED, NONE = [True, False, False], [True, True, False], [False, False, True]


def prepared(places=(), value=0.0, source="a", weight=1.0, target=None):
    """A sample of one colour, whose places are marked by discs unless `target` is given."""
    marked = torch.zeros(SHAPE, dtype=torch.uint8) if target is None else target
    found = []
    for (y, x), name in places:
        found.append(CellLocation((y, x), name))
        if name != "none" and target is None:
            marked[int(y) - 6 : int(y) + 6, int(x) - 6 : int(x) + 6] = CYTOPLASM
    pixels = torch.full((3, *SHAPE), value, dtype=torch.float16)
    return PreparedSample(pixels, marked, tuple(found), source, weight)


def windows(samples, augment=False, classes=CLASSES, normalisation="density"):
    return WindowSampler(samples, classes, SIDE, {"name": normalisation}, augment=augment)


def draw(samples, count, seed=0, **more):
    return windows(samples, **more).draw(count, np.random.default_rng(seed))


def share(batch, allowed):
    return float((batch.allowed == torch.tensor(allowed)).all(1).float().mean())


PLACES = [((30.0, 30.0), "neutrophil"), ((30.0, 90.0), "wbc"), ((70.0, 30.0), "none")]


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_has_the_shapes_it_promises(augment):
    batch = draw([prepared(places=PLACES)], 5, augment=augment)
    assert batch.images.shape == (5, 3, SIDE, SIDE)
    assert batch.images.dtype == torch.float32
    assert torch.isfinite(batch.images).all()
    assert batch.targets.shape == (5, SIDE, SIDE)
    assert batch.targets.dtype == torch.uint8
    assert batch.allowed.shape == (5, 3)


def test_kinds_come_in_their_shares():
    samples = [prepared(places=PLACES)]
    batch, shares = draw(samples, 600), windows(samples).shares
    assert sum(shares.values()) == pytest.approx(1)
    for kind, allowed in (("typed", TYPED), ("untyped", UNTYPED), ("none", NONE)):
        assert share(batch, allowed) == pytest.approx(shares[kind], abs=0.06)


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("neutrophil",), {"typed", "none"}),
        (("wbc",), {"untyped", "none"}),
        (("wbc", "basophil"), {"typed", "untyped", "none"}),
        ((), {"none"}),
    ],
)
def test_only_kinds_that_there_are_share(names, kinds):
    places = [((40.0, 30.0 + 40 * n), name) for n, name in enumerate(names)]
    shares = windows([prepared(places=places)]).shares
    assert set(shares) == kinds
    assert sum(shares.values()) == pytest.approx(1)


def test_types_are_balanced_however_many_cells_they_have():
    many = [((20.0 + 3 * n, 20.0 + 4 * n), "neutrophil") for n in range(20)]
    batch = draw([prepared(places=[*many, ((20.0, 110.0), "basophil")])], 600)
    neutrophils, basophils = share(batch, TYPED), share(batch, [False, True, False])
    assert neutrophils == pytest.approx(basophils, abs=0.08)
    assert basophils > 0.2


def test_a_source_counts_by_the_root_of_its_cells():
    place = [((40.0, 40.0), "neutrophil")]
    samples = [prepared(place, value=1.0, source="large") for _ in range(9)]
    samples.append(prepared(place, value=2.0, source="small"))
    batch = draw(samples, 800, classes=("neutrophil", "none"))
    typed = batch.images[batch.allowed[:, 0], 0, 4, 4]
    assert float((typed == 1).float().mean()) == pytest.approx(3 / 4, abs=0.07)


def test_a_weight_counts():
    place = [((40.0, 40.0), "neutrophil")]
    samples = [prepared(place, value=1.0, weight=4.0), prepared(place, value=2.0)]
    batch = draw(samples, 800, classes=("neutrophil", "none"))
    typed = batch.images[batch.allowed[:, 0], 0, 4, 4]
    assert float((typed == 1).float().mean()) == pytest.approx(4 / 5, abs=0.07)


@pytest.mark.parametrize("augment", [False, True])
def test_windows_of_none_show_no_cell(augment):
    batch = draw([prepared(places=PLACES)], 300, augment=augment)
    none = batch.targets[(batch.allowed == torch.tensor(NONE)).all(1)]
    assert len(none) > 50
    assert float((none != OUTSIDE).float().mean((1, 2)).max()) <= 0.02


def test_a_window_that_should_show_none_and_does_not_teaches_no_class():
    filled = prepared(target=torch.full(SHAPE, CYTOPLASM, dtype=torch.uint8))
    batch = draw([filled], 20)
    assert not batch.allowed.any()


def test_windows_of_cells_lie_on_their_cells():
    batch = draw([prepared(places=PLACES)], 100)
    cell = batch.allowed[:, 0]
    assert (batch.targets[cell][:, SIDE // 2, SIDE // 2] == CYTOPLASM).all()


def test_one_seed_gives_one_batch():
    samples = [prepared(places=PLACES)]
    first, second = draw(samples, 12, 3, augment=True), draw(samples, 12, 3, augment=True)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.targets, second.targets)
    assert torch.equal(first.allowed, second.allowed)
    assert not torch.equal(first.images, draw(samples, 12, 4, augment=True).images)


def test_a_window_as_it_lies_is_the_mean_of_its_fine_pixels():
    sample = prepared(places=[((40.0, 60.0), "neutrophil")])
    sample.pixels[:] = torch.rand(3, *SHAPE, generator=torch.manual_seed(0)).half()
    batch = draw([sample], 20)
    fine = sample.pixels[:, 32:48, 52:68].float()
    expected = fine.reshape(3, SIDE, 2, SIDE, 2).mean((2, 4))
    torch.testing.assert_close(batch.images[batch.allowed[:, 0]][0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("augment", [False, True])
def test_absorptance_saturates_what_was_varied(augment):
    sample = prepared(places=PLACES)
    sample.pixels[:] = 3 * torch.rand(3, *SHAPE, generator=torch.manual_seed(0)).half()
    density = draw([sample], 9, augment=augment).images
    absorptance = draw([sample], 9, augment=augment, normalisation="absorptance").images
    torch.testing.assert_close(absorptance, 1 - torch.exp(-2 * density))


def test_what_lies_beyond_the_picture_is_ignored():
    batch = draw([prepared(places=[((0.0, 64.0), "neutrophil")])], 30)
    window = batch.targets[batch.allowed[:, 0]][0]
    assert (window[: SIDE // 2] == IGNORED).all()
    assert not (window[SIDE // 2 :] == IGNORED).any()


def test_turning_and_staining_change_what_is_seen():
    sample = prepared(places=[((40.0, 60.0), "neutrophil")])
    sample.pixels[:] = torch.rand(3, *SHAPE, generator=torch.manual_seed(0)).half()
    batch = draw([sample], 40, augment=True)
    seen = batch.images[batch.allowed[:, 0]]
    assert len(seen) > 5
    assert float((seen[1:] - seen[:1]).abs().mean((1, 2, 3)).min()) > 0.02
