"""The field's file of per-input results: tab-separated, header `idx label predict radius correct time`, row by row.

The format of the scripts published with Cohen et al. 2019, "Certified Adversarial Robustness via Randomized Smoothing",
arXiv 1902.02918, and of all that followed them. An abstention is predict -1 with radius 0. The files carry neither
counts nor n0, n, alpha, sigma or a seed: a reader that knows them can fill them in. Radii are written rounded down,
because a radius rounded up claims what was not certified. What the rows amount to is told in ``report``.
"""

import math
import re
from collections.abc import Iterable, Iterator
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import TextIO

from rs_core.certify.decision import ABSTAIN, Certificate
from rs_core.errors import InvalidResults

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
HEADER = "\t".join(COLUMNS)
UNKNOWN_SEED = -1
LARGEST_RADIUS = 1_000_000
"""In pixel units; an image would need 10^12 pixel values for a larger one to be possible."""

_INDEX = r"[0-9]{1,18}"
_REAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_CLOCK = r"(?:[0-9]+ days?, )?[0-9]+:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
_GRAMMAR = {
    "idx": (_INDEX, "a whole number of at least 0"),
    "label": (rf"-1|{_INDEX}", "a class number, or -1 where the label is unknown"),
    "predict": (rf"-1|{_INDEX}", "a class number, or -1 for an abstention"),
    "radius": (_REAL, f"a number from 0 to {LARGEST_RADIUS:,}"),
    "correct": (r"[01]", "0 or 1"),
    "time": (rf"{_CLOCK}|{_REAL}", "H:MM:SS.micros or seconds"),
}
_ROW = re.compile("\t".join(f"({pattern})" for pattern, _ in _GRAMMAR.values()))


def read_tsv(
    path: str | Path,
    *,
    sigma: float = math.nan,
    n0: int = 0,
    n: int = 0,
    alpha: float = math.nan,
    name: str | None = None,
) -> list[Certificate]:
    """The rows of a results file, in its order. ``sigma``, ``n0``, ``n`` and ``alpha`` are entered into every row; ``name``
    is what errors call the file, where that is not its own.

    Line ends may be LF or CRLF, times H:MM:SS.micros or plain seconds. What the file does not hold is unknown: empty
    counts, p_lower NaN, seed -1. Raises :class:`InvalidResults`, naming the line, for anything else that is not a row,
    for contradictions within a row and for an index that comes twice.
    """
    name = name or Path(path).name
    lines = _lines(Path(path), name)
    if lines[0] != HEADER:
        raise InvalidResults(expected=f"the header {HEADER!r}", got=_shown(lines[0]), where=f"{name}, line 1")
    if len(lines) == 1:
        raise InvalidResults(expected="at least one row below the header", got="none", where=name)
    rows: list[Certificate] = []
    first_at: dict[int, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        where = f"{name}, line {number}"
        row = _parse(line, where, sigma=sigma, n0=n0, n=n, alpha=alpha)
        if first_at.setdefault(row.index, number) != number:
            got = f"idx {row.index} for the second time, after line {first_at[row.index]}"
            raise InvalidResults(expected="every idx once", got=got, where=where)
        rows.append(row)
    return rows


def write_tsv(certificates: Iterable[Certificate], file: TextIO) -> None:
    """Writes header and rows to a text stream, one by one; radii with 6 decimals, rounded down."""
    for line in tsv_lines(certificates):
        file.write(line)


def tsv_lines(certificates: Iterable[Certificate]) -> Iterator[str]:
    """Header and rows as lines that end in a newline, for a caller that streams them."""
    yield HEADER + "\n"
    for row in certificates:
        radius, correct, time = rounded_down(row.radius, 6), int(row.correct), _clock(row.seconds)
        yield f"{row.index}\t{row.label}\t{row.prediction}\t{radius}\t{correct}\t{time}\n"


def rounded_down(value: float, decimals: int) -> str:
    """``value`` as text with ``decimals`` decimals: the largest such number that does not exceed it.

    Starts from the shortest decimal that reads back as ``value``, so that 0.953 stays 0.953 and files can be rewritten.
    """
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_FLOOR))


def _lines(path: Path, name: str) -> list[str]:
    """The lines without their ends; empty lines at the end of the file are dropped."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidResults(expected="a readable file", got=str(error.strerror), where=name) from None
    except UnicodeDecodeError as error:
        got = f"binary data at byte {error.start}"
        raise InvalidResults(expected="a text file", got=got, where=name) from None
    if "\0" in text:
        raise InvalidResults(expected="a text file", got="binary data (a zero byte)", where=name)
    if not text.strip():
        raise InvalidResults(expected=f"the header {HEADER!r} and rows", got="an empty file", where=name)
    return [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")]


def _parse(line: str, where: str, *, sigma: float, n0: int, n: int, alpha: float) -> Certificate:
    match = _ROW.fullmatch(line)
    if match is None:
        raise _fault(line, where)
    index, label, prediction = int(match[1]), int(match[2]), int(match[3])
    radius = float(match[4])
    row = Certificate(
        index=index,
        label=label,
        prediction=prediction,
        radius=radius,
        p_lower=math.nan,
        counts0=(),
        counts=(),
        n0=n0,
        n=n,
        sigma=sigma,
        alpha=alpha,
        seed=UNKNOWN_SEED,
        seconds=_seconds(match[6]),
    )
    _check(row, match[5], where)
    return row


def _check(row: Certificate, correct: str, where: str) -> None:
    """Refuses a row that contradicts itself."""
    if row.radius > LARGEST_RADIUS:
        raise InvalidResults(expected=f"{_GRAMMAR['radius'][1]} as radius", got=repr(row.radius), where=where)
    if not math.isfinite(row.seconds):
        raise InvalidResults(expected=f"{_GRAMMAR['time'][1]} as time", got=repr(row.seconds), where=where)
    if row.prediction == ABSTAIN and row.radius > 0:
        raise InvalidResults(expected="radius 0 where predict is -1", got=f"radius {row.radius!r}", where=where)
    if correct != str(int(row.correct)):
        rule = f"correct {int(row.correct)} for label {row.label} and predict {row.prediction}"
        raise InvalidResults(expected=rule, got=f"correct {correct}", where=where)


def _fault(line: str, where: str) -> InvalidResults:
    """The first thing that is wrong with a line that is not a row."""
    fields = line.split("\t")
    if len(fields) != len(COLUMNS):
        expected = f"{len(COLUMNS)} columns separated by tabs"
        return InvalidResults(expected=expected, got=f"{len(fields)}: {_shown(line)}", where=where)
    column, field = next(
        (column, field)
        for column, field in zip(COLUMNS, fields, strict=True)
        if not re.fullmatch(_GRAMMAR[column][0], field)
    )
    return InvalidResults(expected=f"{_GRAMMAR[column][1]} as {column}", got=_shown(field), where=where)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "...")


def _seconds(time: str) -> float:
    """Seconds of ``8.1``, ``0:00:08.1`` or ``1 day, 0:00:08.1``."""
    if ":" not in time:
        return float(time)
    days, _, clock = time.rpartition(", ")
    hours, minutes, seconds = clock.split(":")
    return float(days.split()[0] if days else 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + float(seconds)


def _clock(seconds: float) -> str:
    total, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{total // 3_600}:{total // 60 % 60:02}:{total % 60:02}.{micros:06}"
