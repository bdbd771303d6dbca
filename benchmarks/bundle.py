"""Put trained models into the package: name, licence and measured figures join their cards.

python benchmarks/bundle.py MODELS

``MODELS`` is a folder that ``train_bundled.py``, ``train_cells.py``, ``train_casts.py`` or
``train_types.py`` filled. Beside ``NAME.safetensors`` may stand ``NAME.calibration.json`` by
``calibrate.py``, ``NAME.colours.json`` by ``colour_range.py`` and ``NAME.confusion.json`` by
``measure_type_crops.py``; ``metrics.json`` is what ``measure.py`` found. What is not there stays
as the model's card has it. The SHA-256 of every bundled model is listed in ``weights/index.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_wbc_nca.io.weights import load, save

WEIGHTS = Path(__file__).parents[1] / "src" / "napari_wbc_nca" / "weights"
_TYPED = (
    "BSD-3-Clause. Trained on TXL-PBC (BCCD, BCD, PBC, Raabin; MIT), WBC_Dataset (Chulalongkorn; "
    "MIT) and boxes and types of BCCD (MIT); no mask was trained on."
)
NEVER_SEEN = "blasts, atypical lymphocytes, smudge cells, plasma cells; bone marrow"
"""What the classifier must not be asked about."""
RESTORED = {"chroma": [0.2, 0.2], "faint": [0.4, 0.55], "dark": [1.7, 1.0]}
"""Limits of usual colours, and what is restored beyond: see ``ops.stain.restoring_matrix``.

Faint is at the 1st percentile of ``smears/train``, and dark above the 99th; restored are about the
medians. They were set after looking at the casts that measure.
"""
LICENCES = {
    "wbc-fine": (
        "BSD-3-Clause. Trained on PBC (Acevedo et al. 2020; CC BY 4.0), the attributes of WBCAtt "
        "(MIT), WBC_Dataset (Chulalongkorn; MIT), and white cells without their types, red cells "
        "and platelets of TXL-PBC (BCCD, BCD, PBC, Raabin; MIT)."
    ),
    "wbc-smear": _TYPED,
    "wbc-types": _TYPED,
    "smear-cells": (
        "BSD-3-Clause. Trained on the centroids of TXL-PBC (BCCD, BCD, PBC, Raabin; MIT); no mask "
        "was trained on."
    ),
}


def main(models: Path) -> None:
    """Bundle the models that the folder holds, and list the hashes of all."""
    found = models / "metrics.json"
    metrics = json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
    for name, licence in LICENCES.items():
        path = models / f"{name}.safetensors"
        if path.exists():
            trained = load(path)
            card = {**trained.card, "licence": licence, **_measured(models, name)}
            if name in metrics:
                card["metrics"] = metrics[name]
            if name == "wbc-fine":
                card["never_seen"] = NEVER_SEEN
            own = {**trained.normalisation, **(RESTORED if name == "wbc-smear" else {})}
            bundled = replace(trained, name=name, card=card, normalisation=own)
            save(bundled, WEIGHTS / f"{name}.safetensors")
    hashes = {path.stem: load(path).sha256 for path in sorted(WEIGHTS.glob("*.safetensors"))}
    (WEIGHTS / "index.json").write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(hashes, indent=2))


def _measured(models: Path, name: str) -> dict[str, Any]:
    """Read what was measured of a model's types, their probabilities, and colours."""
    paths = {key: models / f"{name}.{key}.json" for key in ("calibration", "colours", "confusion")}
    found = {
        key: json.loads(path.read_text(encoding="utf-8"))
        for key, path in paths.items()
        if path.exists()
    }
    if calibration := found.pop("calibration", None):
        found |= {key: calibration[key] for key in ("temperature", "unsure_threshold")}
        own = {name: {**values} for name, values in calibration["sets"].items()}
        for values in own.values():
            values.pop("coverage")
        found["types"] = own
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
