from __future__ import annotations

import pytest
from PIL import Image as Picture

from napari_wbc_nca.datasets import readers, synthetic
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.methods.cellmixer.train import train
from napari_wbc_nca.progress import run_to_end

SMALL = {
    **{"network": "unet", "widths": "4-8", "crop_size": 32, "device": "cpu", "epochs": 2},
    **{"samples_per_epoch": 16, "batch_size": 4, "validation_share": 0.4},
}


@pytest.fixture
def small():
    """Parameters of a training of seconds."""
    return CellmixerTrainParams(**SMALL)


@pytest.fixture(scope="session")
def populations(tmp_path_factory):
    """Three pictures of each population of synthetic cultures."""
    folder = tmp_path_factory.mktemp("populations")
    synthetic.write_populations(folder, 3, (96, 112))
    return readers.read(folder)


@pytest.fixture(scope="session")
def trained(populations):
    """A checkpoint that has hardly learnt anything."""
    return run_to_end(train(populations, CellmixerTrainParams(**SMALL)))


@pytest.fixture
def save(tmp_path):
    """Writes pixels into a file of the class's folder."""

    def write(pixels, kind, name="a.png"):
        path = tmp_path / kind / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".tif":
            import tifffile

            tifffile.imwrite(path, pixels)
        else:
            Picture.fromarray(pixels).save(path)
        return tmp_path

    return write
