"""Class maps against known classes: unmixed, artificial and grown together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checkpoints import mixer
from PIL import Image as Picture

from napari_wbc_nca.datasets import synthetic
from napari_wbc_nca.datasets.samples import LabelError, image_id
from napari_wbc_nca.evaluation.cells import CellEvaluation
from napari_wbc_nca.evaluation.class_maps import (
    ClassEvaluation,
    format_classes,
    map_classes,
    measure_classes,
    mix_images,
    read_class_images,
)
from napari_wbc_nca.evaluation.evaluate import evaluate
from napari_wbc_nca.methods.cellmixer.params import CellmixerParams
from napari_wbc_nca.ops.mixing import mix_masks
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import segment


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("known")
    synthetic.write_known(made, 1, (96, 96))
    return made


def test_a_folder_gives_unmixed_artificial_and_mixed_pictures(folder):
    found = list(read_class_images(folder))
    counts = {
        name: sum(k.data == name for k in found) for name in ("unmixed", "artificial", "mixed")
    }
    assert counts == {"unmixed": 3, "artificial": 3, "mixed": 1}
    assert all(k.names == ("background", *synthetic.KINDS) for k in found)


def test_an_artificial_mixture_has_both_classes_and_their_rule(folder):
    pictures = [k for k in read_class_images(folder / "unmixed") if k.data == "unmixed"]
    made = list(mix_images(pictures))
    first = made[0]
    others = [mix_masks(pictures[0].classes, k.classes) for k in pictures[1:]]
    assert any(np.array_equal(first.classes, other) for other in others)
    assert first.image.pixels.dtype == np.uint8
    empty = first.classes == 0
    assert abs(first.image.pixels[empty].mean() - pictures[0].image.pixels.mean()) < 60


def test_pictures_of_different_sizes_are_mixed_where_both_are(folder):
    first, second, _ = (k for k in read_class_images(folder / "unmixed") if k.data == "unmixed")
    image = Image(first.image.pixels[:64, :80], "small")
    small = replace(first, image=image, classes=first.classes[:64, :80])
    made = list(mix_images([small, second]))
    assert [k.image.shape for k in made] == [(64, 80), (64, 80)]
    expected = mix_masks(small.classes, second.classes[:64, :80])
    np.testing.assert_array_equal(made[0].classes, expected)
    assert len(np.unique(made[0].classes)) == 3


@pytest.mark.parametrize("known", ["in the mask", "in a file of its own"])
def test_pixels_that_nobody_annotated_count_nowhere(tmp_path, known):
    model, pixels = mixer(), np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    found = np.asarray(segment(Image(pixels), model, device="cpu").labels["class"], np.uint8)
    (tmp_path / "classes.txt").write_text("\n".join(model.classes[1:]))
    wrong = (found + 1) % len(model.classes)
    wrong[:24] = found[:24]
    hidden = np.zeros((48, 48), bool)
    hidden[24:] = True
    if known == "in the mask":
        wrong[hidden] = 255
    else:
        Picture.fromarray(hidden.astype(np.uint8) * 255).save(tmp_path / "a_ignore.png")
    Picture.fromarray(wrong).save(tmp_path / "a_mask.png")
    params = CellmixerParams(device="cpu")
    table = run_to_end(measure_classes([model], [tmp_path], params)).classes
    own = table[table["class"] != "cells"]
    assert own["pixels"].sum() == 24 * 48
    assert (own.loc[own["pixels"] > 0, "iou"] == 1).all()


def test_a_mask_with_a_palette_is_read_by_its_numbers(tmp_path):
    Picture.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros((9, 9), np.uint8)
    mask[:3], mask[3:5] = 1, 2
    drawn = Picture.fromarray(mask).convert("P")
    drawn.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    drawn.putdata(mask.ravel().tolist())
    drawn.save(tmp_path / "a_mask.png")
    (tmp_path / "classes.txt").write_text("red\ngreen\n")
    (found,) = read_class_images(tmp_path)
    np.testing.assert_array_equal(found.classes, mask)


def test_masks_without_names_are_white_cells(tmp_path):
    Picture.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a [1].png")
    mask = np.zeros((9, 9), np.uint8)
    mask[:3], mask[3:5] = 128, 255
    Picture.fromarray(mask).save(tmp_path / "a [1]_mask.png")
    (found,) = read_class_images(tmp_path)
    assert found.names == ("background", "wbc")
    assert found.classes.sum() == 45


def test_classes_are_compared_by_their_names():
    own, wanted = ("background", "b", "a", "c"), ("background", "a", "b")
    assert map_classes(np.array([0, 1, 2, 3]), own, wanted).tolist() == [0, 2, 1, 3]


def test_a_folder_without_masks_and_a_mask_of_another_size_are_refused(tmp_path):
    with pytest.raises(LabelError, match="no NAME_mask"):
        list(read_class_images(tmp_path))
    Picture.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    Picture.fromarray(np.zeros((9, 8), np.uint8)).save(tmp_path / "a_mask.png")
    with pytest.raises(LabelError, match=r"is \(9, 8\), but its picture is \(9, 9\)"):
        list(read_class_images(tmp_path))


def test_text_has_models_side_by_side():
    import pandas as pd

    rows = [("one", "mixed", "a", 0.5, 0.25, 4), ("two", "mixed", "a", 1.0, 0.75, 4)]
    names = ["model", "data", "class", "accuracy", "iou", "pixels"]
    assert "| a | 0.500 | 0.250 | 1.000 | 0.750 |" in format_classes(
        pd.DataFrame(rows, columns=names)
    )


def test_several_models_are_measured_on_several_data_sets(folder):
    models = [mixer(0), mixer(1)]
    steps = measure_classes(models, [folder], CellmixerParams(device="cpu"))
    table = run_to_end(steps).classes
    assert list(dict.fromkeys(table["model"])) == ["mixer-0", "mixer-1"]
    assert list(dict.fromkeys(table["data"])) == ["mixed", "unmixed", "artificial"]
    (picture,) = read_class_images(folder / "mixed")
    rows = table[table["data"] == "mixed"].set_index(["model", "class"])
    for model in models:
        found = segment(picture.image, model, device="cpu").labels["class"]
        ious = []
        for number, name in enumerate(picture.names):
            true, guess = picture.classes == number, found == number
            ious.append((true & guess).sum() / (true | guess).sum())
            row = rows.loc[model.name, name]
            assert row["iou"] == pytest.approx(ious[-1])
            assert row["accuracy"] == pytest.approx((true & guess).sum() / true.sum())
        assert rows.loc[model.name, "cells"]["iou"] == pytest.approx(np.mean(ious[1:]))
    different = rows.loc["mixer-0", "iou"] != rows.loc["mixer-1", "iou"]
    assert different.any()


def test_evaluate_measures_the_class_of_each_pixel_where_masks_tell_it(folder, tmp_path):
    found = evaluate(mixer(), folder, device="cpu", output=tmp_path / "out")
    assert isinstance(found, ClassEvaluation)
    assert set(found.classes["data"]) == {"mixed", "unmixed", "artificial"}
    assert found.provenance["models"][0]["model"] == "mixer-0"
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"classes.csv", "classes.md", "evaluation.json"}
    with pytest.raises(ValueError, match="include does not matter where the class of each pixel"):
        evaluate(mixer(), folder, include="some.txt")


def test_cells_are_measured_where_only_boxes_are_known(tmp_path):
    made = synthetic.culture(shape=(96, 96))
    Picture.fromarray(made.pixels).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2")
    (tmp_path / "classes.txt").write_text("granular")
    found = evaluate(mixer(), tmp_path, device="cpu")
    assert isinstance(found, CellEvaluation)
    assert found.summary["cells"].tolist() == [1]


def test_class_maps_of_training_images_are_named(folder):
    (picture,) = read_class_images(folder / "mixed")
    rgb = np.repeat(np.asarray(picture.image.pixels).reshape(96, 96, -1)[..., :1], 3, axis=-1)
    model = mixer()
    model = replace(model, card={**model.card, "images": [image_id(rgb)]})
    measured = evaluate(model, [folder / "mixed", folder / "unmixed"], device="cpu")
    (note,) = measured.provenance["notes"]
    assert note.startswith("mixer-0 was trained on 1 of these 4 images")
    assert f"Note: {note}" in measured.text()
