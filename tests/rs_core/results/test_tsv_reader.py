"""Results files of other scripts are read by the names of their columns, and what they do not say stays unknown."""

import math
from pathlib import Path

import pytest

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.results.text_lines import Limits
from radii.rs_core.results.tsv import read_tsv, write_tsv
from radii.rs_core.results.tsv_reader import LONGEST_FIELD, UNBOUNDED, KnownParameters, read_results


def file_of(folder: Path, *lines: str) -> Path:
    path = folder / "rows.tsv"
    path.write_text("".join(line.replace(" ", "\t").replace("_", " ") + "\n" for line in lines))
    return path


def refusal(path: Path, limits: Limits = UNBOUNDED) -> InvalidResults:
    with pytest.raises(InvalidResults) as caught:
        read_results(path, limits=limits)
    return caught.value


def certificate(path: Path) -> Certificate:
    (row,) = read_results(path)
    assert isinstance(row, Certificate)
    return row


def test_predictions_are_read_and_what_their_file_does_not_say_is_unknown(tmp_path: Path) -> None:
    lines = ("idx label predict correct time", "0 0 0 1 0:00:01.737771", "100 2 -1 0 0:00:00.158496", "200 4 395 0 0.1")
    path = file_of(tmp_path, *lines)
    rows = read_results(path)
    assert all(isinstance(row, Prediction) for row in rows)
    found = [(row.index, row.label, row.prediction, row.correct, row.seconds) for row in rows]
    assert found == [(0, 0, 0, True, 1.737771), (100, 2, -1, False, 0.158496), (200, 4, 395, False, 0.1)]
    for row in rows:
        assert isinstance(row, Prediction)
        assert (row.counts, row.n, row.seed, row.error) == ((), 0, -1, None)
        assert math.isnan(row.p_value) and math.isnan(row.sigma) and math.isnan(row.alpha)
    assert read_results(path, known=KnownParameters(sigma=0.5, n=100, alpha=0.01))[0].sigma == 0.5


def test_a_reader_of_certificates_refuses_predictions(tmp_path: Path) -> None:
    with pytest.raises(InvalidResults, match="expected certificates, got predictions"):
        read_tsv(file_of(tmp_path, "idx label predict correct time", "0 0 0 1 1"))


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("idx label predict radius correct time n_samples", "3 1 1 0.25 1 8.5 100000"),
        ("notes idx label predict radius correct time notes", "a_b 3 1 1 0.25 1 8.5 c"),
        ("time correct radius predict label idx", "8.5 1 0.25 1 1 3"),
        ("_idx label_ predict radius _correct_ time", "_3 1_ 1 _0.25_ 1 8.5_"),
        ("idx label predict radius correct time", "3 1 1 0.25 True 8.5"),
    ],
)
def test_columns_are_found_by_name(tmp_path: Path, header: str, line: str) -> None:
    row = certificate(file_of(tmp_path, header, line))
    assert (row.index, row.label, row.prediction, row.radius, row.seconds) == (3, 1, 1, 0.25, 8.5)


def test_a_false_answer_is_false(tmp_path: Path) -> None:
    assert not certificate(file_of(tmp_path, "idx label predict radius correct", "3 1 2 0.25 False")).correct
    wrong = refusal(file_of(tmp_path, "idx label predict radius correct", "3 1 2 0.25 True"))
    assert (wrong.expected, wrong.got) == ("correct 0 for label 1 and predict 2", "correct True")


def test_an_unknown_time_stays_unknown_when_it_is_written_again(tmp_path: Path) -> None:
    row = certificate(file_of(tmp_path, "idx label predict radius correct", "3 1 1 0.25 1"))
    assert math.isnan(row.seconds)
    again = tmp_path / "again.tsv"
    with again.open("w") as file:
        write_tsv([row], file)
    assert again.read_text().endswith("\t1\t\n")
    assert math.isnan(certificate(again).seconds)


@pytest.mark.parametrize(
    ("header", "expected", "got"),
    [
        ("idx label radius correct time", "the columns idx, label, predict", "which lacks predict"),
        ("a b c", "the columns idx, label, predict", "which lacks idx, label, predict"),
        ("idx label predict radius radius correct", "each column once", "radius more than once"),
        ("idx idx label predict predict", "each column once", "idx, predict more than once"),
        ("idx label predict" + " x" * 500, "at most 200 columns", "503"),
    ],
)
def test_missing_and_repeated_columns_are_refused(tmp_path: Path, header: str, expected: str, got: str) -> None:
    error = refusal(file_of(tmp_path, header, "1 1 1 1 1"))
    assert expected in error.expected and got in error.got
    assert error.where == "rows.tsv, line 1"


def test_files_are_bounded_in_bytes_rows_lines_and_fields(tmp_path: Path) -> None:
    path = file_of(tmp_path, "idx label predict radius", "1 1 1 0.5", "2 1 1 0.5", "3 1 1 0.5")
    size = path.stat().st_size
    assert len(read_results(path, limits=Limits(size=size, rows=3, line=30))) == 3
    assert refusal(path, Limits(size=size - 1)).expected == f"a file of at most {size - 1} bytes"
    assert refusal(path, Limits(rows=2)).expected == "at most 2 rows"
    assert refusal(path, Limits(line=9)).expected == "lines of at most 9 bytes"
    path = file_of(tmp_path, "idx label predict radius", "1 1 1 0." + "5" * LONGEST_FIELD)
    assert "as radius" in refusal(path).expected


def test_a_long_file_is_refused_at_its_first_fault_without_being_read_to_the_end(tmp_path: Path) -> None:
    path = file_of(tmp_path, "idx label predict radius", "1 1 1 much")
    with path.open("r+b") as file:
        file.truncate(2**40)  # a hole: reading it would take minutes
    assert refusal(path).where == "rows.tsv, line 2"
