import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from napari_wbc_nca.datasets.samples import image_id
from napari_wbc_nca.evaluation import cells as module
from napari_wbc_nca.evaluation.evaluate import evaluate
from napari_wbc_nca.evaluation.ground_truth import (
    label_components,
    read_grey,
    read_ignored,
    read_images,
)
from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.overlaps import resolve_overlaps
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Checkpoint, Segmentation

CLASSES = ("neutrophil", "lymphocyte", "rbc")
MODEL = Checkpoint("nca_wss", {}, {}, CLASSES, 32.0, 0.4, 64, {}, name="stand-in")


def disc(shape, y, x, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - y, columns - x) <= radius


def cell(shape, y, x, radius, name):
    mask = disc(shape, y, x, radius)
    chances = {other: float(other == name) for other in CLASSES}
    response = mask.astype(np.float32)
    nucleus = disc(shape, y, x, radius / 2)
    return Cell((y, x), (0, 0), mask, nucleus, response, name, chances, 0.9)


@pytest.fixture
def answers(monkeypatch):
    """What the stand-in finds: stem of a picture, or (stem, projection), to discs and classes."""
    known, asked = {}, []

    def predict(image, checkpoint, params):
        asked.append((image.name, params.locate, params.projection))
        yield Progress(0, 1)
        discs = known.get((image.name, params.projection), known.get(image.name, []))
        cells = resolve_overlaps([cell(image.shape, *entry) for entry in discs], image.shape)
        labels = {name: np.zeros(image.shape, np.uint32) for name in ("cell", "nucleus")}
        for number, item in enumerate(cells, start=1):
            labels["cell"][item.mask] = labels["nucleus"][item.nucleus] = number
        return Segmentation(labels, cell_table(cells, CLASSES), {}, {})

    monkeypatch.setattr(module, "predict", predict)
    known["asked"] = asked
    return known


def draw(folder, name, discs, shape=(60, 80), boxes=None):
    """A picture with its mask, and its YOLO file where boxes (y, x, radius, class) are given."""
    folder.mkdir(exist_ok=True, parents=True)
    Picture.fromarray(np.full((*shape, 3), 220, np.uint8)).save(folder / f"{name}.png")
    mask = np.zeros(shape, np.uint8)
    for y, x, radius in discs:
        mask[disc(shape, y, x, radius)] = 128
        mask[disc(shape, y, x, radius / 2)] = 255
    if discs:
        Picture.fromarray(mask).save(folder / f"{name}_mask.png")
    if boxes is not None:
        rows = [
            f"{k} {(x + 0.5) / shape[1]} {(y + 0.5) / shape[0]} "
            f"{(2 * r + 1) / shape[1]} {(2 * r + 1) / shape[0]}"
            for y, x, r, k in boxes
        ]
        (folder / f"{name}.txt").write_text("\n".join(rows))


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_crops_are_segmented_whole(tmp_path, answers):
    shape = (40, 40)
    for name, kind in (("a", "neutrophil"), ("b", "neutrophil"), ("c", "lymphocyte")):
        draw(tmp_path, name, [(20, 20, 10)], shape)
        answers[name] = [(20, 20, 10, kind)]
    (tmp_path / "classes.csv").write_text("image,class\na,neutrophil\nb,lymphocyte\nc,lymphocyte\n")
    answers["a"] = [(20, 24, 10, "neutrophil")]
    measured = evaluate(MODEL, tmp_path)
    assert answers["asked"] == [(name, "whole", "model") for name in "abc"]
    shifted = iou(disc(shape, 20, 20, 10), disc(shape, 20, 24, 10))
    nucleus = iou(disc(shape, 20, 20, 5), disc(shape, 20, 24, 5))
    figures = measured.summary.iloc[0]
    assert figures.cells == 3
    assert figures.cell_iou == pytest.approx((2 + shifted) / 3)
    assert figures.nucleus_iou == pytest.approx((2 + nucleus) / 3)
    assert figures.cell_dice == pytest.approx((2 + 2 * shifted / (1 + shifted)) / 3)
    assert figures.type_balanced == figures.type_balanced_all == pytest.approx((1 + 1 / 2) / 2)
    assert figures.type_accuracy == pytest.approx(2 / 3)
    assert "box_iou" not in measured.summary


def test_a_crop_counts_the_type_however_bad_its_mask(tmp_path, answers):
    draw(tmp_path, "a", [(20, 20, 10)], (40, 40))
    (tmp_path / "classes.csv").write_text("image,class\na,neutrophil\n")
    answers["a"] = [(5, 5, 3, "neutrophil")]
    figures = evaluate(MODEL, tmp_path).summary.iloc[0]
    assert (figures.cell_iou, figures.f1, figures.type_balanced_all) == (0, 0, 1)


def test_masks_of_fields_count_missed_and_spare_cells(tmp_path, answers):
    draw(tmp_path, "two", [(20, 20, 10), (20, 60, 10)], boxes=[(20, 20, 10, 0), (20, 60, 10, 0)])
    draw(tmp_path, "one", [(30, 30, 12)], boxes=[(30, 30, 12, 0), (8, 8, 4, 1)])
    draw(tmp_path, "off", [(30, 30, 12)], boxes=[(30, 30, 12, 0)])
    (tmp_path / "classes.csv").write_text("image,class\none,lymphocyte\noff,neutrophil\n")
    answers["two"] = [(20, 20, 10, "neutrophil")]
    answers["one"] = [(30, 30, 12, "lymphocyte"), (8, 8, 4, "neutrophil")]
    answers["off"] = [(30, 46, 12, "neutrophil")]
    measured = evaluate(MODEL, tmp_path)
    assert {locate for _, locate, _ in answers["asked"]} == {"evidence"}
    low = iou(disc((60, 80), 30, 30, 12), disc((60, 80), 30, 46, 12))
    assert 0 < low < 0.5
    figures = measured.summary.iloc[0]
    assert figures.cell_iou == pytest.approx((1 + 0 + 1 + low) / 4)
    assert figures.f1 == pytest.approx(2 * 2 / (4 + 4))
    assert (figures.precision, figures.recall) == (0.5, 0.5)
    # The type of a cell found at IoU < 0.5 counts as missed; cells of unknown type do not count.
    assert figures.typed_cells == 2
    assert (figures.type_balanced, figures.type_balanced_all) == (1, 0.5)
    cells = measured.cells.set_index(["image", "cell"])
    assert cells.loc[("two", 2), "predicted"] == "missed"
    assert cells.loc[("one", 0), "predicted"] == "neutrophil"
    counts = measured.confusion.set_index("true")
    assert counts.loc["neutrophil", ["neutrophil", "missed"]].tolist() == [0, 1]
    assert measured.images.set_index("image").f1.round(3).to_dict() == {
        "off": 0,
        "one": 0.667,
        "two": 0.667,
    }


def test_touching_cells_are_divided_by_their_boxes():
    mask = disc((40, 60), 20, 20, 10) | disc((40, 60), 20, 38, 10)
    boxes = np.array([[10, 10, 31, 31], [10, 28, 31, 49]], np.float32)
    whole, divided = label_components(mask), label_components(mask, boxes)
    assert whole.max() == 1
    assert divided.max() == 2
    np.testing.assert_array_equal(divided > 0, mask)
    np.testing.assert_array_equal(divided == 1, mask & (np.arange(60) <= 29))


def test_a_box_divides_no_component_but_its_own():
    mask = disc((40, 60), 20, 12, 10) | disc((40, 60), 20, 45, 10)
    boxes = np.array([[10, 35, 31, 56], [10, 2, 31, 50], [0, 26, 5, 30]], np.float32)
    assert label_components(mask, boxes).max() == 2


def labelled(tmp_path, answers):
    draw(tmp_path, "a", [], boxes=[(20, 20, 10, 0), (40, 60, 10, 1), (10, 70, 5, 2)])
    draw(tmp_path, "b", [], boxes=[(20, 20, 10, 1)])
    (tmp_path / "classes.txt").write_text("neutrophil\nlymphocyte\nrbc\n")
    answers["a"] = [(20, 21, 10, "neutrophil"), (40, 40, 10, "lymphocyte")]
    answers["b"] = [(20, 20, 10, "neutrophil")]
    return tmp_path


def test_boxes_are_matched_by_the_boxes_of_labels(tmp_path, answers):
    measured = evaluate(MODEL, labelled(tmp_path, answers))
    figures = measured.summary.iloc[0]
    shifted = 20 * 21 / (22 * 21)
    assert (figures.cells, figures.predicted, figures.hits) == (3, 3, 2)
    assert figures.f1 == pytest.approx(2 / 3)
    assert figures.box_iou == pytest.approx((shifted + 1 + 0) / 3)
    assert figures.type_balanced == pytest.approx((1 + 0) / 2)
    assert figures.type_balanced_all == pytest.approx((1 + 0) / 2)
    assert "cell_iou" not in measured.summary
    rows = measured.classes.set_index("true")
    assert rows.loc["lymphocyte", ["cells", "found", "typed_right"]].tolist() == [2, 0.5, 0]


def test_points_are_found_by_the_box_that_holds_them(tmp_path, answers):
    draw(tmp_path, "a", [])
    (tmp_path / "points.csv").write_text(
        "image,y,x,class\na.png,20,22,wbc\na.png,50,70,wbc\na.png,30,50,rbc\n"
    )
    answers["a"] = [(20, 20, 10, "neutrophil"), (50, 20, 5, "neutrophil")]
    figures = evaluate(MODEL, tmp_path).summary.iloc[0]
    assert (figures.cells, figures.predicted, figures.hits) == (2, 2, 1)


def test_a_folder_a_class_measures_types(tmp_path, answers):
    for name, kind in (("a", "neutrophil"), ("b", "lymphocyte"), ("c", "lymphocyte")):
        draw(tmp_path / kind, name, [])
    answers["a"] = [(20, 20, 10, "neutrophil"), (50, 60, 4, "lymphocyte")]
    answers["b"] = [(20, 20, 10, "lymphocyte")]
    measured = evaluate(MODEL, tmp_path)
    assert measured.summary.iloc[0].type_balanced == 1
    assert measured.summary.iloc[0].type_balanced_all == pytest.approx((1 + 0.5) / 2)
    assert {locate for _, locate, _ in answers["asked"]} == {"whole"}


def test_projections_are_compared(tmp_path, answers):
    draw(tmp_path, "a", [(20, 20, 10)], (40, 40))
    answers["a", "pca"] = []
    answers["a", "centre"] = [(20, 20, 10, "neutrophil")]
    measured = evaluate(MODEL, tmp_path, projections="pca, centre")
    assert measured.summary.set_index("projection").cell_iou.to_dict() == {"pca": 0, "centre": 1}
    with pytest.raises(ValueError, match="projection is 'pcx'; choose one of model, pca"):
        evaluate(MODEL, tmp_path, projections="pcx")


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
def test_masks_are_read_however_they_were_saved(tmp_path, mode):
    grey = np.repeat(np.uint8([[0, 128, 255]]), 9, axis=0)
    picture = Picture.fromarray(grey)
    deep = Picture.fromarray(grey.astype(np.uint16) * 257)
    saved = {"I;16": deep, "P": picture.convert("RGB").quantize(3)}.get(mode, picture.convert(mode))
    saved.save(tmp_path / "a_mask.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "a_mask.png"), grey)


def test_index_of_a_palette_decides_what_was_annotated(tmp_path):
    ignored = np.uint8([[0, 1, 1]])
    picture = Picture.fromarray(ignored)
    picture.putpalette([250, 250, 250, 0, 0, 0])
    picture.save(tmp_path / "a_ignore.png")
    assert read_ignored(tmp_path / "a_ignore.png", (1, 3)).tolist() == [[False, True, True]]


@pytest.mark.parametrize("name", ["b.png", "B.PNG", "D:\\smears\\b.png"])
def test_pictures_are_chosen_by_list_and_type(tmp_path, answers, name):
    labelled(tmp_path, answers)
    (tmp_path / "list.tsv").write_text(f"{name}\n")
    assert evaluate(MODEL, tmp_path, include=str(tmp_path / "list.tsv")).summary.cells[0] == 1
    figures = evaluate(MODEL, tmp_path, types="neutrophil").summary.iloc[0]
    assert (figures.cells, figures.typed_cells) == (2, 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"types": "basophil"}, "no cell of the types basophil"),
        ({"kind": "mask"}, "kind is 'mask'; choose one of auto"),
        ({"steps": 3}, "unknown parameter 'steps'"),
    ],
)
def test_bad_parameters_are_refused(tmp_path, answers, params, message):
    with pytest.raises(ValueError, match=message):
        evaluate(MODEL, labelled(tmp_path, answers), **params)


def test_a_listed_picture_that_is_not_there_is_named(tmp_path, answers):
    labelled(tmp_path, answers)
    (tmp_path / "list.tsv").write_text("b\nz.png\n")
    with pytest.raises(ValueError, match=r"list\.tsv lists z\.png, which the data does not hold"):
        read_images(tmp_path, EvaluateParams(include=str(tmp_path / "list.tsv")))


def test_a_mask_of_another_size_is_refused(tmp_path, answers):
    draw(tmp_path, "a", [(20, 20, 10)], (40, 40))
    Picture.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "a_mask.png")
    with pytest.raises(ValueError, match=r"a_mask\.png is \(40, 50\) pixels and a\.png \(40, 40\)"):
        evaluate(MODEL, tmp_path)


def test_pictures_without_cells_stay_in_the_count(tmp_path, answers):
    draw(tmp_path, "a", [], boxes=[])
    draw(tmp_path, "b", [], boxes=[(20, 20, 10, 0)])
    (tmp_path / "classes.txt").write_text("wbc\n")
    answers["b"] = [(20, 20, 10, "neutrophil")]
    measured = evaluate(MODEL, tmp_path)
    assert measured.images.f1.tolist() == [1, 1]
    assert measured.summary.f1.tolist() == [1]


def test_the_report_holds_tables_plots_and_parameters(tmp_path, answers):
    draw(tmp_path / "data", "a", [(20, 20, 10), (40, 60, 9)], boxes=[])
    (tmp_path / "data" / "classes.csv").write_text("image,class\na,neutrophil\n")
    answers["a"] = [(20, 21, 10, "neutrophil")]
    measured = evaluate(MODEL, tmp_path / "data", output=tmp_path / "out", kind="fields", seed=3)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [
        *("cells.csv", "classes.csv", "confusion.csv", "confusion_model.png"),
        *("confusion_model.svg", "evaluation.json", "images.csv", "scores.png", "scores.svg"),
        *("summary.csv", "summary.md", "worst_model.png", "worst_model.svg"),
    ]
    again = pd.read_csv(tmp_path / "out" / "summary.csv")
    pd.testing.assert_frame_equal(again, measured.summary, check_dtype=False)
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["model"] == "stand-in"
    assert (record["kind"], record["seed"], record["overlap"]) == ("fields", 3, 0.5)
    assert "| cell_iou |" in (tmp_path / "out" / "summary.md").read_text()
    assert [case.score for case in measured.worst["model"]] == sorted(measured.cells.cell_iou)


def test_panoptic_quality_and_f1_follow_the_iou(tmp_path, answers):
    draw(tmp_path, "two", [(20, 20, 10), (20, 60, 10)], boxes=[(20, 20, 10, 0), (20, 60, 10, 0)])
    answers["two"] = [
        (20, 20, 10, "neutrophil"),
        (20, 62, 10, "neutrophil"),
        (50, 40, 5, "lymphocyte"),
    ]
    measured = evaluate(MODEL, tmp_path)
    figures = measured.summary.iloc[0]
    shape = (60, 80)
    shifted = iou(disc(shape, 20, 60, 10), disc(shape, 20, 62, 10))
    assert 0.75 < shifted < 0.9
    assert figures.pq == pytest.approx(2 * (1 + shifted) / 5)
    assert (figures["f1_at_0.75"], figures["f1_at_0.9"]) == (4 / 5, 2 / 5)
    assert measured.classes.pq.tolist() == [pytest.approx((1 + shifted) / 2)]
    true, shift, spare = disc(shape, 20, 60, 10), disc(shape, 20, 62, 10), disc(shape, 50, 40, 5)
    shared = true.sum() + (true & shift).sum()
    assert figures.aji == pytest.approx(shared / (true.sum() + (true | shift).sum() + spare.sum()))


def test_a_method_without_nuclei_is_measured(tmp_path, answers, monkeypatch):
    draw(tmp_path, "a", [(20, 20, 10)], (40, 40))
    answers["a"] = [(20, 20, 10, "neutrophil")]
    complete = module.predict

    def predict(image, checkpoint, params):
        found = yield from complete(image, checkpoint, params)
        cells = found.cells.drop(columns="confidence")
        return Segmentation({"cell": found.labels["cell"]}, cells, {}, {})

    monkeypatch.setattr(module, "predict", predict)
    summary = evaluate(MODEL, tmp_path).summary
    assert summary.cell_iou[0] == 1
    assert "nucleus_iou" not in summary


def test_corrected_cells_are_a_truth_but_for_what_nobody_reviewed(tmp_path, answers):
    draw(tmp_path, "a", [])
    labels = np.zeros((60, 80), np.uint8)
    labels[disc((60, 80), 20, 20, 10)], labels[disc((60, 80), 45, 20, 8)] = 7, 9
    Picture.fromarray(labels).save(tmp_path / "a_labels.png")
    right = np.arange(80) >= np.full((60, 1), 50)
    Picture.fromarray(right.astype(np.uint8) * 255).save(tmp_path / "a_ignore.png")
    (tmp_path / "a_cells.csv").write_text("label,class\n7,lymphocyte\n9,rbc\n")
    answers["a"] = [
        (20, 20, 10, "lymphocyte"),
        (30, 65, 9, "neutrophil"),
        (50, 40, 5, "lymphocyte"),
    ]
    measured = evaluate(MODEL, tmp_path)
    figures = measured.summary.iloc[0]
    assert (figures.cells, figures.predicted, figures.hits, figures.cell_iou) == (1, 2, 1, 1)


def test_two_models_are_compared_cell_by_cell(tmp_path, answers, monkeypatch):
    draw(tmp_path / "data", "a", [(20, 20, 10), (40, 60, 9)], boxes=[])
    draw(tmp_path / "data", "b", [(30, 30, 10)], boxes=[])
    answers["a", "model"] = [(20, 20, 10, "neutrophil"), (40, 60, 9, "neutrophil")]
    answers["a", "pca"] = [(20, 20, 10, "neutrophil"), (40, 66, 9, "lymphocyte")]
    answers["b"] = [(30, 30, 10, "neutrophil")]
    other = replace(MODEL, name="other", card={"way": "pca"})
    real = module.predict

    def predict(image, checkpoint, params):
        way = checkpoint.card.get("way", params.projection)
        return real(image, checkpoint, replace(params, projection=way))

    monkeypatch.setattr(module, "predict", predict)
    found = evaluate(
        MODEL, tmp_path / "data", against=other, output=tmp_path / "out", kind="fields"
    )
    shape = (60, 80)
    low = iou(disc(shape, 40, 60, 9), disc(shape, 40, 66, 9))
    table = found.summary.set_index("figure")
    assert table.loc["cell_iou", "stand-in"] == 1
    assert table.loc["cell_iou", "difference"] == pytest.approx((low - 1) / 3)
    first = found.cells.iloc[0]
    assert (first["image"], first["cell"]) == ("a", 2)
    assert first["class other"] == "lymphocyte"
    one, two = found.disagreements[0]
    assert (one.score, two.score) == (1, pytest.approx(low))
    assert len(found.disagreements) == 3
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"comparison.csv", "comparison.md", "disagreements.png", "disagreements.svg"} <= written
    assert (tmp_path / "out" / "second" / "summary.csv").exists()


def test_red_cells_that_a_model_finds_are_not_taken_for_white_ones(tmp_path, answers):
    draw(tmp_path, "a", [(20, 20, 10)], boxes=[(20, 20, 10, 0)])
    answers["a"] = [(20, 20, 10, "neutrophil"), (45, 60, 9, "rbc"), (45, 30, 9, "rbc")]
    figures = evaluate(MODEL, tmp_path).summary.iloc[0]
    assert (figures.cells, figures.predicted, figures.precision, figures.aji) == (1, 1, 1, 1)


def test_pictures_in_which_there_is_no_cell_and_none_is_found(tmp_path, answers):
    draw(tmp_path / "data", "a", [])
    Picture.fromarray(np.zeros((60, 80), np.uint8)).save(tmp_path / "data" / "a_mask.png")
    measured = evaluate(MODEL, tmp_path / "data", kind="fields", output=tmp_path / "out")
    figures = measured.summary.iloc[0]
    assert (figures.projection, figures.cells, figures.predicted, figures.f1) == ("model", 0, 0, 1)
    assert "| cells | 0" in (tmp_path / "out" / "summary.md").read_text()


def test_a_mask_of_class_numbers_is_refused(tmp_path, answers):
    draw(tmp_path, "a", [], (40, 40))
    Picture.fromarray(np.full((40, 40), 3, np.uint8)).save(tmp_path / "a_mask.png")
    with pytest.raises(ValueError, match=r"a_mask\.png holds 3 at most: numbers of classes"):
        evaluate(MODEL, tmp_path)


def test_images_that_a_model_was_trained_on_are_named(tmp_path, answers):
    folder = labelled(tmp_path / "data", answers)
    rgb = np.full((60, 80, 3), 220, np.uint8)
    rgb[0, 0] = 0
    Picture.fromarray(rgb).save(folder / "b.png")
    own = replace(MODEL, card={"images": [image_id(rgb)], "data": {"data": 1}})
    measured = evaluate(own, folder, output=tmp_path / "out")
    (note,) = measured.notes
    assert note.startswith("stand-in was trained on 1 of these 2 images (b); measure other images")
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (record["trained_on"], record["notes"]) == (["b"], [note])
    assert note in (tmp_path / "out" / "summary.md").read_text()
    other = replace(MODEL, card={"images": ["0" * 12], "data": {"data": 1}})
    assert evaluate(other, folder).notes == []
    # A model whose card lists no images is known by the names of its data sets.
    old = replace(MODEL, name="old", card={"data": {"data": 1}})
    assert evaluate(own, folder, against=old).notes == [
        note,
        "old was trained on a data set called data; if it holds these images, measure others to "
        "learn how well it does on new ones",
    ]
    assert evaluate(MODEL, folder).notes == []


def test_a_comparison_refuses_a_parameter_that_neither_method_has(tmp_path, answers):
    with pytest.raises(ValueError, match="unknown parameter 'bogus'"):
        evaluate(MODEL, labelled(tmp_path, answers), against=MODEL, bogus=3)
