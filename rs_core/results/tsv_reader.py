"""Readers of the field's per-input result files, by the names of their columns.

The scripts published with Cohen et al. 2019, "Certified Adversarial Robustness via Randomized Smoothing", arXiv 1902.02918,
write certificates (``idx label predict radius correct time``) and predictions (the same without ``radius``). Scripts that
followed add columns, leave some out or order them otherwise. What a file does not hold stays unknown.

Files may come from strangers: they are read line by line, and size, rows, lines and fields have bounds.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import ABSTAIN, Certificate, Prediction
from radii.rs_core.results.text_lines import Limits, check_rows, raw_lines, shown

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
HEADER = "\t".join(COLUMNS)
NEEDED = ("idx", "label", "predict")
UNKNOWN_SEED = -1
LARGEST_RADIUS = 1_000_000
"""In pixel units; an image would need 10^12 pixel values for a larger one to be possible."""
LONGEST_FIELD = 64
"""Characters of a field that is read. Real ones have at most 30."""
MOST_COLUMNS = 200

_INDEX = r"[0-9]{1,18}"
# Each digit can be matched in one way only, so that matching takes time linear in the length.
_REAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_CLOCK = r"(?:[0-9]+ days?, )?[0-9]+:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
TRUE = ("1", "True", "true")
FALSE = ("0", "False", "false")
_GRAMMAR = {
    "idx": (re.compile(_INDEX), "a whole number of at least 0"),
    "label": (re.compile(rf"-1|{_INDEX}"), "a class number, or -1 where the label is unknown"),
    "predict": (re.compile(rf"-1|{_INDEX}"), "a class number, or -1 for an abstention"),
    "radius": (re.compile(_REAL), f"a number from 0 to {LARGEST_RADIUS:,}"),
    "correct": (re.compile("|".join(TRUE + FALSE)), "0 or 1, or True or False"),
    "time": (re.compile(rf"{_CLOCK}|{_REAL}|"), "H:MM:SS.micros or seconds"),
}


@dataclass(frozen=True, kw_only=True)
class KnownParameters:
    """What a results file does not say and its reader may know."""

    sigma: float = math.nan
    n0: int = 0
    n: int = 0
    alpha: float = math.nan


UNBOUNDED = Limits()
NOTHING = KnownParameters()


def read_results(
    path: str | Path, *, known: KnownParameters = NOTHING, name: str | None = None, limits: Limits = UNBOUNDED
) -> list[Certificate] | list[Prediction]:
    """Reads a results file: certificates where it has a column ``radius``, predictions where it has none.

    Columns may come in any order, further ones are ignored, and spaces around fields do not count. ``idx``, ``label`` and
    ``predict`` are needed. Line ends may be LF or CRLF, times ``H:MM:SS.micros`` or seconds. What the file does not hold
    is unknown: empty counts, NaN, seed -1.

    Args:
        path: The file.
        known: Values for every row.
        name: What errors call the file; its own name by default.
        limits: Bounds of the file.

    Raises:
        InvalidResults: A bound is exceeded, a needed column is missing, a known one comes twice, a line is not a row or
            contradicts itself, or an index comes twice. The error names the line.
    """
    name = name or Path(path).name
    lines = _lines(Path(path), name, limits)
    first = next(lines, (1, ""))[1]
    if not first.strip() and not any(line.strip() for _, line in lines):
        raise InvalidResults(expected=f"the header {HEADER!r} and rows", got="an empty file", where=name)
    columns = _columns(first, f"{name}, line 1")
    rows: list[Any] = []
    first_at: dict[int, int] = {}
    for number, line in lines:
        where = f"{name}, line {number}"
        check_rows(len(rows) + 1, limits, name)
        row = _record(_fields(line, columns, where), known, where)
        if first_at.setdefault(row.index, number) != number:
            got = f"idx {row.index} for the second time, after line {first_at[row.index]}"
            raise InvalidResults(expected="every idx once", got=got, where=where)
        rows.append(row)
    if not rows:
        raise InvalidResults(expected="at least one row below the header", got="none", where=name)
    return rows


def _lines(path: Path, name: str, limits: Limits) -> Iterator[tuple[int, str]]:
    """Reads the lines of a text file one by one, without their ends.

    Yields:
        The number of each line, from 1, and its text. Empty lines at the end of the file are left out.

    Raises:
        InvalidResults: As :func:`raw_lines`, and where the file is no text in UTF-8.
    """
    empty = 0
    for number, (start, raw) in enumerate(raw_lines(path, name, limits), start=1):
        line = _decoded(raw, start, name)
        if not line:
            empty += 1
            continue
        yield from ((number - back, "") for back in range(empty, 0, -1))
        empty = 0
        yield number, line


def _decoded(raw: bytes, start: int, name: str) -> str:
    """A line as text, without its end; ``start`` is its first byte in the file."""
    if b"\0" in raw:
        raise InvalidResults(expected="a text file", got="binary data (a zero byte)", where=name)
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8-sig" if start == 0 else "utf-8")
    except UnicodeDecodeError as error:
        got = f"binary data at byte {start + error.start}"
        raise InvalidResults(expected="a text file", got=got, where=name) from None


def _columns(header: str, where: str) -> tuple[dict[str, int], int]:
    """The places of the columns that are known, and the number of all."""
    names = [name.strip() for name in header.split("\t")]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        expected = f"a header with the columns {', '.join(NEEDED)}, separated by tabs, such as {HEADER!r}"
        got = f"{shown(header)}, which lacks {', '.join(missing)}"
        raise InvalidResults(expected=expected, got=got, where=where)
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise InvalidResults(expected="each column once", got=f"{', '.join(twice)} more than once", where=where)
    if len(names) > MOST_COLUMNS:
        raise InvalidResults(expected=f"at most {MOST_COLUMNS} columns", got=f"{len(names):,}", where=where)
    return {name: names.index(name) for name in COLUMNS if name in names}, len(names)


def _fields(line: str, columns: tuple[dict[str, int], int], where: str) -> dict[str, str]:
    """The fields of the known columns, each of its form."""
    places, width = columns
    fields = line.split("\t")
    if len(fields) != width:
        expected = f"{width} columns separated by tabs"
        raise InvalidResults(expected=expected, got=f"{len(fields)}: {shown(line)}", where=where)
    found = {column: fields[place].strip(" ") for column, place in places.items()}
    for column, field in found.items():
        pattern, words = _GRAMMAR[column]
        if len(field) > LONGEST_FIELD or pattern.fullmatch(field) is None:
            raise InvalidResults(expected=f"{words} as {column}", got=shown(field), where=where)
    return found


def _record(fields: dict[str, str], known: KnownParameters, where: str) -> Certificate | Prediction:
    index, label, prediction = (int(fields[name]) for name in NEEDED)
    seconds = _seconds(fields.get("time", ""), where)
    right = int(prediction != ABSTAIN and prediction == label)
    if "correct" in fields and (fields["correct"] in TRUE) != right:
        rule = f"correct {right} for label {label} and predict {prediction}"
        raise InvalidResults(expected=rule, got=f"correct {fields['correct']}", where=where)
    at = {"index": index, "label": label, "prediction": prediction, "counts": (), "n": known.n, "sigma": known.sigma}
    at |= {"alpha": known.alpha, "seed": UNKNOWN_SEED, "seconds": seconds}
    if "radius" not in fields:
        return Prediction(p_value=math.nan, **at)  # type: ignore[arg-type]
    radius = _radius(fields["radius"], prediction, where)
    return Certificate(radius=radius, p_lower=math.nan, counts0=(), n0=known.n0, **at)  # type: ignore[arg-type]


def _radius(field: str, prediction: int, where: str) -> float:
    radius = float(field)
    if radius > LARGEST_RADIUS:
        raise InvalidResults(expected=f"{_GRAMMAR['radius'][1]} as radius", got=repr(radius), where=where)
    if prediction == ABSTAIN and radius > 0:
        raise InvalidResults(expected="radius 0 where predict is -1", got=f"radius {radius!r}", where=where)
    return radius


def _seconds(time: str, where: str) -> float:
    """Seconds of ``8.1``, ``0:00:08.1`` or ``1 day, 0:00:08.1``; NaN where there is nothing."""
    if not time:
        return math.nan
    days, _, clock = time.rpartition(", ")
    *longer, seconds = clock.split(":")
    hours, minutes = map(int, longer) if longer else (0, 0)
    total = int(days.split()[0] if days else 0) * 86_400 + hours * 3_600 + minutes * 60 + float(seconds)
    if not math.isfinite(total):
        raise InvalidResults(expected=f"{_GRAMMAR['time'][1]} as time", got=repr(total), where=where)
    return total
