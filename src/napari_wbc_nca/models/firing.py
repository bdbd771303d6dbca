"""Cells that fire: δ of the automaton's step, by a counter-based random generator.

δ depends on the seed, whose lowest 64 bits count, the step and the cell's absolute position only:
it is the same in a tile as in the whole field, and on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = 0xFFFF_FFFF
# Multipliers of a 32-bit finaliser with low bias (hash-prospector); both are below 2**31, so
# that their product with a 32-bit word fits a signed 64-bit integer.
_FIRST = 0x21F0_AAAD
_SECOND = 0x735A_2D97
_GOLDEN = 0x9E37_79B9


def _mix(word: Tensor) -> Tensor:
    """Scramble 32-bit words held in int64; a bijection."""
    word = ((word ^ (word >> 16)) * _FIRST) & _WORD
    word = ((word ^ (word >> 15)) * _SECOND) & _WORD
    return word ^ (word >> 15)


def cell_hashes(seed: int, y: Tensor, x: Tensor) -> Tensor:
    """Hash seed and position of each cell to int64 words below 2**32; parameters of `fire_mask`."""
    low = torch.tensor(seed & _WORD, dtype=torch.int64, device=y.device)
    rows = _mix(_mix(_mix(low) ^ ((seed >> 32) & _WORD)) ^ (y & _WORD))
    return _mix(rows ^ (x & _WORD))


def fire_from_hashes(words: Tensor, steps: Tensor, rate: float) -> Tensor:
    """Draw δ from :func:`cell_hashes` and int64 `steps`, which broadcast."""
    if rate >= 1:
        return torch.ones_like(words ^ steps, dtype=torch.bool)
    return _mix(words ^ ((steps * _GOLDEN) & _WORD)) < round(rate * 2**32)


def fire_mask(seed: int, step: int, y: Tensor, x: Tensor, rate: float) -> Tensor:
    """Draw δ of the cells at absolute `y`, `x` in a step.

    Parameters
    ----------
    seed
        Any integer.
    step
        Step of the rollout, from 0.
    y, x
        int64 absolute coordinates in pixels, negative ones too; broadcast against each other.
    rate
        Share of the cells that fire; all do from 1 on.

    Returns
    -------
    bool, in the broadcast shape

    Examples
    --------
    >>> import torch
    >>> rows = torch.arange(2)[:, None]
    >>> fire_mask(0, 0, rows, torch.arange(3), rate=1.0).tolist()
    [[True, True, True], [True, True, True]]
    """
    count = torch.tensor(step, dtype=torch.int64, device=y.device)
    return fire_from_hashes(cell_hashes(seed, y, x), count, rate)


class FiringSchedule:
    """Cells that fire in each step, in windows of one `size` (height, width).

    `origin` is the ``(B, 2)`` int64 absolute row and column of each window's first pixel.
    """

    # Steps are drawn several at a time while small, as each operation has a fixed cost.
    _DRAWN_AT_ONCE = 2**17

    def __init__(self, seed: int, origin: Tensor, size: tuple[int, int], rate: float) -> None:
        height, width = size
        y = origin[:, 0, None, None] + torch.arange(height, device=origin.device)[:, None]
        x = origin[:, 1, None, None] + torch.arange(width, device=origin.device)
        self._keys = cell_hashes(seed, y, x).reshape(1, -1)
        self._rate = rate
        self._every = torch.arange(self._keys.numel(), device=origin.device)
        self._first, self._drawn = 0, list[Tensor]()

    def rows(self, step: int) -> Tensor:
        """Return the ascending flat indices into ``(B, H, W)`` of the cells that fire in `step`."""
        if self._rate >= 1:
            return self._every
        if not self._first <= step < self._first + len(self._drawn):
            self._draw(step)
        return self._drawn[step - self._first]

    def _draw(self, step: int) -> None:
        count = max(1, self._DRAWN_AT_ONCE // max(self._keys.numel(), 1))
        self._first = step - step % count
        steps = torch.arange(self._first, self._first + count, device=self._keys.device)[:, None]
        fired = fire_from_hashes(self._keys, steps, self._rate)
        self._drawn = [row.nonzero().squeeze(1) for row in fired]
