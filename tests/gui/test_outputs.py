"""Files: the manifest, its samples, and the reader of our outputs."""

from __future__ import annotations

import json

import dots
import numpy as np
import pytest
from imageio.v3 import imwrite
from npe2 import PluginManifest
from squares import CHECKPOINT, MANIFEST, assemble, smear, square_cells

from napari_wbc_nca.datasets.synthetic import KINDS
from napari_wbc_nca.io.images import SAMPLES, sample_path
from napari_wbc_nca.io.images import read as read_image
from napari_wbc_nca.io.results import write
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.types import Image
from napari_wbc_nca.widgets.reader import get_reader


def test_every_command_of_the_manifest_can_be_imported():
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.contributions.menus["napari/layers/segment"][0].command == (
        "napari-wbc-nca.segment"
    )


def test_samples_have_the_names_and_titles_that_the_program_has():
    shown = PluginManifest.from_file(MANIFEST).contributions.sample_data
    cultures = {
        "populations": "Synthetic cultures, one population each",
        "mixed-culture": "Synthetic culture of mixed populations",
    }
    assert {sample.key: sample.display_name for sample in shown} == SAMPLES | cultures


@pytest.mark.parametrize("key", list(SAMPLES))
def test_sample_opens(viewer, key):
    (layer,) = viewer.open_sample("napari-wbc-nca", key)
    assert layer.rgb
    assert layer.name == key
    np.testing.assert_array_equal(layer.data, read_image(sample_path(key)).pixels)


def test_cultures_open_with_their_populations(viewer):
    layers = viewer.open_sample("napari-wbc-nca", "populations")
    assert [layer.name for layer in layers] == list(KINDS)
    picture, classes = viewer.open_sample("napari-wbc-nca", "mixed-culture")
    assert picture.data.shape == classes.data.shape
    assert set(np.unique(classes.data)) == {0, 1, 2, 3}


@pytest.fixture
def outputs(tmp_path):
    """Outputs of one picture, as the command line writes them."""
    pixels = smear((10, 10), (50, 70))
    picture = tmp_path / "field.png"
    imwrite(picture, pixels)
    image = Image(pixels, "field", 0.1, str(picture))
    found = assemble(square_cells(image), image, CHECKPOINT, NcaParams())
    found.provenance.update(
        program="napari-wbc-nca 0.1.0",
        input={"name": "field", "source": str(picture), "pixel_size": 0.1},
        parameters={"pixel_size": 0.0},
    )
    folder = tmp_path / "out"
    write(found, image, folder)
    return folder


@pytest.mark.parametrize("name", ["field_labels.tif", "field_cells.csv", "field_nuclei.tif"])
def test_labels_open_with_their_table(viewer, outputs, name):
    (layer,) = viewer.open(outputs / name, plugin="napari-wbc-nca")
    assert list(layer.features["index"]) == [1, 2]
    assert list(layer.features["class"]) == ["lymphocyte", "neutrophil"]
    assert layer.data[20, 20] == 1
    assert layer.data[60, 80] == 2
    assert tuple(layer.scale) == (1, 1)
    assert layer.get_color(1) is not None


def test_record_opens_image_and_labels_at_their_scale(viewer, outputs):
    layers = viewer.open(outputs / "field.json", plugin="napari-wbc-nca")
    assert [layer.name for layer in layers] == ["field", "field_labels", "field_nuclei"]
    for layer in layers:
        assert np.allclose(layer.scale, 0.1)
        assert str(layer.units[0]) == "micrometer"
    assert layers[0].rgb


@pytest.fixture
def everything(tmp_path):
    """Outputs of a method that gives more than cells, without the picture."""
    pixels = smear((10, 10), (50, 70))
    image = Image(pixels, "field", 0.1)
    params = dots.DotParams(maps=True)
    _, found = run(dots.predict(image, dots.DOTS, params))
    model = {"name": "dots", "classes": list(dots.DOTS.classes)}
    found.provenance.update(program="napari-wbc-nca 0.1.0", model=model)
    write(found, image, tmp_path)
    return tmp_path


def run(steps):
    """What a generator yields, and what it returns."""
    yielded = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            return yielded, end.value


def layers_of(path):
    """Name to data, options and kind of what the reader makes of a file."""
    reader = get_reader(str(path))
    assert reader is not None
    return {options["name"]: (data, options, kind) for data, options, kind in reader(str(path))}


def test_classes_contributions_and_maps_open(everything):
    (classes,) = layers_of(everything / "field_classes.tif").values()
    assert list(classes[1]["features"]["class"]) == ["lymphocyte", "neutrophil"]
    assert (classes[0][20, 20], classes[0][60, 80]) == (1, 2)
    (contributions,) = layers_of(everything / "field_contributions.tif").values()
    assert list(contributions[1]["features"]["likelihood"]) == [0.75, 0.75]
    ((name, (data, _, kind)),) = layers_of(everything / "field_maps.tif").items()
    assert (name, kind, data.shape) == ("field likelihood", "image", (90, 120))
    assert data[20, 20] == 1
    whole = layers_of(everything / "field.json")
    assert list(whole) == [
        *("field likelihood", "field_labels", "field_classes", "field_contributions")
    ]


def test_several_maps_keep_their_names(everything):
    import tifffile

    maps = np.stack([np.zeros((90, 120), np.float32), np.ones((90, 120), np.float32)])
    path = everything / "field_maps.tif"
    tifffile.imwrite(path, maps, imagej=True, metadata={"axes": "CYX", "Labels": ["a", "b"]})
    found = layers_of(path)
    highest = {name: float(data.max()) for name, (data, _, _) in found.items()}
    assert highest == {"field a": 0.0, "field b": 1.0}


def test_record_without_its_image_opens_the_labels(outputs):
    (outputs.parent / "field.png").unlink()
    path = str(outputs / "field.json")
    reader = get_reader(path)
    assert reader is not None
    kinds = [kind for _, _, kind in reader(path)]
    assert kinds == ["labels", "labels"]


def test_files_of_others_are_left_alone(tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"program": "something else"}))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    alone = tmp_path / "alone_labels.tif"
    alone.touch()
    for path in (other, broken, alone, tmp_path / "missing_cells.csv"):
        assert get_reader(str(path)) is None
    assert get_reader([]) is None
