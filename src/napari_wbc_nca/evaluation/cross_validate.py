"""Train and measure in folds: on one data set, or on each against every other."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from napari_wbc_nca.datasets.duplicates import same_pictures
from napari_wbc_nca.datasets.splits import stratified_folds
from napari_wbc_nca.evaluation.evaluate import Evaluation, measure
from napari_wbc_nca.evaluation.targets import Target, targets
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import map_progress

if TYPE_CHECKING:
    from napari_wbc_nca.evaluation.params import CrossValidateParams
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

T = TypeVar("T")
Part = list[tuple[Target, int]]
"""Pictures of a data set, each with its fold."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """How a method does within and across data sets.

    Attributes
    ----------
    folds
        One row a trained model, test set and projection, with the figures of its summary.
    table
        One row a projection, figure, training and test set: ``mean`` and sample standard
        deviation ``sd`` over the folds.
    provenance
        Method, data and every parameter.
    """

    folds: pd.DataFrame
    table: pd.DataFrame
    provenance: dict[str, Any]


def cross_validate(
    method: str,
    data: Sequence[str | Path],
    params: CrossValidateParams,
    train: Any = None,
    segment: NcaParams | None = None,
) -> Generator[Progress, None, Transfer]:
    """Measure models trained on each data set on that and on every other.

    Each data set is divided into folds that keep groups, such as slides, whole. A model for each
    fold is trained on the weak labels of the others, and measured on its own fold and on the
    whole of every other data set. A type is measured where the model has seen it.

    Parameters
    ----------
    method
        Name in the registry.
    data
        One data set or several, as `evaluate` takes them.
    params, segment
        How is measured; the method's own defaults where `segment` is None.
    train
        Parameters of the method's training; its own defaults where None.

    Raises
    ------
    ValueError
        When a data set has fewer groups than folds, or two share a picture, on which a model
        would be both trained and measured.
    """
    known = registry.get(method)
    learn, train = registry.load(known.train), check(train or known.train_params())
    segment = check(segment or known.predict_params())
    sets = _divided(data, check(params), train.seed)
    rows = []
    for name, fold in [(name, fold) for name in sets for fold in range(params.folds)]:
        where = f"{name}, fold {fold + 1} of {params.folds}"
        seen = [target.sample for target, own in sets[name] if own != fold]
        checkpoint: Checkpoint = yield from _said(learn(seen, train), f"train on {where}")
        for other, part in sets.items():
            unseen = [target for target, own in part if other != name or own == fold]
            work = measure(checkpoint, unseen, params, segment)
            measured: Evaluation = yield from _said(work, f"{where}, measure {other}")
            figures = measured.summary.drop_duplicates("projection").drop(columns="data")
            rows.append(figures.assign(train=name, test=other, fold=fold + 1))
    folds = pd.concat(rows, ignore_index=True)
    settings = {"train": as_dict(train), "evaluate": as_dict(params), "segment": as_dict(segment)}
    record = {"method": method, "data": [str(path) for path in data], **settings}
    return Transfer(folds, spread(folds), record)


def spread(folds: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of each figure over the folds."""
    long = folds.melt(["projection", "train", "test", "fold"], var_name="figure")
    groups = long.groupby(["projection", "figure", "train", "test"], sort=False)["value"]
    return groups.agg(mean="mean", sd="std").reset_index()


def _divided(data: Sequence[str | Path], params: CrossValidateParams, seed: int) -> dict[str, Part]:
    """Data sets by name, divided into folds."""
    found = {Path(path).stem: targets(path, params) for path in data}
    if len(found) < len(data):
        raise ValueError(f"two of {', '.join(map(str, data))} have one name; rename one of them")
    _refuse_copies(found)
    sets = {}
    for name, pictures in found.items():
        groups = [f"{target.sample.source}/{target.sample.group}" for target in pictures]
        classes = [target.sample.names for target in pictures]
        folds = stratified_folds(groups, classes, params.folds, seed).tolist()
        sets[name] = list(zip(pictures, folds, strict=True))
    return sets


def _refuse_copies(sets: Mapping[str, Sequence[Target]]) -> None:
    for pair in combinations(sets, 2):
        first, second = ([target.sample.path for target in sets[name]] for name in pair)
        for one, other in same_pictures(first, second)[:1]:
            raise ValueError(
                f"{one} and {other} show the same picture, so a model would be measured on what "
                "it has learnt; exclude it from one of the data sets"
            )


def _said(work: Generator[Progress, None, T], what: str) -> Generator[Progress, None, T]:
    """Let the messages of a part of the work say which part it is."""
    return (
        yield from map_progress(work, lambda step: replace(step, message=f"{what}: {step.message}"))
    )
