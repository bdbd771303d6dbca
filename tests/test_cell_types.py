from __future__ import annotations

import pytest

from napari_wbc_nca import cell_types as cells


@pytest.mark.parametrize(
    ("name", "detected", "typed"),
    [
        (" Monocyte ", "wbc", "monocyte"),
        ("Leucocyte", "wbc", "wbc"),
        ("red blood cell", "rbc", "none"),
        ("Thrombocyte", "platelet", "none"),
        ("debris", "none", "none"),
        ("Blast", "blast", "blast"),
    ],
)
def test_names_and_synonyms_become_one_class(name, detected, typed):
    assert (cells.detection_class(name), cells.canonical(name)) == (detected, typed)


def test_colours_of_known_classes_are_fixed_and_others_are_free_ones():
    names = ["wbc", "blast", "blast", *(f"other {n}" for n in range(9))]
    found = cells.colours(names)
    assert found["wbc"] == cells.COLOURS["wbc"]
    assert found["blast"] == cells.OTHER_COLOURS[0]
    assert "#cc79a7" not in [found[name] for name in names[1:]]
    assert found["other 8"] in cells.OTHER_COLOURS  # they repeat where none is left


def test_counts_of_cells_are_written_with_plurals():
    written = [cells.format_count(n, name) for n, name in [(1, "wbc"), (2, "rbc"), (3, "none")]]
    assert [text.replace("\xa0", " ") for text in written] == ["1 WBC", "2 RBCs", "3 none"]
