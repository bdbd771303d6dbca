"""List the SHA-256 of every bundled model in ``weights/index.json``.

python benchmarks/make_index.py
"""

from __future__ import annotations

import json
from pathlib import Path

from napari_wbc_nca.io.weights import load

WEIGHTS = Path(__file__).parents[1] / "src" / "napari_wbc_nca" / "weights"


def main() -> None:
    hashes = {path.stem: load(path).sha256 for path in sorted(WEIGHTS.glob("*.safetensors"))}
    (WEIGHTS / "index.json").write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(hashes, indent=2))


if __name__ == "__main__":
    main()
