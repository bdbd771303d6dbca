"""Classification of the windows around cells, averaged over rotations."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.progress import map_progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.nca.locate import Centre
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

Chances = npt.NDArray[np.float64]
Tell = Callable[[float], "Progress"]


@dataclass(frozen=True, eq=False)
class Window:
    """A window of the field, and the automaton's last state in it."""

    part: Part
    state: torch.Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """The window around one centre, and its ``(classes,)`` probabilities."""

    window: Window
    chances: Chances


@dataclass(frozen=True, eq=False)
class Looker:
    """A network that looks at a field."""

    network: NCA
    checkpoint: Checkpoint
    params: NcaParams
    view: Field

    def at(self, centres: Sequence[Centre], tell: Tell) -> Generator[Progress, None, list[Seen]]:
        """Classify the windows around `centres`: the mean over windows turned by 90° each.

        Other cells fire in each rotation; the states are those of the first.

        Parameters
        ----------
        centres
            In model pixels.
        tell
            Progress from the share that is done, 0–1.
        """
        turns = self.params.tta_rotations
        parts = [self.view.window(centre, self.checkpoint.window) for centre in centres]
        images = torch.stack([self.view.read(part) for part in parts])
        images = images.to(next(self.network.parameters()).device)
        origin = torch.tensor([[rows.start, columns.start] for rows, columns in parts])
        looks: list[Chances] = []
        for turn in range(turns):
            steps = self.network.rollout_steps(
                torch.rot90(images, turn, (2, 3)).contiguous(),
                self.params.seed,
                origin,
                fire_rate=self.params.fire_rate,
            )
            states = yield from map_progress(steps, partial(_told, tell, turn, turns))
            if not looks:
                windows = [Window(*one) for one in zip(parts, states, strict=True)]
            looks.append(self._probabilities(states))
        chances = np.mean(looks, axis=0)
        return [Seen(*one) for one in zip(windows, chances, strict=True)]

    def _probabilities(self, states: torch.Tensor) -> Chances:
        """``(N, classes)`` probabilities of ``(N, h, w, C)`` states, the same however many."""
        with torch.inference_mode():
            found = torch.cat([self.network.classify(state[None]) for state in states])
        sigmoid = self.checkpoint.card.get("activation") == "sigmoid"
        found = found.cpu().double()  # after the move: not every device knows double precision
        return np.asarray((found.sigmoid() if sigmoid else found.softmax(1)).numpy())


def _told(tell: Tell, turn: int, turns: int, step: tuple[int, int]) -> Progress:
    """Progress of one look of several."""
    done, total = step
    return tell((turn + done / total) / turns)
