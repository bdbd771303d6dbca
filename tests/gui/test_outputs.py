"""Files: the manifest, its samples, and the reader of our outputs."""

from __future__ import annotations

import json

import dots
import numpy as np
import pytest
from hands import Hands
from imageio.v3 import imwrite
from npe2 import PluginManifest
from squares import CHECKPOINT, MANIFEST, assemble, smear, square_cells

from napari_wbc_nca.datasets.synthetic import KINDS
from napari_wbc_nca.io.images import SAMPLES, sample_path
from napari_wbc_nca.io.images import read as read_image
from napari_wbc_nca.io.results import write
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.types import Image
from napari_wbc_nca.widgets.export_items import image_of
from napari_wbc_nca.widgets.features_sync import follow
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


def rewrite(outputs, text, encoding="utf-8"):
    """Write the table of the outputs as another program would."""
    (outputs / "field_cells.csv").write_bytes(text.encode(encoding))
    return outputs / "field_labels.tif"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_tables_that_excel_saved_open(outputs, separator, encoding):
    rows = ["label", "class", "note"], ["1", "01", "über"], ["2", "NA", ""]
    path = rewrite(outputs, "\r\n".join(separator.join(row) for row in rows), encoding)
    ((_, options, _),) = layers_of(path).values()
    assert list(options["features"]["index"]) == [1, 2]
    assert list(options["features"]["class"]) == ["01", "NA"]
    assert list(options["features"]["note"]) == ["über", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("class\nmonocyte\n", "no column label"),
        ("label,class\none,monocyte\n", "expected an integer above 0"),
        ("label,class\n1,a,b,c\n", "put texts that hold the separator in quotation marks"),
    ],
)
def test_labels_open_without_a_table_that_cannot_be_read(viewer, outputs, notes, text, message):
    (layer,) = viewer.open(rewrite(outputs, text), plugin="napari-wbc-nca")
    assert layer.data[60, 80] == 2
    assert message in notes[0]
    assert list(layer.features["class"]) == ["unknown", "unknown"]


def test_table_with_gaps_opens_and_is_corrected(viewer, outputs):
    path = rewrite(outputs, "label;class;age;area_um2\n1;;3;1,5\n2;wbc;;2\n2;rbc;4;\n")
    (layer,) = viewer.open(path, plugin="napari-wbc-nca")
    follow(layer).classify(2, "monocyte")
    layer.undo()
    assert list(layer.features["class"]) == ["unknown", "wbc"]
    assert layer.features["age"].isna().tolist() == [False, True]


def test_cells_that_were_opened_are_ready_for_corrections(viewer, outputs):
    layers = viewer.open(outputs / "field.json", plugin="napari-wbc-nca")
    image, cells, nuclei = layers
    assert cells.contour == 2
    viewer.reset_view()
    hands = Hands(viewer)
    viewer.layers.selection.active = cells
    hands.point((2, 2))
    hands.key("Alt-D")
    assert set(np.unique(cells.data)) == {0, 2}
    assert nuclei.get_color(1)[3] == 0
    assert image_of(cells, viewer.layers) is image


def test_record_made_on_windows_opens_the_image_beside_it(outputs):
    (outputs.parent / "field.png").rename(outputs / "Field 1.png")
    path = outputs / "field.json"
    record = json.loads(path.read_text())
    record["input"]["source"] = "C:\\Users\\me\\smears\\Field 1.png"
    path.write_text(json.dumps(record), encoding="utf-8-sig")
    assert list(layers_of(path)) == ["Field 1", "field_labels", "field_nuclei"]


@pytest.mark.parametrize("broken", [None, "text", 3, {"source": 4, "pixel_size": "big"}])
def test_record_of_another_type_opens_the_labels(outputs, broken):
    path = outputs / "field.json"
    record = json.loads(path.read_text()) | {"input": broken, "parameters": broken}
    path.write_text(json.dumps(record))
    assert list(layers_of(path)) == ["field_labels", "field_nuclei"]


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
