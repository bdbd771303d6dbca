"""Train the bundled `smear-mix` by the command `train`.

WBC_NCA_DATA=/data python benchmarks/train_mix.py OUTPUT

``OUTPUT`` is a folder. Background, white and red cells are learnt from ``mix.toml``: red cells from
parts of fields that no box of a white cell reaches, white cells from crops of single ones. No mask
is read.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = {
    "populations": "wbc,rbc",
    "network": "unet",
    "widths": "12-24-48-96",
    "diameter": 40,
    "pixel-size": 0.32,
    "crop-size": 80,
    "normalisation": "absorptance",
    # Smears are flat and sharp: the stain itself tells cells from the empty glass.
    "response": "contrast",
    "threshold": "otsu_log",
    "smooth": 0.7,
    "resmooth": 0.5,
    "erode": 1,
    "factor": 1,
    "fill": 16,
    "smallest": 5,
    "mixed-share": 0.7,
    "lowest-share": 0.35,
    "highest-share": 0.65,
    "contrast": 0.4,
    "tint": 0.15,
    "scale-augmentation": 0.2,
    "noise": 0.1,
    "epochs": 16,
    "samples-per-epoch": 800,
    "learning-rate": 5e-3,
    "learning-rate-decay": 0.9965,
    "validation-share": 0.05,
    "device": "cpu",
}


def main(output: Path) -> None:
    """Train and keep the model as ``smear-mix.safetensors``."""
    command = ["napari-wbc-nca", "train", "cellmixer", str(HERE / "mix.toml")]
    command += ["-o", str(output / "smear-mix.safetensors"), "--force"]
    command += [part for key, value in OPTIONS.items() for part in (f"--{key}", str(value))]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
