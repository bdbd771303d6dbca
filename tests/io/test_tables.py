"""Tables are read as text, whatever program wrote them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc_nca.io.tables import TableError, number, read_table, to_frame

TEXT = "label{0}class{0}area\n1{0}éosinophile{0}0.5\n2{0}NA{0}\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_separators_and_encodings_are_recognised(tmp_path, separator, encoding):
    path = tmp_path / "cells.csv"
    path.write_bytes(TEXT.format(separator).replace("\n", "\r\n").encode(encoding))
    frame = to_frame(read_table(path))
    assert frame["label"].tolist() == [1, 2]
    assert frame["class"].tolist() == ["éosinophile", "NA"]
    np.testing.assert_array_equal(frame["area"], [0.5, np.nan])


def test_decimal_commas_and_a_declared_separator_are_read(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("sep=;\nlabel;area;note\n3;0,25;a, b\n\n4;1;\n")
    table = read_table(path)
    assert table.where(0).endswith("line 3")
    frame = to_frame(table)
    assert frame["area"].tolist() == [0.25, 1.0]
    assert frame["note"].tolist() == ["a, b", ""]


def test_classes_and_texts_with_leading_zeros_stay_as_written(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("label,class,slide,count\n1,01,007,3\n2,1.0,008,\n3,None,009,4\n")
    frame = to_frame(read_table(path))
    assert frame["class"].tolist() == ["01", "1.0", "None"]
    assert frame["slide"].tolist() == ["007", "008", "009"]
    assert frame["count"].astype(object).isna().tolist() == [False, True, False]
    assert frame["count"].dtype == "Int64"


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("label,class,,", ("label", "class")),
        (",label,class,", ("column 1", "label", "class")),
        ("label,class,Class", ("label", "class", "Class 3")),
    ],
)
def test_columns_without_a_name_of_their_own_are_numbered(tmp_path, header, columns):
    path = tmp_path / "cells.csv"
    path.write_text(f"{header}\n1,2,,\n")
    assert read_table(path).columns == columns


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a CSV"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,2,3\n", "line 2: 3 values for 2 columns"),
        (b"PK\x03\x04rest", "is an Excel workbook"),
        (b"a\0\0\0b\xff\xff", "is not a text file"),
        (b'a,b\n1,"2\n3,4\n', "line 3: unexpected end of data; close each quotation mark"),
        (b"a,b\n1," + b"x" * 200_000, "line 2: field larger than"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "cells.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_table(path)


def test_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="could not convert"):
        number("1,2,3")
