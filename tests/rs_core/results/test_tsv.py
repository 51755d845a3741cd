"""The field's results file: what is written can be read, what is read is what stands there, and faults have a line."""

import io
import math
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.results.tsv import HEADER, read_tsv, rounded_down, write_tsv

GOOD_ROW = "3\t1\t1\t0.25\t1\t0:00:08.500000"


def certificate(
    index: int, *, label: int = 0, prediction: int = 0, radius: float = 0.5, seconds: float = 0.0
) -> Certificate:
    return Certificate(
        index=index,
        label=label,
        prediction=prediction,
        radius=radius,
        p_lower=0.9,
        counts0=(10, 0),
        counts=(90, 10),
        n0=10,
        n=100,
        sigma=0.25,
        alpha=0.001,
        seed=7,
        seconds=seconds,
    )


def written(*rows: Certificate) -> str:
    file = io.StringIO()
    write_tsv(rows, file)
    return file.getvalue()


def file_of(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "rows.tsv"
    path.write_text(end.join(lines), newline="")
    return path


def test_rows_are_written_as_the_field_writes_them() -> None:
    rows = (certificate(0, seconds=3_725.25), certificate(9, label=2, prediction=ABSTAIN, radius=0.0))
    assert written(*rows) == (
        "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
        "0\t0\t0\t0.500000\t1\t1:02:05.250000\n"
        "9\t2\t-1\t0.000000\t0\t0:00:00.000000\n"
    )


@given(st.floats(min_value=0, max_value=1e5, allow_subnormal=True))
def test_a_written_radius_never_exceeds_the_stored_one_and_is_close(radius: float) -> None:
    shown = float(written(certificate(0, radius=radius)).splitlines()[1].split("\t")[3])
    # The second bound leaves room for the spacing of floats near 1e5, 1.5e-11.
    assert shown <= radius < shown + 1e-6 + 1e-10


def test_a_radius_just_below_a_round_one_is_not_rounded_up_to_it() -> None:
    assert rounded_down(math.nextafter(0.5, 0), 6) == "0.499999"
    assert rounded_down(0.953, 6) == "0.953000"


def test_a_read_file_is_written_again_unchanged(tmp_path: Path) -> None:
    text = written(
        certificate(4, radius=0.953), certificate(2, label=1, prediction=0, radius=1e-6), certificate(3, radius=0.0)
    )
    path = tmp_path / "rows.tsv"
    path.write_text(text)
    assert written(*read_tsv(path)) == text


def test_what_the_file_does_not_hold_is_unknown_unless_the_reader_is_told(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER, GOOD_ROW, "")
    row = read_tsv(path)[0]
    assert (row.index, row.label, row.prediction, row.radius, row.correct, row.seconds) == (3, 1, 1, 0.25, True, 8.5)
    assert (row.counts, row.n0, row.n, row.seed) == ((), 0, 0, -1)
    assert math.isnan(row.sigma) and math.isnan(row.alpha) and math.isnan(row.p_lower)
    told = read_tsv(path, sigma=0.5, n0=100, n=1000, alpha=0.01)[0]
    assert (told.sigma, told.n0, told.n, told.alpha) == (0.5, 100, 1000, 0.01)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("0:00:08.5", 8.5),
        ("26:00:01", 93_601.0),
        ("2 days, 1:00:00.25", 176_400.25),
        ("8.25", 8.25),
        ("8", 8.0),
        ("1e-3", 0.001),
    ],
)
def test_times_are_read_as_clock_or_seconds(tmp_path: Path, time: str, seconds: float) -> None:
    assert read_tsv(file_of(tmp_path, HEADER, f"0\t1\t1\t0.1\t1\t{time}"))[0].seconds == seconds


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", [(), ("",), ("", "")])
def test_line_ends_of_all_systems_and_a_missing_last_one_are_read(
    tmp_path: Path, end: str, tail: tuple[str, ...]
) -> None:
    rows = read_tsv(file_of(tmp_path, HEADER, GOOD_ROW, GOOD_ROW.replace("3", "4", 1), *tail, end=end))
    assert [row.index for row in rows] == [3, 4]


def test_small_radii_in_scientific_notation_and_unknown_labels_are_read(tmp_path: Path) -> None:
    rows = read_tsv(file_of(tmp_path, HEADER, "0\t1\t1\t9.1e-05\t1\t1", "1\t-1\t1\t.5\t0\t1", "2\t-1\t-1\t0.0\t0\t1"))
    assert [(row.radius, row.correct) for row in rows] == [(9.1e-05, True), (0.5, False), (0.0, False)]


@pytest.mark.parametrize(
    ("line", "expected", "got"),
    [
        ("3 1 1 0.25 1 1", "6 columns", "1: '3 1 1"),
        ("3\t1\t1\t0.25\t1", "6 columns", "5: "),
        ("", "6 columns", "1: ''"),
        ("x\t1\t1\t0.25\t1\t1", "as idx", "'x'"),
        ("-1\t1\t1\t0.25\t1\t1", "as idx", "'-1'"),
        ("1_0\t1\t1\t0.25\t1\t1", "as idx", "'1_0'"),
        ("9" * 5000 + "\t1\t1\t0.25\t1\t1", "as idx", "'999"),
        ("3\t1.0\t1\t0.25\t1\t1", "as label", "'1.0'"),
        ("3\t1\t-2\t0.25\t0\t1", "as predict", "'-2'"),
        ("3\t1\t1\t-0.25\t1\t1", "as radius", "'-0.25'"),
        ("3\t1\t1\tnan\t1\t1", "as radius", "'nan'"),
        ("3\t1\t1\tinf\t1\t1", "as radius", "'inf'"),
        ("3\t1\t1\t1e999\t1\t1", "as radius", "inf"),
        ("3\t1\t1\t1e300\t1\t1", "as radius", "1e+300"),
        ("3\t1\t1\t0.25\tTrue?\t1", "as correct", "'True?'"),
        ("3\t1\t1\t0.25\t1\tsoon", "as time", "'soon'"),
        ("3\t1\t1\t0.25\t1\t1e999", "as time", "inf"),
        ("3\t1\t1\t0.25\t0\t1", "correct 1 for label 1 and predict 1", "correct 0"),
        ("3\t1\t2\t0.25\t1\t1", "correct 0 for label 1 and predict 2", "correct 1"),
        ("3\t-1\t-1\t0.0\t1\t1", "correct 0", "correct 1"),
        ("3\t1\t-1\t0.25\t0\t1", "radius 0 where predict is -1", "radius 0.25"),
        ("7\t1\t1\t0.25\t1\t1", "every idx once", "idx 7 for the second time, after line 2"),
    ],
)
def test_a_bad_row_is_named_by_its_line_with_what_was_expected_and_what_came(
    tmp_path: Path, line: str, expected: str, got: str
) -> None:
    path = file_of(tmp_path, HEADER, GOOD_ROW.replace("3", "7", 1), line, GOOD_ROW.replace("3", "8", 1))
    with pytest.raises(InvalidResults) as caught:
        read_tsv(path)
    assert caught.value.where == "rows.tsv, line 3"
    assert expected in caught.value.expected
    assert got in caught.value.got
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
        (HEADER.encode() + b"\n", "none"),
        (
            b"idx\tlabel\tpredict\tcorrect\ttime\n1\t1\t1\t1\t1\n",
            "predictions, which have no radii (there is no column radius)",
        ),
        (b"\x89PNG\r\n\x1a\n", "binary data at byte 0"),
        (b"PK\x03\x04\x00\x00", "binary data (a zero byte)"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_sentence(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes(content)
    with pytest.raises(InvalidResults) as caught:
        read_tsv(path)
    assert caught.value.got == got
    assert "rows.tsv" in caught.value.detail


@given(
    st.lists(
        st.sampled_from(["0", "-1", "1", "0.5", "\t", "\n", "\r", " ", ":", "nan", "\x85", "\u2028", "\0"]), max_size=40
    )
)
def test_any_text_below_a_header_gives_rows_or_one_sentence(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.tsv"
        path.write_text(HEADER + "\n" + "".join(parts), newline="")
        with suppress(InvalidResults):
            assert read_tsv(path)


def test_a_missing_file_and_a_folder_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for path, got in ((tmp_path / "none.tsv", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidResults, match=got):
            read_tsv(path)
