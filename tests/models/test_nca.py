from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.firing import fire_mask
from napari_wbc_nca.models.nca import NCA, nca_step


def network(seed: int = 0, **size: object) -> NCA:
    torch.manual_seed(seed)
    return NCA(**{"channels": 12, "hidden": 16, "steps": 10, **size})  # type: ignore[arg-type]


def field(batch: int, height: int, width: int, seed: int = 1) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def origins(batch: int) -> Tensor:
    return torch.randint(-99, 99, (batch, 2), generator=torch.Generator().manual_seed(2))


def plain_rollout(net: NCA, image: Tensor, seed: int, origin: Tensor, rate: float) -> Tensor:
    """The papers' formulation: every cell computed, δ multiplied at the end."""
    batch, _, height, width = image.shape
    state = torch.cat((image, image.new_zeros(batch, net.channels - 3, height, width)), 1)
    y = origin[:, 0, None, None] + torch.arange(height)[:, None]
    x = origin[:, 1, None, None] + torch.arange(width)
    for step in range(net.steps):
        state = nca_step(net, state, fire_mask(seed, step, y, x, rate))
    return state.permute(0, 2, 3, 1)


def test_one_step_of_one_cell_is_that_computed_by_hand() -> None:
    net, state = network(channels=4, hidden=5), torch.randn(1, 4, 3, 3)
    fire = torch.zeros(1, 3, 3, dtype=torch.bool)
    fire[0, 1, 1] = True
    found = nca_step(net, state, fire)
    seen = [state[0, :, 1, 1]]
    for layer in (net.p0, net.p1):
        seen.append((state[0] * layer.weight[:, 0]).sum((1, 2)) + layer.bias)
    change = net.fc1.weight @ F.relu(net.fc0.weight @ torch.cat(seen) + net.fc0.bias)
    expected = state.clone()
    expected[0, 3, 1, 1] += change[3]  # the image's channels are fixed
    torch.testing.assert_close(found, expected)


def finish(run: object) -> tuple[list[tuple[int, int]], Tensor]:
    seen = []
    while True:
        try:
            seen.append(next(run))  # type: ignore[call-overload]
        except StopIteration as end:
            return seen, end.value


@pytest.fixture
def threads() -> object:
    own = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(own)


@pytest.mark.parametrize("rate", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 17, 14), (5, 9, 9), (2, 2, 3)])
def test_equals_the_plain_formulation(rate: float, size: tuple[int, int, int]) -> None:
    net, image, origin = network(), field(*size), origins(size[0])
    with torch.no_grad():
        found = net.rollout(image, 7, origin, fire_rate=rate)
        expected = plain_rollout(net, image, 7, origin, rate)
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert found.is_contiguous()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("rate", [0.02, 0.5, 1.0])
def test_gradients_equal_those_of_the_plain_formulation(rate: float, checkpointing: bool) -> None:
    net, origin = network().double(), origins(3)
    image = field(3, 11, 13).double().requires_grad_()
    found = net.rollout(image, 7, origin, fire_rate=rate, checkpointing=checkpointing)
    expected = plain_rollout(net, image, 7, origin, rate)
    weight = torch.randn(found.shape, dtype=torch.float64)
    wanted = [image, *net.p0.parameters(), *net.p1.parameters(),
              *net.fc0.parameters(), *net.fc1.parameters()]  # fmt: skip
    ours = torch.autograd.grad((found * weight).sum(), wanted)
    plain = torch.autograd.grad((expected * weight).sum(), wanted)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_checkpointing_changes_nothing() -> None:
    net, image = network(), field(4, 12, 12)
    gradients = []
    for checkpointing in (False, True):
        state = net.rollout(image, 3, checkpointing=checkpointing)
        gradients.append(torch.autograd.grad(net.classify(state).sum(), net.fc0.weight)[0])
    assert torch.equal(*gradients)


def test_gradient_can_be_taken_twice() -> None:
    net = network()
    loss = net.rollout(field(2, 8, 8)).square().sum()
    first = torch.autograd.grad(loss, net.fc1.weight, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, net.fc1.weight)[0])


def test_training_and_inference_give_the_same_state() -> None:
    net, image = network(), field(3, 16, 16)
    with torch.no_grad():
        assert torch.equal(net.rollout(image, 5), net.rollout(image, 5).clone())
        inference = net.rollout(image, 5)
    assert torch.equal(net.rollout(image, 5), inference)


def test_image_stays_fixed() -> None:
    net, image = network(), field(2, 10, 12)
    state = net.rollout(image, 1)
    assert torch.equal(state[..., :3].permute(0, 3, 1, 2), image)
    assert state[..., 3:].abs().max() > 0


@pytest.mark.parametrize("count", [1, 2])
def test_tile_with_halo_equals_the_whole_field(count: int, threads: object) -> None:
    threads(count)  # type: ignore[operator]
    net, whole = network(channels=32, hidden=32, steps=8), field(1, 70, 83)
    with torch.no_grad():
        expected = net.rollout(whole, 4)[0]
        for top, left, height, width in ((0, 0, 30, 40), (21, 32, 33, 25), (40, 50, 30, 33)):
            tile = whole[:, :, top : top + height, left : left + width]
            state = net.rollout(tile, 4, torch.tensor([[top, left]]))[0]
            y = slice(8 * (top > 0), height - 8 * (top + height < 70))
            x = slice(8 * (left > 0), width - 8 * (left + width < 83))
            around = expected[top : top + height, left : left + width]
            assert torch.equal(state[y, x], around[y, x])
            assert torch.equal(net.pixel_logits(state[None])[0][y, x],
                               net.pixel_logits(expected[None])[0, top:, left:][y, x])  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3])
def test_batches_can_be_cut_anyhow(count: int, threads: object) -> None:
    net, image, origin = network(), field(7, 9, 7), origins(7)
    threads(1)  # type: ignore[operator]
    with torch.no_grad():
        whole = net.rollout(image, 2, origin, fire_rate=0.03)
        threads(count)  # type: ignore[operator]
        for cut in (1, 2, 3, 7):
            state = torch.cat([
                net.rollout(image[first : first + cut], 2, origin[first : first + cut],
                            fire_rate=0.03)
                for first in range(0, 7, cut)
            ])  # fmt: skip
            assert torch.equal(state, whole)
            logits = torch.cat([net.classify(part) for part in state.split(cut)])
            assert torch.equal(logits, net.classify(whole))


def test_threads_are_left_as_they_were(threads: object) -> None:
    threads(2)  # type: ignore[operator]
    net = network()
    net.rollout(field(4, 9, 9)).sum().backward()
    assert torch.get_num_threads() == 2


def test_full_fire_rate_does_not_depend_on_the_seed() -> None:
    net, image = network(), field(1, 8, 9)
    with torch.no_grad():
        assert torch.equal(net.rollout(image, 1, fire_rate=1), net.rollout(image, 2, fire_rate=1))
        assert not torch.equal(net.rollout(image, 1), net.rollout(image, 2))


def test_rollout_steps_reports_and_returns_the_state() -> None:
    net, image = network(), field(3, 8, 8)
    seen, state = finish(net.rollout_steps(image, 6))
    assert seen[-1] == (30, 30)
    with torch.no_grad():
        assert torch.equal(state, net.rollout(image, 6))
    assert not torch.is_inference_mode_enabled()


def test_closed_rollout_stops() -> None:
    net = network(steps=100_000)
    run = net.rollout_steps(field(2, 16, 16))
    done, total = next(run)
    run.close()
    assert done < total


def test_steps_and_fire_rate_in_place_of_the_networks_own() -> None:
    net, image = network(), field(1, 8, 8)
    with torch.no_grad():
        state = net.rollout(image, steps=0)
    assert torch.equal(state[..., :3].permute(0, 3, 1, 2), image)
    assert not state[..., 3:].any()


def test_paper_size_trains_two_steps() -> None:
    net = network(channels=128, hidden=128, steps=64, classes=13, pool="max", readouts=0)
    optimiser = torch.optim.Adam(net.parameters(), 4e-4)
    image, target = field(2, 64, 64), torch.tensor([3, 8])
    losses = []
    for _ in range(2):
        optimiser.zero_grad()
        state = net.rollout(image, 0, checkpointing=True)
        loss = F.cross_entropy(net.classify(state), target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


def test_layout_is_the_published_one() -> None:
    net = NCA(128, 128, 64, classes=13, pool="max", readouts=0)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == {
        "p0.weight": (128, 1, 3, 3), "p0.bias": (128,),
        "p1.weight": (128, 1, 3, 3), "p1.bias": (128,),
        "fc0.weight": (128, 384), "fc0.bias": (128,), "fc1.weight": (128, 128),
        "fc2.weight": (128, 128), "fc2.bias": (128,),
        "fc3.weight": (13, 128), "fc3.bias": (13,),
    }  # fmt: skip
    assert sum(value.numel() for value in net.parameters()) == 86_413


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_classify_pools_and_classifies(pool: str) -> None:
    net, state = network(pool=pool), torch.randn(3, 5, 6, 12)
    pooled = state.mean((1, 2)) if pool == "mean" else state.amax((1, 2))
    torch.testing.assert_close(net.classify(state), net.fc3(F.relu(net.fc2(pooled))))
    image = field(2, 6, 6)
    torch.testing.assert_close(net(image, 3), net.classify(net.rollout(image, 3)))


def test_pixel_logits_and_readout() -> None:
    net, state = network(), torch.randn(2, 5, 6, 12)
    logits = net.pixel_logits(state)
    assert logits.shape == (2, 5, 6, 6)
    torch.testing.assert_close(logits[1, 2, 3], net.fc3(F.relu(net.fc2(state[1, 2, 3]))))
    assert net.readout(state).shape == (2, 5, 6, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NCA(channels=3), "channels is 3; the image alone takes 3"),
        (lambda: NCA(pool="sum"), "pool is 'sum'; choose one of mean, max, mean_max, parts"),
        (lambda: network(readouts=0).readout(torch.zeros(1, 4, 4, 12)), "no readout 'centre'"),
        (lambda: network().rollout(torch.zeros(1, 4, 8, 8)), r"image has shape \(1, 4, 8, 8\)"),
        (lambda: network().rollout(torch.zeros(3, 8, 8)), r"image has shape \(3, 8, 8\)"),
        (lambda: network().rollout(torch.zeros(0, 3, 8, 8)), r"image has shape \(0, 3, 8, 8\)"),
        (lambda: network().rollout(torch.zeros(1, 3, 1, 8)), r"image has shape \(1, 3, 1, 8\)"),
        (lambda: network().rollout(field(2, 8, 8), 0, torch.zeros(1, 2)), r"expected \(2, 2\)"),
    ],
)
def test_messages(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_parts_are_told_apart_by_the_readouts():
    torch.manual_seed(0)
    parts = NCA(8, 8, 1, classes=3, pool="parts")
    state = torch.rand(2, 5, 6, 8)
    cell, nucleus = parts.readout(state).sigmoid().unbind(-1)
    features = parts.pooled(state)
    assert features.shape == (2, 48)
    for weights, start in ((cell**2, 16), (nucleus, 32), (cell**2 * (1 - nucleus), 40)):
        expected = (state * weights[..., None]).sum((1, 2)) / weights.sum((1, 2))[:, None]
        torch.testing.assert_close(features[:, start : start + 8], expected, rtol=1e-4, atol=1e-5)
    alone, pixel = parts.pixel_logits(state[:, :1, :1]), state[:, 0, 0]
    own = torch.cat([pixel, pixel, pixel, 0 * pixel, pixel, pixel], 1)  # without any spread
    torch.testing.assert_close(alone[:, 0, 0], parts.head(own), rtol=1e-5, atol=1e-6)


def test_parts_need_readouts():
    with pytest.raises(ValueError, match="needs the readouts"):
        NCA(8, 8, 1, pool="parts", readouts=0)
