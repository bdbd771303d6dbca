"""Neural cellular automaton of WBC-NCA and NCA-WSS.

One network for both papers: they differ in its size and in how the last state is pooled.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_wbc_nca.models import nca_kernel
from napari_wbc_nca.models.nca_kernel import IMAGE_CHANNELS, Plan, Weights, repeat_rows

Pool = Literal["mean", "max", "mean_max", "parts"]
FEATURES_PER_CHANNEL = {"mean": 1, "max": 1, "mean_max": 2, "parts": 6}
"""Features of a window per channel, by how it is pooled."""
_PIXELS_AT_ONCE = 2**16


def nca_step(network: NCA, state: Tensor, fire: Tensor) -> Tensor:
    r"""Compute one step of the automaton as the papers write it.

    .. math:: c \leftarrow c + \delta \, f_u(f_p(N_c)), \quad
        f_p(N_c) = (c,\; p_0 * c,\; p_1 * c), \quad f_u(x) = W_1 \mathrm{relu}(W_0 x + b)

    :meth:`NCA.rollout` computes the same by a faster kernel; a test compares states and gradients.

    Parameters
    ----------
    network
        Perception `p0` and `p1`, update `fc0` and `fc1`.
    state
        ``(B, C, H, W)``; the image stays in the first three channels.
    fire
        ``(B, H, W)`` bool δ, one for all channels of a cell.
    """
    p0, p1 = network.p0(state), network.p1(state)  # (B, C, H, W) each, borders reflected
    perceived = torch.cat((state, p0, p1), 1).permute(0, 2, 3, 1)  # (B, H, W, 3C)
    hidden = F.relu(network.fc0(perceived))  # (B, H, W, hidden)
    update = network.fc1(hidden).permute(0, 3, 1, 2)  # (B, C, H, W)
    after = state + fire[:, None] * update
    return torch.cat((state[:, :IMAGE_CHANNELS], after[:, IMAGE_CHANNELS:]), 1)


class NCA(nn.Module):
    """Neural cellular automaton with a classifier over its last state.

    Parameters
    ----------
    channels, hidden, steps
        Channels of the state, width of the update's hidden layer, steps of a rollout.
    classes, head
        Outputs of the classifier, and width of its hidden layer.
    pool
        Pooling of the state to one vector: ``"mean"`` (NCA-WSS), ``"max"`` (WBC-NCA), both of
        them, or ``"parts"``, by cell, nucleus and cytoplasm; see :meth:`pooled`.
    fire_rate
        Share of the cells updated in a step.
    readouts
        Outputs of the linear readout of each pixel (cell, nucleus); 0 for none, as in
        published checkpoints.
    """

    def __init__(
        self,
        channels: int = 32,
        hidden: int = 32,
        steps: int = 32,
        classes: int = 6,
        pool: Pool = "mean",
        head: int = 128,
        fire_rate: float = 0.5,
        readouts: int = 2,
    ) -> None:
        super().__init__()
        if channels <= IMAGE_CHANNELS:
            raise ValueError(f"channels is {channels}; the image alone takes {IMAGE_CHANNELS}")
        if pool not in FEATURES_PER_CHANNEL:
            raise ValueError(f"pool is {pool!r}; choose one of {', '.join(FEATURES_PER_CHANNEL)}")
        if pool == "parts" and readouts < 2:
            raise ValueError("pool 'parts' needs the readouts of cell and nucleus")
        self.channels, self.steps, self.pool, self.fire_rate = channels, steps, pool, fire_rate
        self.p0, self.p1 = (
            nn.Conv2d(channels, channels, 3, groups=channels, padding=1, padding_mode="reflect")
            for _ in range(2)
        )
        self.fc0 = nn.Linear(3 * channels, hidden)
        self.fc1 = nn.Linear(hidden, channels, bias=False)
        self.fc2 = nn.Linear(channels * FEATURES_PER_CHANNEL[pool], head)
        self.fc3 = nn.Linear(head, classes)
        self.centre = nn.Linear(channels, readouts) if readouts else None
        # Drawn small rather than zero: from zeros, training stands still for epochs.
        nn.init.normal_(self.fc1.weight, std=0.03)

    def forward(self, image: Tensor, seed: int = 0, origin: Tensor | None = None) -> Tensor:
        """Classify ``(B, 3, H, W)`` normalised images: ``(B, classes)`` logits."""
        return self.classify(self.rollout(image, seed, origin))

    def rollout(
        self,
        image: Tensor,
        seed: int = 0,
        origin: Tensor | None = None,
        *,
        fire_rate: float | None = None,
        steps: int | None = None,
        checkpointing: bool = False,
    ) -> Tensor:
        """Run all steps to the ``(B, H, W, C)`` state, with a gradient where it is enabled.

        Parameters
        ----------
        image
            ``(B, 3, H, W)`` normalised float image, H and W at least 2.
        seed
            Seed of δ.
        origin
            ``(B, 2)`` int64 absolute row and column of each window's first pixel, which δ
            depends on; (0, 0) for all when None.
        fire_rate, steps
            In place of the network's.
        checkpointing
            Recompute the states in the backward pass instead of keeping them.

        Raises ValueError for an image or origin of another shape.
        """
        plan = self._plan(image, seed, origin, fire_rate, steps, keep=not checkpointing)
        return nca_kernel.rollout(image, self._weights(), plan)

    def rollout_steps(
        self,
        image: Tensor,
        seed: int = 0,
        origin: Tensor | None = None,
        *,
        fire_rate: float | None = None,
        steps: int | None = None,
    ) -> Generator[tuple[int, int], None, Tensor]:
        """Run all steps without a gradient; parameters and result are those of :meth:`rollout`.

        Yields window-steps done and in all, several times a second. Closing the generator stops the
        rollout within a step.
        """
        plan = self._plan(image, seed, origin, fire_rate, steps)
        return nca_kernel.rollout_steps(image, self._weights(), plan)

    def classify(self, state: Tensor) -> Tensor:
        """Compute ``(B, classes)`` logits of windows by their ``(B, H, W, C)`` state."""
        return self.head(self.pooled(state))

    def pooled(self, state: Tensor) -> Tensor:
        """Pool each window of a ``(B, H, W, C)`` state to ``(B, F)`` features.

        F is C for ``mean`` and ``max``, 2 C for ``mean_max``, and 6 C for ``parts``: mean and
        maximum over the window, mean and spread over the cell, mean over its nucleus and over its
        cytoplasm, where the readouts are the weights of pixels.
        """
        if self.pool == "max":
            return state.amax((1, 2))
        # Window by window: one reduction over a batch is cut differently with its size.
        if self.pool != "parts":
            mean = torch.stack([window.mean((0, 1)) for window in state])
            return mean if self.pool == "mean" else torch.cat([mean, state.amax((1, 2))], 1)
        return torch.stack([self._pooled_parts(window) for window in state])

    def _pooled_parts(self, window: Tensor) -> Tensor:
        """Pool the ``(6 C,)`` features of one ``(H, W, C)`` window."""
        flat = window.reshape(-1, self.channels)
        # Detached: the loss of classes must not change the outlines.
        cell, nucleus = self.readout(window).detach().sigmoid().reshape(len(flat), -1).T[:2]
        cell = cell**2
        weights = [part / (part.sum() + 1e-6) for part in (cell, nucleus, cell * (1 - nucleus))]
        mean, dark, pale = ((flat * weight[:, None]).sum(0) for weight in weights)
        spread = ((flat - mean) ** 2 * weights[0][:, None]).sum(0)
        return torch.cat([flat.mean(0), flat.amax(0), mean, (spread + 1e-6).sqrt(), dark, pale])

    def head(self, features: Tensor) -> Tensor:
        """Compute the ``(N, classes)`` logits of ``(N, F)`` features."""
        logits: Tensor = self.fc3(F.relu(self.fc2(repeat_rows(features))))
        return logits[: len(features)]

    def pixel_logits(self, state: Tensor) -> Tensor:
        """Classify each pixel of a ``(B, H, W, C)`` state: ``(B, H, W, classes)`` logits."""
        logits = []
        for rows in torch.split(state.reshape(-1, self.channels), _PIXELS_AT_ONCE):
            # Each pixel is pooled as if it were a window.
            if self.pool == "mean_max":
                rows = torch.cat([rows, rows], 1)
            elif self.pool == "parts":
                rows = torch.cat([rows, rows, rows, torch.zeros_like(rows), rows, rows], 1)
            logits.append(self.head(rows))
        return torch.cat(logits).view(*state.shape[:3], -1)

    def readout(self, state: Tensor) -> Tensor:
        """Compute ``(B, H, W, readouts)`` logits of each pixel being cell and nucleus.

        Raises ValueError for a network without readouts.
        """
        if self.centre is None:
            raise ValueError("this network has no readout 'centre'; use another projection")
        logits: Tensor = self.centre(state)
        return logits

    def _weights(self) -> Weights:
        assert self.p0.bias is not None
        assert self.p1.bias is not None
        return Weights(
            self.p0.weight, self.p0.bias, self.p1.weight, self.p1.bias,
            self.fc0.weight, self.fc0.bias, self.fc1.weight,
        )  # fmt: skip

    def _plan(
        self,
        image: Tensor,
        seed: int,
        origin: Tensor | None,
        fire_rate: float | None,
        steps: int | None,
        keep: bool = True,
    ) -> Plan:
        shape = tuple(image.shape)
        if len(shape) != 4 or shape[1] != IMAGE_CHANNELS or not shape[0] or min(shape[2:]) < 2:
            raise ValueError(f"image has shape {shape}; expected (B, 3, H, W), B ≥ 1, H and W ≥ 2")
        if origin is None:
            origin = torch.zeros(shape[0], 2, dtype=torch.int64)
        if tuple(origin.shape) != (shape[0], 2):
            raise ValueError(f"origin has shape {tuple(origin.shape)}; expected ({shape[0]}, 2)")
        return Plan(
            seed,
            self.fire_rate if fire_rate is None else fire_rate,
            self.steps if steps is None else steps,
            origin.to(image.device, torch.int64),
            keep,
        )
