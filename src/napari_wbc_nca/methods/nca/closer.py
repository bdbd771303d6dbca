"""Types told from a closer look: a linear classifier that laboratories must not sway."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from napari_wbc_nca.methods.nca.readout import fit_linear, over_windows

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaTrainParams
    from napari_wbc_nca.methods.nca.windows import Windows
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress

_PULL = 3e-3  # weight of the distance to where the classifier was; to nothing, for a new one
_EVEN = 0.05  # weight of what settings differ by
_ITERATIONS = 200
_FEW = 4  # windows of a type that a setting has to be compared by


def close_side(window: int, diameter: float, closer: float) -> int:
    """Side of a window seen closer: as many pixels stay around a typical cell.

    Examples
    --------
    >>> close_side(48, 28.0, 1.5)
    62
    """
    return round(window + (closer - 1) * diameter)


def fit_types(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    r"""Fit the classifier of types to ``params.type_windows`` windows, in place.

    .. math::
        L = -\overline{\log p_t} + \mu \sum_c \frac{1}{|S_c|} \sum_{s \in S_c}
        \left| \bar z_{cs} - \bar z_c \right|^2

    :math:`\bar z_{cs}` are the mean logits, less their mean over the types, of the windows of
    type c from setting s, a laboratory or slide, and :math:`\bar z_c` is their mean over the
    settings :math:`S_c` that have the type. Where types were told by how a laboratory stains,
    cells of one type would differ between laboratories; the second term leaves little of that.

    Parameters
    ----------
    network
        With a classifier of types.
    windows
        Of cells of known type, seen as close as the network sees them.
    params
        Of the training.
    """
    if network.types is None:
        return
    taken = yield from over_windows(
        network,
        windows,
        params.type_windows,
        params,
        "Fitting the types",
        lambda states, batch: (network.pooled(states), batch.allowed, batch.settings),
        salt=(2,),
    )
    features, allowed, settings = zip(*taken, strict=True)
    types = torch.cat(allowed).to(torch.uint8).argmax(1)
    groups = _groups(types, [name for names in settings for name in names])
    pooled = torch.cat(features)
    # What is taught further keeps its word on types that it is not shown now.
    new = not network.types.weight.any()
    kinds = list(range(len(network.types.bias))) if new else sorted(set(types.tolist()))
    wanted = torch.tensor([kinds.index(kind) for kind in types.tolist()], device=pooled.device)

    def loss(logits: torch.Tensor) -> torch.Tensor:
        own = logits[:, kinds]
        return cross_entropy(own, wanted) + _EVEN * unevenness(own, groups)

    fit_linear(network.types, pooled, loss, _PULL, _ITERATIONS)


def unevenness(logits: torch.Tensor, groups: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """How much the mean logits of a type differ between settings.

    Parameters
    ----------
    logits
        ``(N, types)``.
    groups
        For each type the rows of each setting that has it.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[1.0, -1.0], [3.0, -3.0]])
    >>> unevenness(logits, [[torch.tensor([0]), torch.tensor([1])]]).item()
    2.0
    """
    relative = logits - logits.mean(1, keepdim=True)
    total = logits.new_zeros(())
    for rows in groups:
        means = torch.stack([relative[own].mean(0) for own in rows])
        total = total + ((means - means.mean(0)) ** 2).sum() / len(means)
    return total


def _groups(types: torch.Tensor, settings: Sequence[str]) -> list[list[torch.Tensor]]:
    """For each type the rows of each setting that has some of it."""
    names = sorted(set(settings))
    setting = torch.tensor([names.index(name) for name in settings])
    rows = {
        kind: [((types == kind) & (setting == n)).nonzero()[:, 0] for n in range(len(names))]
        for kind in sorted(set(types.tolist()))
    }
    enough = [[own for own in found if len(own) >= _FEW] for found in rows.values()]
    return [found for found in enough if found]
