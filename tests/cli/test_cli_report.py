from __future__ import annotations


def test_a_report_is_written_and_not_replaced_without_force(wbc, tmp_path):
    (tmp_path / "a_cells.csv").write_text("label,class\n1,monocyte")
    page = tmp_path / "report.html"
    done = wbc("report", tmp_path, "-o", page, "--max-crops", 3)
    assert done.status == 0
    assert "Written:" in done.out
    assert "does not say where the cells are" in page.read_text()
    again = wbc("report", tmp_path, "-o", page)
    assert again.status == 2
    assert "give --force" in again.err


def test_what_cannot_be_reported_is_named(wbc, tmp_path):
    done = wbc("report", tmp_path, "-o", tmp_path / "report.html")
    assert done.status == 1
    assert "holds no cells" in done.err
