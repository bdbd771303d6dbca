"""Train the bundled detector by the command `train`.

WBC_NCA_DATA=/data python benchmarks/train_cells.py OUTPUT [--resume]

``OUTPUT`` is a folder; ``smear-cells.safetensors`` is written there. One idle core: 15 minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = {
    "widths": "12-24-48-96",
    "diameter": 48,
    "pixel-size": 0.27,
    "sigma": 5,
    "patch-size": 128,
    "max-scale-factor": 1.8,
    "normalisation": "absorptance",
    "learning-rate": 4e-3,
    "learning-rate-decay": 0.9988,
    "epochs": 20,
    "batch-size": 8,
    "validation-share": 0.05,
    "seed": 0,
}


def main(output: Path, resume: bool) -> None:
    """Train on ``cells.toml``, or go on with a training that was stopped."""
    command = ["napari-wbc-nca", "train", "propagation", str(HERE / "cells.toml")]
    command += ["-o", str(output / "smear-cells.safetensors")]
    command += ["--resume" if resume else "--force"]
    command += [part for key, value in OPTIONS.items() for part in (f"--{key}", str(value))]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--resume" in sys.argv)
