"""The field's file of per-input results: tab-separated, header `idx label predict radius correct time`, row by row.

The format of the scripts published with Cohen et al. 2019, "Certified Adversarial Robustness via Randomized Smoothing",
arXiv 1902.02918, and of all that followed them. An abstention is predict -1 with radius 0. The files carry neither
counts nor n0, n, alpha, sigma or a seed: a reader that knows them can fill them in. Radii are written rounded down,
because a radius rounded up claims what was not certified. Reading by column name is in ``tsv_reader``, figures of the rows
in ``reports.certification``.
"""

import math
from collections.abc import Iterable, Iterator
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import TextIO

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import Certificate
from radii.rs_core.results.text_lines import Limits
from radii.rs_core.results.tsv_reader import COLUMNS as COLUMNS
from radii.rs_core.results.tsv_reader import HEADER, UNBOUNDED, KnownParameters, read_results
from radii.rs_core.results.tsv_reader import LARGEST_RADIUS as LARGEST_RADIUS
from radii.rs_core.results.tsv_reader import UNKNOWN_SEED as UNKNOWN_SEED


def read_tsv(
    path: str | Path,
    *,
    sigma: float = math.nan,
    n0: int = 0,
    n: int = 0,
    alpha: float = math.nan,
    name: str | None = None,
    limits: Limits = UNBOUNDED,
) -> list[Certificate]:
    """Reads a results file of certificates; see :func:`radii.rs_core.results.tsv_reader.read_results`.

    Args:
        path: The file.
        sigma: Noise level, entered into every row; so are ``n0``, ``n`` and ``alpha``.
        n0: Noise samples for selection; 0 where unknown.
        n: Noise samples for estimation; 0 where unknown.
        alpha: Failure probability of each row.
        name: What errors call the file; its own name by default.
        limits: Bounds of the file.

    Raises:
        InvalidResults: The file is not valid, or holds predictions.
    """
    known = KnownParameters(sigma=sigma, n0=n0, n=n, alpha=alpha)
    rows = read_results(path, known=known, name=name, limits=limits)
    found = [row for row in rows if isinstance(row, Certificate)]
    if len(found) < len(rows):
        got = "predictions, which have no radii (there is no column radius)"
        raise InvalidResults(expected="certificates", got=got, where=name or Path(path).name)
    return found


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


def _clock(seconds: float) -> str:
    """``H:MM:SS.micros``; nothing where it is unknown."""
    if math.isnan(seconds):
        return ""
    total, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{total // 3_600}:{total // 60 % 60:02}:{total % 60:02}.{micros:06}"
