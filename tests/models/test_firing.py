from __future__ import annotations

import pytest
import torch

from napari_wbc_nca.models.firing import FiringSchedule, fire_mask


def mix(word: int) -> int:
    word = ((word ^ (word >> 16)) * 0x21F0AAAD) % 2**32
    word = ((word ^ (word >> 15)) * 0x735A2D97) % 2**32
    return word ^ (word >> 15)


def fires_by_integers(seed: int, step: int, y: int, x: int, rate: float) -> bool:
    seed %= 2**64
    key = mix(mix(mix(mix(seed % 2**32) ^ (seed // 2**32)) ^ (y % 2**32)) ^ (x % 2**32))
    return mix(key ^ (step * 0x9E3779B9) % 2**32) < round(rate * 2**32)


def grid(side: int, y0: int = 0, x0: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    line = torch.arange(side)
    return y0 + line[:, None], x0 + line


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 + 12345, -7])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_equals_python_integers(seed: int, rate: float) -> None:
    y, x = grid(9, -4, 2**31 - 5)
    for step in (0, 1, 63, 70_000):
        found = fire_mask(seed, step, y, x, rate)
        expected = [
            [fires_by_integers(seed, step, int(row), int(column), rate) for column in x]
            for row in y[:, 0]
        ]
        assert found.tolist() == expected


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_share_of_cells_is_the_rate(rate: float) -> None:
    y, x = grid(512)
    for step in range(4):
        share = fire_mask(3, step, y, x, rate).double().mean().item()
        # Five standard deviations of a binomial share.
        assert abs(share - rate) < 5 * (rate * (1 - rate)) ** 0.5 / 512


def test_every_row_and_column_has_its_share() -> None:
    y, x = grid(1024)
    drawn = fire_mask(5, 2, y, x, 0.5).double()
    for axis in (0, 1):
        assert (drawn.mean(axis) - 0.5).abs().max() < 6 * 0.5 / 32


@pytest.mark.parametrize(
    ("seed", "step", "dy", "dx"), [(0, 1, 0, 0), (0, 2, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0),
                                   (0, 0, 1, 1), (0, 0, 1, -1), (1, 0, 0, 0), (0, 1, 1, 0)]
)  # fmt: skip
def test_draws_are_independent(seed: int, step: int, dy: int, dx: int) -> None:
    first = fire_mask(11, 4, *grid(512), 0.5).double() - 0.5
    second = fire_mask(11 + seed, 4 + step, *grid(512, dy, dx), 0.5).double() - 0.5
    assert abs((first * second).mean().item() * 4) < 5 / 512


def test_runs_of_one_cell_over_steps() -> None:
    y, x = grid(64)
    drawn = torch.stack([fire_mask(0, step, y, x, 0.5) for step in range(128)]).double()
    # The number of firings of a cell is binomial, with variance 128 / 4.
    assert abs(drawn.sum(0).var().item() - 32) < 5 * 32 * (2 / 4096) ** 0.5


def test_full_rate_fires_everywhere() -> None:
    assert fire_mask(0, 0, *grid(5), 1.0).all()


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_windows_draw_by_absolute_coordinates(rate: float) -> None:
    origin = torch.tensor([[0, 0], [-3, 7], [100, 2**31]])
    firing = FiringSchedule(6, origin, (13, 8), rate)
    for step in (0, 9, 1, 40):
        expected = torch.stack(
            [
                fire_mask(
                    6, step, int(y) + torch.arange(13)[:, None], int(x) + torch.arange(8), rate
                )
                for y, x in origin
            ]
        )
        assert torch.equal(firing.rows(step), expected.flatten().nonzero().squeeze(1))


def test_windows_too_large_to_draw_several_steps_at_once() -> None:
    firing = FiringSchedule(6, torch.zeros(1, 2, dtype=torch.int64), (400, 401), 0.5)
    expected = fire_mask(6, 3, torch.arange(400)[:, None], torch.arange(401), 0.5)
    assert torch.equal(firing.rows(3), expected.flatten().nonzero().squeeze(1))
