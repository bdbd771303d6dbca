"""Cross-validate a method: within one data set, or between several."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pandas as pd

from napari_wbc_nca.datasets.splits import find_duplicates, stratified_folds
from napari_wbc_nca.evaluation import plots
from napari_wbc_nca.evaluation.cells import CellEvaluation, measure_cells
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_images
from napari_wbc_nca.evaluation.report import Report, markdown
from napari_wbc_nca.io._files import to_json, write_files
from napari_wbc_nca.io.results import write_json
from napari_wbc_nca.io.weights import load, save
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import map_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_wbc_nca.evaluation.params import CrossValidateParams
    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

T = TypeVar("T")
Folds = list[tuple[EvaluationImage, int]]
"""Images of a data set, each with the number of its fold."""

PLOTTED = (
    *("cell_iou", "pca_iou", "nucleus_iou", "cell_dice", "f1", "centre_f1"),
    *("type_balanced", "type_balanced_all", "type_accuracy"),
)
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
            names, tests = (list(dict.fromkeys(rows[key])) for key in ("train", "test"))
            mean, sd = (
                rows.pivot(index="train", columns="test", values=value).loc[names, tests]
                for value in ("mean", "sd")
            )
            yield (str(metric), str(projection)), mean, sd


def cross_validate(
    method: str,
    data: Sequence[str | Path],
    params: CrossValidateParams,
    train: Any = None,
    segment: PredictParams | None = None,
    test: Sequence[str | Path] = (),
    folder: str | Path | None = None,
) -> Generator[Progress, None, CrossValidation]:
    """Train models of a method on each data set, and measure them on that and on every other.

    Each data set is divided into folds that keep groups, such as slides, whole. A model for each
    fold is trained on the weak labels of the others, and measured on its own fold and on the whole
    of every other data set. A type is measured where the model was trained on it.

    Parameters
    ----------
    data, test
        Data sets as `evaluate` takes them; those of `test` are measured only. All are read before
        the first training.
    train, segment
        Parameters of training and prediction, the method's defaults where None.
    folder
        Keeps what is finished, so that a stopped run goes on: the state of a training, the model of
        a fold, its figures on a data set. A data set can be added to a run that was finished.

    Raises
    ------
    ValueError
        When a data set has fewer groups than folds, two share an image, on which a model would be
        both trained and measured, or `folder` keeps folds of other settings.
    """
    known = registry.get(method)
    learn, train = registry.load(known.train), check(train or known.train_params())
    segment = check(segment or known.predict_params())
    sets = _read_folds(data, test, check(params), train.seed)
    settings = {"train": as_dict(train), "evaluate": as_dict(params), "segment": as_dict(segment)}
    kept = FoldStore(None if folder is None else Path(folder), {"method": method, **settings})
    rows = []
    trained = [Path(path).stem for path in data]
    for name, fold in [(name, fold) for name in trained for fold in range(params.folds)]:
        where = f"{name}, fold {fold + 1} of {params.folds}"
        samples = [image.sample for image, own in sets[name] if own != fold]
        checkpoint: Checkpoint | None = None
        for other, images in sets.items():
            if (figures := kept.figures(name, fold, other)) is None:
                if checkpoint is None:
                    steps = kept.model(name, fold, partial(learn, samples, train))
                    checkpoint = yield from _prefix(steps, f"train on {where}")
                shown = [image for image, own in images if other != name or own == fold]
                measure = measure_cells(checkpoint, shown, params, segment)
                measured: CellEvaluation = yield from _prefix(measure, f"{where}, measure {other}")
                figures = measured.summary.drop_duplicates("projection").drop(columns="data")
                kept.keep_figures(name, fold, other, figures)
            rows.append(figures.assign(train=name, test=other, fold=fold + 1))
    folds = pd.concat(rows, ignore_index=True)
    sources = {"data": [str(path) for path in data], "test": [str(path) for path in test]}
    return CrossValidation(folds, _average_folds(folds), {"method": method, **sources, **settings})


class FoldStore:
    """Models and figures of finished folds in a folder; keeps nothing where that is None.

    A ValueError says when the folder keeps folds that were made with other `settings`.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self.folder = None if folder is None else folder / "folds"
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "settings.json"
        if not record.exists():
            write_json(record, settings)
        known = json.loads(record.read_text(encoding="utf-8"))
        changed = [name for name, value in settings.items() if known.get(name) != to_json(value)]
        if changed:
            raise ValueError(
                f"{self.folder} keeps folds that were made with another {', '.join(changed)}; "
                "repeat these settings to go on, give another output folder, or remove it"
            )

    def model(
        self, name: str, fold: int, learn: Callable[..., Generator[Progress, None, Checkpoint]]
    ) -> Generator[Progress, None, Checkpoint]:
        """Load the model of a fold, or train it, going on where its training was stopped."""
        if self.folder is None:
            return (yield from learn())
        path = self.folder / f"{name}-{fold + 1}.safetensors"
        if not path.exists():
            state = path.with_suffix(".state")
            trained = yield from learn(state_file=state)
            save(replace(trained, name=path.stem), path)
            state.unlink(missing_ok=True)
        return load(path)

    def figures(self, name: str, fold: int, other: str) -> pd.DataFrame | None:
        """Read the figures of a fold's model on a data set; None where they are not there."""
        path = self._table(name, fold, other)
        return pd.read_csv(path) if path is not None and path.exists() else None

    def keep_figures(self, name: str, fold: int, other: str, figures: pd.DataFrame) -> None:
        """Write the figures of a fold's model on a data set."""
        path = self._table(name, fold, other)
        if path is not None:
            write_files({path: partial(figures.to_csv, index=False)})

    def _table(self, name: str, fold: int, other: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{name}-{fold + 1}-on-{other}.csv"


def _average_folds(folds: pd.DataFrame) -> pd.DataFrame:
    """Compute mean and sample standard deviation of each figure over the folds."""
    long = folds.melt(["projection", "train", "test", "fold"], var_name="figure")
    groups = long.groupby(["projection", "figure", "train", "test"], sort=False)["value"]
    return groups.agg(mean="mean", sd="std").reset_index()


def _read_folds(
    data: Sequence[str | Path], test: Sequence[str | Path], params: CrossValidateParams, seed: int
) -> dict[str, Folds]:
    """Read data sets by name; those that train are divided into folds, `test` ones are fold -1."""
    listed = [*data, *test]
    found = {Path(path).stem: read_images(path, params) for path in listed}
    if len(found) < len(listed):
        raise ValueError(f"two of {', '.join(map(str, listed))} have one name; rename one of them")
    paths = [[image.sample.path for image in images] for images in found.values()]
    for first, second in combinations(range(len(paths)), 2):
        if first >= len(data):  # neither trains
            break
        for one, other in find_duplicates(paths[first], paths[second])[:1]:
            raise ValueError(
                f"{one} and {other} show the same picture, so a model would be measured on its "
                "training data; exclude it from one of the data sets"
            )
    sets: dict[str, Folds] = {}
    for number, (name, images) in enumerate(found.items()):
        if number >= len(data):
            sets[name] = [(image, -1) for image in images]
            continue
        groups = [f"{image.sample.source}/{image.sample.group}" for image in images]
        classes = [image.sample.names for image in images]
        folds = stratified_folds(groups, classes, params.folds, seed).tolist()
        sets[name] = list(zip(images, folds, strict=True))
    return sets


def _prefix(steps: Generator[Progress, None, T], text: str) -> Generator[Progress, None, T]:
    """Put the name of a part of the work before its messages."""
    return (yield from map_progress(steps, lambda s: replace(s, message=f"{text}: {s.message}")))
