"""Cross-validate a method: within one data set, or between several."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pandas as pd

from napari_wbc_nca.datasets.splits import find_duplicates, stratified_folds
from napari_wbc_nca.evaluation import plots
from napari_wbc_nca.evaluation.cells import CellEvaluation, measure_cells
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_images
from napari_wbc_nca.evaluation.report import Report, markdown
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import map_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_wbc_nca.evaluation.params import CrossValidateParams
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

T = TypeVar("T")
Folds = list[tuple[EvaluationImage, int]]
"""Images of a data set, each with the number of its fold."""

PLOTTED = ("cell_iou", "nucleus_iou", "f1", "type_balanced", "type_balanced_all", "type_accuracy")
"""Metrics that are shown as a matrix of training and test sets."""


@dataclass(frozen=True, eq=False)
class CrossValidation(Report):
    """Results of a method within and between data sets.

    `folds` has one row a trained model, test set and projection, with the figures of its summary;
    `transfer` one a projection, figure, training and test set, with ``mean`` and sample standard
    deviation ``sd`` over the folds.
    """

    stem: ClassVar[str] = "transfer"

    folds: pd.DataFrame
    transfer: pd.DataFrame
    provenance: dict[str, Any]

    def text(self) -> str:
        """Return the matrices of training (rows) and test sets as Markdown, mean ± SD."""
        tables = []
        for (metric, projection), mean, sd in self._matrices():
            both = mean.map("{:.3f}".format) + " ± " + sd.map("{:.3f}".format)
            keys = {"figure": metric, "projection": projection, "trained on": mean.index}
            tables.append(pd.concat([pd.DataFrame(keys, index=mean.index), both], axis=1))
        title = f"{self.provenance['method']}: mean ± SD by test set (columns)"
        return self.join(title, [markdown(pd.concat(tables))])

    def headline(self) -> str:
        """Return the number of trained models."""
        count = len(self.folds[["train", "fold"]].drop_duplicates())
        return f"{count} models of {self.provenance['method']} trained and measured"

    def figures(self) -> dict[str, Figure]:
        """Plot the matrices of several data sets."""
        return {
            f"{metric}_{projection}": plots.plot_matrix(mean, sd)
            for (metric, projection), mean, sd in self._matrices()
            if len(mean) > 1
        }

    def _matrices(self) -> Iterator[tuple[tuple[str, str], pd.DataFrame, pd.DataFrame]]:
        """Yield metric and projection, means, and standard deviations of each matrix."""
        shown = self.transfer[self.transfer["figure"].isin(PLOTTED)]
        for (metric, projection), rows in shown.groupby(["figure", "projection"], sort=False):
            names = list(dict.fromkeys(rows["train"]))
            mean, sd = (
                rows.pivot(index="train", columns="test", values=value).loc[names, names]
                for value in ("mean", "sd")
            )
            yield (str(metric), str(projection)), mean, sd


def cross_validate(
    method: str,
    data: Sequence[str | Path],
    params: CrossValidateParams,
    train: Any = None,
    segment: NcaParams | None = None,
) -> Generator[Progress, None, CrossValidation]:
    """Train models of a method on each data set, and measure them on that and on every other.

    Each data set is divided into folds that keep groups, such as slides, whole. A model for each
    fold is trained on the weak labels of the others, and measured on its own fold and on the whole
    of every other data set. A type is measured where the model was trained on it.

    `data` are as `evaluate` takes them; `train` and `segment` are the parameters of training and
    prediction, the method's defaults where None. A ValueError says when a data set has fewer groups
    than folds, or two share an image, on which a model would be both trained and measured.
    """
    known = registry.get(method)
    learn, train = registry.load(known.train), check(train or known.train_params())
    segment = check(segment or known.predict_params())
    sets = _read_folds(data, check(params), train.seed)
    rows = []
    for name, fold in [(name, fold) for name in sets for fold in range(params.folds)]:
        where = f"{name}, fold {fold + 1} of {params.folds}"
        samples = [image.sample for image, own in sets[name] if own != fold]
        checkpoint: Checkpoint = yield from _prefix(learn(samples, train), f"train on {where}")
        for other, images in sets.items():
            test = [image for image, own in images if other != name or own == fold]
            steps = measure_cells(checkpoint, test, params, segment)
            measured: CellEvaluation = yield from _prefix(steps, f"{where}, measure {other}")
            figures = measured.summary.drop_duplicates("projection").drop(columns="data")
            rows.append(figures.assign(train=name, test=other, fold=fold + 1))
    folds = pd.concat(rows, ignore_index=True)
    settings = {"train": as_dict(train), "evaluate": as_dict(params), "segment": as_dict(segment)}
    record = {"method": method, "data": [str(path) for path in data], **settings}
    return CrossValidation(folds, _average_folds(folds), record)


def _average_folds(folds: pd.DataFrame) -> pd.DataFrame:
    """Compute mean and sample standard deviation of each figure over the folds."""
    long = folds.melt(["projection", "train", "test", "fold"], var_name="figure")
    groups = long.groupby(["projection", "figure", "train", "test"], sort=False)["value"]
    return groups.agg(mean="mean", sd="std").reset_index()


def _read_folds(
    data: Sequence[str | Path], params: CrossValidateParams, seed: int
) -> dict[str, Folds]:
    """Read data sets by name, divided into folds."""
    found = {Path(path).stem: read_images(path, params) for path in data}
    if len(found) < len(data):
        raise ValueError(f"two of {', '.join(map(str, data))} have one name; rename one of them")
    paths = [[image.sample.path for image in images] for images in found.values()]
    for first, second in combinations(paths, 2):
        for one, other in find_duplicates(first, second)[:1]:
            raise ValueError(
                f"{one} and {other} show the same picture, so a model would be measured on its "
                "training data; exclude it from one of the data sets"
            )
    sets = {}
    for name, images in found.items():
        groups = [f"{image.sample.source}/{image.sample.group}" for image in images]
        classes = [image.sample.names for image in images]
        folds = stratified_folds(groups, classes, params.folds, seed).tolist()
        sets[name] = list(zip(images, folds, strict=True))
    return sets


def _prefix(steps: Generator[Progress, None, T], text: str) -> Generator[Progress, None, T]:
    """Put the name of a part of the work before its messages."""
    return (yield from map_progress(steps, lambda s: replace(s, message=f"{text}: {s.message}")))
