import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.datasets.splits import hold_out_groups, stratified_folds

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
