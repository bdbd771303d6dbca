"""Looks at windows: turned, and closer where a network tells types so."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.methods.nca.closer import close_side
from napari_wbc_nca.progress import map_progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.nca.locate import Centre
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

Chances = npt.NDArray[np.float64]
Logits = Callable[[torch.Tensor], torch.Tensor]
Tell = Callable[[float], "Progress"]


@dataclass(frozen=True, eq=False)
class Window:
    """A window as the network saw it: where it lies in which view, and its last state."""

    view: Field
    part: Part
    state: torch.Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network made of the surroundings of one centre.

    Attributes
    ----------
    window
        Seen at the model's scale.
    told
        The window that told the type: the same, or one seen closer.
    chances
        ``(classes,)`` probabilities.
    """

    window: Window
    told: Window
    chances: Chances


@dataclass(frozen=True, eq=False)
class Looker:
    """A network that looks at a field."""

    network: NCA
    checkpoint: Checkpoint
    params: NcaParams
    view: Field

    @cached_property
    def close(self) -> Field:
        """The field where types are told, by a network that sees them closer."""
        return self.view.rescaled(self.view.factor / self.network.closer)

    def at(self, centres: Sequence[Centre], tell: Tell) -> Generator[Progress, None, list[Seen]]:
        """What the network makes of the surroundings of `centres` (model pixels).

        A network that sees types closer is asked for them there, and at the model's scale only
        whether there is a white blood cell.

        Parameters
        ----------
        centres
            In model pixels.
        tell
            Progress from the share that is done, 0–1.
        """
        side, turns, closer = self.checkpoint.window, self.params.tta_rotations, self.network.closer
        classify = self.network.classify
        if not closer:
            windows, chances = yield from self._turned(
                self.view, centres, side, turns, classify, tell
            )
            return [Seen(w, w, own) for w, own in zip(windows, chances, strict=True)]
        first = 1 / (1 + closer**2 * turns)
        windows, chances = yield from self._turned(
            self.view, centres, side, 1, classify, lambda share: tell(first * share)
        )
        middles = [self.close.from_image(self.view.to_image(centre)) for centre in centres]
        told, types = yield from self._turned(
            self.close,
            middles,
            close_side(side, self.checkpoint.diameter, closer),
            turns,
            self.network.tell,
            lambda share: tell(first + (1 - first) * share),
        )
        none = chances[:, -1:]
        both = np.hstack([(1 - none) * types, none])
        return [Seen(*one) for one in zip(windows, told, both, strict=True)]

    def _turned(
        self,
        view: Field,
        centres: Sequence[Centre],
        side: int,
        turns: int,
        logits: Logits,
        tell: Tell,
    ) -> Generator[Progress, None, tuple[list[Window], Chances]]:
        """Windows, and probabilities that are the mean of looks turned by 90° each.

        Other cells fire in each look; the states are those of the first.
        """
        parts = [view.window(centre, side) for centre in centres]
        images = torch.stack([view.read(part) for part in parts])
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
                windows = [Window(view, *one) for one in zip(parts, states, strict=True)]
            looks.append(self._probabilities(states, logits))
        return windows, np.mean(looks, axis=0)

    def _probabilities(self, states: torch.Tensor, logits: Logits) -> Chances:
        """``(N, classes)`` probabilities of ``(N, h, w, C)`` states, the same however many."""
        with torch.inference_mode():
            found = torch.cat([logits(state[None]) for state in states])
        sigmoid = self.checkpoint.card.get("activation") == "sigmoid"
        found = found.cpu().double()  # after the move: not every device knows double precision
        return np.asarray((found.sigmoid() if sigmoid else found.softmax(1)).numpy())


def _told(tell: Tell, turn: int, turns: int, step: tuple[int, int]) -> Progress:
    """Progress of one look of several."""
    done, total = step
    return tell((turn + done / total) / turns)
