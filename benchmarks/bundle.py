"""Put trained models into the package: name, licence and measured figures join their cards.

python benchmarks/bundle.py MODELS

``MODELS`` is a folder that ``train_bundled.py`` or ``train_cells.py`` filled; ``metrics.json`` in
it is what ``measure.py`` found. Beside ``wbc-fine`` stand ``calibration.json`` by ``calibrate.py``
and ``confusion.json`` by ``measure_type_crops.py``. The SHA-256 of every bundled model is listed in
``weights/index.json``.
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
            card = {**trained.card, "licence": licence, "metrics": metrics.get(name, {})}
            if name == "wbc-fine":
                card |= _calibration(models) | {"never_seen": NEVER_SEEN}
            save(replace(trained, name=name, card=card), WEIGHTS / f"{name}.safetensors")
    hashes = {path.stem: load(path).sha256 for path in sorted(WEIGHTS.glob("*.safetensors"))}
    (WEIGHTS / "index.json").write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(hashes, indent=2))


def _calibration(models: Path) -> dict[str, Any]:
    """Read what a card says about the types and their probabilities."""
    found, confusion = (
        json.loads((models / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("calibration", "confusion")
    )
    return {
        "temperature": found["temperature"],
        "unsure_threshold": found["unsure_threshold"],
        "metrics": found["sets"],
        "confusion": confusion,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
