"""Put trained models into the package: name, licence and measured figures join their cards.

python benchmarks/bundle.py MODELS

``MODELS`` is the folder that ``train_bundled.py`` filled; ``metrics.json`` in it is what
``measure.py`` found. The SHA-256 of every bundled model is listed in ``weights/index.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from napari_wbc_nca.io.weights import load, save

WEIGHTS = Path(__file__).parents[1] / "src" / "napari_wbc_nca" / "weights"
LICENCE = (
    "BSD-3-Clause. Trained on TXL-PBC (BCCD, BCD, PBC, Raabin; MIT), WBC_Dataset (Chulalongkorn; "
    "MIT) and boxes and types of BCCD (MIT); no mask was trained on."
)


def main(models: Path) -> None:
    """Bundle ``wbc-smear`` and ``wbc-types``, and list the hashes."""
    found = models / "metrics.json"
    metrics = json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
    for name in ("wbc-smear", "wbc-types"):
        trained = load(models / f"{name}.safetensors")
        card = {**trained.card, "licence": LICENCE, "metrics": metrics.get(name, {})}
        save(replace(trained, name=name, card=card), WEIGHTS / f"{name}.safetensors")
    hashes = {path.stem: load(path).sha256 for path in sorted(WEIGHTS.glob("*.safetensors"))}
    (WEIGHTS / "index.json").write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(hashes, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
