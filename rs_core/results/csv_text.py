"""CSV in which no text is a formula: the one writer of everything that a spreadsheet may open. Torch-free.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@``, also behind a tab or a line end. Names of models and
files come from users, so a cell of text that begins so gets an apostrophe, which spreadsheets take as the mark of text
(OWASP, "CSV Injection"). Numbers stay numbers.
"""

import csv
import io
from collections.abc import Iterable

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of a formula, the full-width forms of these characters among them."""


def csv_text(rows: Iterable[Iterable[object]], separator: str = ",") -> str:
    """Rows as text: each ends in a newline, and text that begins like a formula is escaped."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")  # noqa: TID251
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def cell(value: object) -> object:
    """What is written for a value. Line ends within text become LF: a bare CR would end the row."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return "'" + text if text.startswith(STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
