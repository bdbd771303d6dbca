"""Measure the bundled models on the benchmark data and write what the docs show.

WBC_NCA_DATA=/data python benchmarks/measure.py MODELS

``MODELS`` is the folder that ``train_bundled.py`` filled. Nothing is set per data set. The masks
trained nothing; the constants of ``ops/growth.py`` were chosen on them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from napari_wbc_nca.evaluation.evaluate import evaluate

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "_results"
SPLITS = HERE / "splits"
SMEARS = "wbc,rbc,platelet"
TYPED = "neutrophil,eosinophil,basophil,lymphocyte,monocyte"
SEVERAL_SLIDES = "eosinophil,basophil,lymphocyte"
MASKED = ("tecom", "cellavision")
PROJECTIONS = "grown,centre,evidence,pca"


def main(models: Path, data: Path) -> None:
    """Measure everything and write ``docs/_results/main.md`` and ``projections.md``."""
    smear = models / "wbc-smear.safetensors"
    rows, projections = [], []
    boxes = _summary(smear, data / "smears" / "val", classes=SMEARS)
    rows.append(("WBC detection F1, `smears/val`", f"{boxes['f1']:.3f}"))
    for name in (*(f"masks/{name}" for name in MASKED), "fields"):
        given: dict[str, Any] = {"classes": SMEARS} if name == "fields" else {}
        projections_here = "grown" if name == "fields" else PROJECTIONS
        table = evaluate(smear, data / name, projections=projections_here, **given).summary
        for _, row in table.iterrows():
            cells = f"{row['cell_iou']:.3f} | {row['nucleus_iou']:.3f} | {row['f1']:.3f}"
            projections.append(f"| `{name}` | `{row['projection']}` | {cells} |")
        own = table[table["projection"] == "grown"].iloc[0]
        rows.append((f"cell IoU, `{name}`", f"{own['cell_iou']:.3f}"))
        rows.append((f"nucleus IoU, `{name}`", f"{own['nucleus_iou']:.3f}"))
        if name == "fields":
            rows.append(("F1 at IoU 0.5, `fields`", f"{own['f1']:.3f}"))
    rows += _types(models, data)
    lines = ["| measured | `wbc-smear` |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    _write("main.md", [*lines, "", NOTE])
    head = ["| data | projection | cell IoU | nucleus IoU | F1 |", "|---|---|---|---|---|"]
    _write("projections.md", [*head, *projections])
    types = {key: value for key, value in rows if "`wbc-types`" in key}
    own_figures = {key: value for key, value in rows if "`wbc-types`" not in key}
    own_figures["projections: cell IoU, nucleus IoU, F1"] = "; ".join(
        row.strip("| ").replace("`", "").replace(" | ", " ") for row in projections
    )
    figures = {"wbc-smear": own_figures, "wbc-types": types}
    (models / "metrics.json").write_text(json.dumps(figures, indent=2), encoding="utf-8")


def _types(models: Path, data: Path) -> list[tuple[str, str]]:
    """Type accuracy, balanced, on slides, on a laboratory, and in two folds of it."""
    slides = {"classes": TYPED, "include": str(SPLITS / "typed_heldout.txt")}
    rows = []
    for model in ("wbc-smear", "wbc-types"):
        path = models / f"{model}.safetensors"
        row = _summary(path, data / "typed", types=SEVERAL_SLIDES, **slides)
        name = f"type accuracy, balanced, slides of `typed` not trained on, `{model}`"
        rows.append((name, _both(row)))
    row = _summary(models / "transfer.safetensors", data / "fields", classes=SMEARS)
    rows.append(("type accuracy, balanced, `fields`, none of its types trained on", _both(row)))
    known = "type accuracy, balanced, half of `fields` ({}), other half trained on"
    for own, other in ("ab", "ba"):
        fold = f"fold_{other}"
        include = str(SPLITS / f"fields_{fold}.txt")
        path = models / f"fold_{own}.safetensors"
        row = _summary(path, data / "fields", classes=SMEARS, include=include)
        rows.append((known.format(fold), _both(row)))
    return rows


def _both(row: Any) -> str:
    return f"{row['type_balanced']:.3f} of those found, {row['type_balanced_all']:.3f} of all"


def _summary(model: Path, data: Path, **given: Any) -> Any:
    print(model.stem, data.name, flush=True)
    return evaluate(model, data, **given).summary.iloc[0]


def _write(name: str, lines: list[str]) -> None:
    (RESULTS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines), flush=True)


NOTE = (
    "Boxes of pictures that are in `fields` were seen in training, and in `wbc-smear` types of "
    "most of them; their masks never were. Pictures of `smears/val`, and their copies, never "
    "trained."
)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["WBC_NCA_DATA"]))
