from __future__ import annotations


def test_counts_are_printed_and_written(wbc, tmp_path):
    (tmp_path / "a_cells.csv").write_text("label,class\n1,monocyte\n2,basophil")
    (tmp_path / "b_cells.csv").write_text("")
    counts, cells = tmp_path / "counts.csv", tmp_path / "all.csv"
    done = wbc("count", tmp_path, "-o", counts, "--cells", cells)
    assert done.status == 1
    assert "monocyte" in done.out
    assert "Failed: b:" in done.err
    assert counts.read_text().splitlines()[0].startswith("image,class,n,percent,low,high")
    assert len(cells.read_text().splitlines()) == 3
    again = wbc("count", tmp_path, "-o", counts)
    assert again.status == 2
    assert "give --force" in again.err


def test_a_folder_without_results_is_named(wbc, tmp_path):
    done = wbc("count", tmp_path)
    assert done.status == 1
    assert "holds no table of cells" in done.err
