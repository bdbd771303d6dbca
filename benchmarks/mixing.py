"""CellMixer against the same network trained on unmixed pictures, on synthetic cultures.

python benchmarks/mixing.py OUTPUT [train|measure ...]

``OUTPUT`` is a folder. ``train`` makes homogeneous cultures and trains both networks on them, by
the project's own command. ``measure`` makes other cultures, of other seeds,
and prints class accuracy and IoU on unmixed pictures, on artificial mixtures of them, and on
pictures in which the populations grew together.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from napari_wbc_nca.datasets import synthetic

SHAPE = (256, 256)
TRAINED, MEASURED = 24, 8  # pictures of each population
SEEDS = {"train": 0, "test": 500_000}
OPTIONS = {
    "network": "unet",
    "widths": "8-16-32-64",
    "crop-size": 96,
    "noise": 0.2,
    "epochs": 25,
    "samples-per-epoch": 256,
    "learning-rate": 5e-3,
    "learning-rate-decay": 0.994,
    "device": "cpu",
}
MIXED = {"cellmixer": 1, "baseline": 0}
"""Share of mixtures among the crops of each network."""


def main(output: Path, stages: list[str]) -> None:
    """Run the stages whose names are given, or both."""
    for stage in stages or ("train", "measure"):
        (train if stage == "train" else measure)(output)


def train(output: Path) -> None:
    """Train both networks on the same pictures."""
    synthetic.write_populations(output / "train", TRAINED, SHAPE, SEEDS["train"])
    for name, share in MIXED.items():
        options = {**OPTIONS, "mixed-share": share}
        command = ["napari-wbc-nca", "train", "cellmixer", str(output / "train")]
        command += ["-o", str(output / f"{name}.safetensors"), "--force"]
        command += [part for key, value in options.items() for part in (f"--{key}", str(value))]
        print(" ".join(command), flush=True)
        subprocess.run(command, check=True)


def measure(output: Path) -> None:
    """Print what both networks reach on cultures that neither has seen."""
    synthetic.write_known(output / "test", MEASURED, SHAPE, SEEDS["test"])
    models = ",".join(str(output / f"{name}.safetensors") for name in MIXED)
    command = ["napari-wbc-nca", "evaluate", models, str(output / "test"), "-o", str(output)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
