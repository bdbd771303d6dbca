import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.datasets.splits import stratified_folds

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
