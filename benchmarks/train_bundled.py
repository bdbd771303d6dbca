"""Train the bundled models, and those that only measure, by the command `train`.

WBC_NCA_DATA=/data python benchmarks/train_bundled.py OUTPUT [STAGE ...]

``OUTPUT`` is a folder. The stages, in their order, each from the one it names. What ships:

mean        ``nca_wss`` on ``base.toml``, pooled as in the paper; two cores: 20 minutes
parts       mean, pooled by the parts of the cell
longer      parts, trained on
boxes       longer, trained on
fields      boxes, taught all of ``fields`` but those never trained on
wbc-smear   fields, taught also the types of ``smears_types.csv``; ships
wbc-types   ``nca_max`` on the same, its automaton started from wbc-smear; ships

What measures types of ``fields``, in a line that saw none of them before the folds:

base        ``nca_wss`` on ``base.toml``, pooled by the parts of the cell; one core: an hour
types       base, taught also the types of ``smears_types.csv``
transfer    types, trained on; no type of ``fields`` seen
fold_a      transfer, taught the types of half of ``fields``; measured on the other half
fold_b      fold_a with the halves exchanged
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMON = {
    "window": 48,
    "diameter": 28,
    "pixel-size": 0.45,
    "normalisation": "absorptance",
    "focal-gamma": 1,
    "pixel-loss-weight": 2,
    "samples-per-epoch": 1280,
    "validation-share": 0.03,
    "batch-size": 32,
    "seed": 0,
    "channels": 32,
    "hidden": 64,
    "steps": 32,
}
PARTS = {"pooling": "parts"}
REFIT = {"classifier-fit-windows": 4096}
FULL = {**PARTS, **REFIT}


def _steps(rate: float, decay: float, epochs: int, typed: float = 0.4) -> dict[str, float]:
    return {
        "learning-rate": rate,
        "learning-rate-decay": decay,
        "epochs": epochs,
        "typed-share": typed,
    }


HALF = {**FULL, **_steps(1.2e-3, 0.985, 4, 0.6), "stain-augmentation": 0.2}
STAGES = {
    "mean": ("nca_wss", "base", None, _steps(4e-3, 0.9973, 21)),
    "parts": ("nca_wss", "base", "mean", {**PARTS, **_steps(2e-3, 0.985, 5, 0.6)}),
    "longer": ("nca_wss", "base", "parts", {**PARTS, **_steps(3e-3, 0.9985, 16, 0.5)}),
    "boxes": ("nca_wss", "base", "longer", {**FULL, **_steps(2.2e-3, 0.998, 26)}),
    "fields": ("nca_wss", "fields", "boxes", {**FULL, **_steps(8e-4, 0.975, 3, 0.5)}),
    "wbc-smear": ("nca_wss", "bundled", "fields", {**FULL, **_steps(1.5e-3, 0.99, 6, 0.6)}),
    "wbc-types": ("nca_max", "bundled", "wbc-smear", {**REFIT, **_steps(1e-3, 0.98, 3, 0.6)}),
    "base": ("nca_wss", "base", None, {**FULL, **_steps(4e-3, 0.9987, 46, 0.5)}),
    "types": ("nca_wss", "transfer", "base", {**FULL, **_steps(1.5e-3, 0.99, 8, 0.6)}),
    "transfer": ("nca_wss", "transfer", "types", {**FULL, **_steps(2.5e-3, 0.9972, 22, 0.6)}),
    "fold_a": ("nca_wss", "fold_a", "transfer", HALF),
    "fold_b": ("nca_wss", "fold_b", "transfer", HALF),
}


def main(output: Path, stages: list[str]) -> None:
    """Run the stages whose names are given, or all."""
    for name in stages or STAGES:
        method, data, start, own = STAGES[name]
        options = {**COMMON, **own}
        command = ["napari-wbc-nca", "train", method, str(HERE / f"{data}.toml")]
        command += ["-o", str(output / f"{name}.safetensors"), "--force"]
        command += [part for key, value in options.items() for part in (f"--{key}", str(value))]
        if start:
            command += ["--init", str(output / f"{start}.safetensors")]
        print(" ".join(command), flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
