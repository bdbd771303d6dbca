"""Tables of text: CSV in the separators and encodings that Excel and others write."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc_nca.io._files import reason

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("class", "origin", "image")
"""Columns that stay text whatever they hold: a class may be called 01, 1.0 or NA."""
_SEPARATORS = ",;\t|"
_BINARY = {b"PK\x03\x04": "an Excel workbook", b"\xd0\xcf\x11\xe0": "an Excel workbook"}
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,15})([.,]\d+)?([eE][+-]?\d+)?")


class TableError(ValueError):
    """A table that cannot be read; says which, why and what to do."""


@dataclass(frozen=True)
class Table:
    """Table of texts: those of each row by column, stripped, and the line where each row ends."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]

    def where(self, row: int) -> str:
        """Return file and line of a row, for messages."""
        return f"{self.path}, line {self.lines[row]}"


def read_table(path: Path) -> Table:
    """Read a table whose first row names the columns.

    Separators are comma, semicolon, tab and bar, encodings UTF-8, UTF-16 and Windows-1252. A
    TableError says when the file is empty, no text, or a row has not a value for each column.
    """
    lines = list(StringIO(read_text(path), newline=""))
    separator = ""
    if lines and (declared := re.fullmatch(r'"?sep=(.)"?', lines[0].strip("\r\n"))):
        separator, lines = declared[1], ["\n", *lines[1:]]
    header = next((line for line in lines if line.strip()), "")
    counts = Counter(re.sub(r'"[^"]*"', "", header))  # outside of quotation marks
    separator = separator or max(_SEPARATORS, key=lambda one: counts[one])
    columns: tuple[str, ...] = ()
    rows, numbers = [], []
    for line, texts in _split_lines(path, lines, separator):
        if not columns:
            columns = _column_names(texts)
            continue
        if len(texts) < len(columns) or any(texts[len(columns) :]):
            raise TableError(
                f"{path}, line {line}: {len(texts)} values for {len(columns)} columns; "
                "put texts that hold the separator in quotation marks"
            )
        rows.append(dict(zip(columns, texts, strict=False)))
        numbers.append(line)
    if not columns:
        raise TableError(f"{path} is empty; expected a CSV whose first row names the columns")
    return Table(path, columns, tuple(rows), tuple(numbers))


def _split_lines(
    path: Path, lines: Sequence[str], separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Iterate over the stripped texts of each row that has any, with its line."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    try:
        for values in reader:
            texts = [value.strip() for value in values]
            if any(texts):
                yield reader.line_num, texts
    except csv.Error as error:
        raise TableError(
            f"{path}, line {reader.line_num}: {error}; close each quotation mark, and keep a text "
            "to one cell"
        ) from error


def _column_names(texts: list[str]) -> tuple[str, ...]:
    """Name columns: without a name at the end they are dropped, elsewhere they are numbered.

    Of two columns with one name, in whichever case, the second gets its number as well.
    """
    while texts and not texts[-1]:
        texts.pop()
    known = [text.lower() for text in texts]
    return tuple(
        text if text and known.index(text.lower()) == at else f"{text or 'column'} {at + 1}"
        for at, text in enumerate(texts)
    )


def read_text(path: Path) -> str:
    """Read text in UTF-8, UTF-16 or Windows-1252; a TableError where it is none, or unreadable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read: {reason(error)}") from error
    for start, kind in _BINARY.items():
        if content.startswith(start):
            raise TableError(f"{path} is {kind}, not a text file; save it as CSV")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: Sequence[str] = ("utf-16",)
    elif b"\0" in content[:200]:
        little = content[1:200:2].count(0) >= content[:200:2].count(0)
        encodings = ("utf-16-le" if little else "utf-16-be",)
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise TableError(f"{path} is not a text file; expected a CSV in UTF-8")


def number(text: str) -> float:
    """Read a number, with a decimal point or comma; a ValueError where it is none.

    Examples
    --------
    >>> number("0,25"), number("3e-2")
    (0.25, 0.03)
    """
    if "_" in text:  # Python's own separator of thousands
        raise ValueError(f"{text!r} is no number")
    return float(text.replace(",", ".") if "." not in text else text)


def to_label(text: str) -> int:
    """Read a label, an integer in 1 to 2³²-1, perhaps written ``1.0``; a ValueError for others."""
    value = number(text)
    if not 1 <= value < 2**32 or value % 1:
        raise ValueError(f"{text!r} is no label")
    return int(value)


def to_value(column: str, text: str) -> int | float | str:
    """Convert the text of a column to a number where it is one and the column may hold numbers."""
    if column.lower() in TEXTS or not _NUMBER.fullmatch(text):
        return text
    return int(text) if re.fullmatch(r"-?\d+", text) else number(text)


def to_frame(table: Table) -> pd.DataFrame:
    """Convert a table to a data frame: numbers where a whole column holds them, else text.

    Classes and origins stay text as written. Integers with missing ones are ``Int64``.
    """
    import pandas as pd

    columns = {name: [row[name] for row in table.rows] for name in table.columns}
    return pd.DataFrame({name: _to_series(name, texts) for name, texts in columns.items()})


def _to_series(name: str, texts: Sequence[str]) -> pd.Series:
    import pandas as pd

    found = [text for text in texts if text]
    if name.lower() in TEXTS or not all(map(_NUMBER.fullmatch, found)):
        return pd.Series(texts, dtype=object)
    if found and all(re.fullmatch(r"-?\d+", text) for text in found):
        integers = [int(text) if text else None for text in texts]
        return pd.Series(integers, dtype="int64" if all(texts) else "Int64")
    return pd.Series([number(text) if text else float("nan") for text in texts], dtype="float64")
