"""Train the bundled models anew, and those that only measure, by the project's own command.

WBC_NCA_DATA=/data python benchmarks/train_bundled.py OUTPUT [STAGE ...]

``OUTPUT`` is a folder. The stages, in their order, each from the one it names:

base        ``nca_wss`` on ``base.toml``, pooled by the parts of the cell; one core: an hour
types       base, taught also the types of ``smears_types.csv``
transfer    types, trained on; no type of ``fields`` seen
fold_a      transfer, taught the types of half of ``fields``; measured on the other half
fold_b      the same with the halves exchanged
wbc-smear   transfer, taught all of ``bundled.toml``; ships
wbc-types   ``nca_max`` on ``bundled.toml``, its automaton started from transfer; ships
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
    "gamma": 1,
    "centre-weight": 2,
    "samples-per-epoch": 1280,
    "validation": 0.03,
    "batch": 32,
    "seed": 0,
    "refit": 4096,
    "channels": 32,
    "hidden": 64,
    "steps": 32,
}
PARTS = {"pooling": "parts"}
FIRST = {"learning-rate": 4e-3, "decay": 0.9987, "epochs": 46, "typed-share": 0.5}
SECOND = {"learning-rate": 1.5e-3, "decay": 0.99, "epochs": 8, "typed-share": 0.6}
THIRD = {"learning-rate": 2.5e-3, "decay": 0.9972, "epochs": 22, "typed-share": 0.6}
LAST = {"learning-rate": 8e-4, "decay": 0.975, "epochs": 2, "typed-share": 0.6, "stain": 0.5}
MAXIMUM = {**LAST, "learning-rate": 1e-3, "decay": 0.98, "epochs": 3}
STAGES = {
    "base": ("nca_wss", "base", None, {**PARTS, **FIRST}),
    "types": ("nca_wss", "transfer", "base", {**PARTS, **SECOND}),
    "transfer": ("nca_wss", "transfer", "types", {**PARTS, **THIRD}),
    "fold_a": ("nca_wss", "fold_a", "transfer", {**PARTS, **LAST}),
    "fold_b": ("nca_wss", "fold_b", "transfer", {**PARTS, **LAST}),
    "wbc-smear": ("nca_wss", "bundled", "transfer", {**PARTS, **LAST}),
    "wbc-types": ("nca_max", "bundled", "transfer", MAXIMUM),
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
