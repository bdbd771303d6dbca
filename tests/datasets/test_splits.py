import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from napari_wbc_nca.datasets.samples import LabelError, is_picture
from napari_wbc_nca.datasets.splits import find_duplicates, hold_out_groups, stratified_folds

samples = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.lists(st.sampled_from(["n", "l", "m"]), max_size=3)),
    min_size=1,
    max_size=40,
)


@given(samples, st.integers(1, 5), st.integers(0, 3))
def test_groups_stay_whole_and_no_fold_is_empty(rows, folds, seed):
    groups, classes = zip(*rows, strict=True)
    if len(set(groups)) < folds:
        with pytest.raises(ValueError, match=f"groups cannot make {folds} folds"):
            stratified_folds(groups, classes, folds, seed)
        return
    fold = stratified_folds(groups, classes, folds, seed)
    assert set(fold) == set(range(folds))
    assert len(set(zip(groups, fold, strict=True))) == len(set(groups))


def test_each_fold_has_its_share_of_each_class():
    names = ["n"] * 40 + ["l"] * 15 + ["b"] * 5
    fold = stratified_folds([str(k) for k in range(60)], [[name] for name in names], 5)
    for name, share in (("n", 8), ("l", 3), ("b", 1)):
        counts = np.bincount(fold[np.array(names) == name], minlength=5)
        assert counts.tolist() == [share] * 5


def test_the_seed_draws_other_folds():
    groups, classes = [str(k) for k in range(20)], [["n"]] * 20
    first, again, other = (stratified_folds(groups, classes, 4, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@given(samples, st.floats(0, 0.9), st.integers(0, 3))
def test_validation_holds_whole_groups_and_leaves_half_of_every_class(rows, share, seed):
    groups, classes = zip(*rows, strict=True)
    held = hold_out_groups(groups, classes, share, seed)
    assert held.sum() <= share * len(groups)
    chosen, kept = ({g for g, out in zip(groups, held, strict=True) if out == w} for w in (1, 0))
    assert chosen.isdisjoint(kept)
    for name in "nlm":
        counts = np.asarray([own.count(name) for own in classes])
        assert counts[~held].sum() * 2 >= counts.sum()


@pytest.mark.parametrize("seed", range(6))
def test_validation_takes_what_its_share_allows(seed):
    groups = [f"{source}/{n % 10}" for source in "ab" for n in range(40)]
    held = hold_out_groups(groups, [["neutrophil"]] * 80, 0.25, seed)
    assert held.sum() == 20
    rare = [["neutrophil"]] * 9 + [["basophil"]]
    held = hold_out_groups([str(n) for n in range(10)], rare, 0.6, seed)
    assert held.sum() == 4
    assert not held[-1]


@pytest.mark.parametrize("seed", range(6))
def test_validation_has_some_of_every_class_that_can_spare_it(seed):
    classes = [["n"]] * 40 + [["l"]] * 10 + [["b"]] * 10 + [["rare"]]
    held = hold_out_groups([str(n) for n in range(61)], classes, 0.1, seed)
    counts = [sum(out for out, own in zip(held, classes, strict=True) if own == [name])
              for name in ("n", "l", "b", "rare")]  # fmt: skip
    assert counts == [4, 1, 1, 0]


def test_no_share_and_one_group_hold_nothing_out():
    assert not hold_out_groups(["only"] * 10, [["n"]] * 10, 0.3).any()
    assert not hold_out_groups([str(n) for n in range(10)], [["n"]] * 10, 0.0).any()
    assert hold_out_groups([], [], 0.5).shape == (0,)


def smear(path, seed):
    """A picture of dark discs on a bright ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :160]
    pixels = np.full((120, 160), 220.0)
    for cy, cx in random.uniform((0, 0), (120, 160), (8, 2)):
        pixels[(y - cy) ** 2 + (x - cx) ** 2 < 200] = 120
    Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(path)
    return path


def test_copies_resized_and_recompressed_are_found(tmp_path):
    originals = [smear(tmp_path / f"{n}.png", n) for n in range(6)]
    copies = []
    for n in (4, 1):
        copies.append(tmp_path / f"copy{n}.jpg")
        Image.open(originals[n]).resize((100, 100)).save(copies[-1], quality=40)
    expected = [(originals[1], copies[1]), (originals[4], copies[0])]
    assert find_duplicates(originals, copies) == expected


def test_mirrored_copies_are_others(tmp_path):
    original = smear(tmp_path / "a.png", 0)
    ImageOps.mirror(Image.open(original)).save(tmp_path / "b.png")
    assert find_duplicates([original], [tmp_path / "b.png"]) == []


def test_flat_pictures_are_like_none(tmp_path):
    Image.new("L", (50, 50), 90).save(tmp_path / "flat.png")
    assert find_duplicates([tmp_path / "flat.png"], [tmp_path / "flat.png"]) == []
    assert find_duplicates([], [tmp_path / "flat.png"]) == []


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(LabelError, match=r"text.png: it is no image that can be read"):
        find_duplicates([tmp_path / "text.png"], [tmp_path / "text.png"])


@pytest.mark.parametrize(("part", "expected"), [("train", 73), ("val", 26)])
def test_the_fields_that_stand_among_the_smears_are_found(real_data, part, expected):
    fields, smears = (
        sorted(path for path in (real_data / name).iterdir() if is_picture(path))
        for name in ("fields", f"smears/{part}")
    )
    assert len({field for field, _ in find_duplicates(fields, smears)}) == expected
