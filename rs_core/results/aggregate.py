"""Sums over rows of results: how many inputs are certified at each radius of a grid, and the sum that is ACR.

Definitions of Cohen et al. 2019, arXiv 1902.02918 (certified accuracy at r: share correct with radius >= r) and Zhai et
al. 2020, "MACER", arXiv 2001.02378 (ACR: mean over all inputs of radius x correct). Sums over disjoint rows add up, so
whoever stores rows as they arrive can keep them beside; the whole report of a certification is made in ``reports.certification``.
Numbers only, with numpy; intervals come from ``certify.bounds``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.certify.bounds import interval, max_radius
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.results.photographs import Counts, GroupSizes, Photographs, known_sizes

CONFIDENCE = 0.95
CAP_TOLERANCE = 0.005
"""Relative: files of the field print radii with three significant digits, which moves them by up to half a percent.
One dissenting vote lowers the radius by more than that for every n up to 100,000,000 at the usual alphas."""


@dataclass(frozen=True)
class Columns:
    """Rows as arrays of shape (rows,), sorted by index. ``full``: 1 where all votes agreed, 0 where not, -1 unknown."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    radius: NDArray[np.float64]
    p_lower: NDArray[np.float64]
    failed: NDArray[np.bool_]
    full: NDArray[np.int64]

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """No class certified, for whatever reason."""
        return np.equal(self.prediction, ABSTAIN)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """The certified class is the label."""
        return ~self.abstained & np.equal(self.prediction, self.label)

    @property
    def certified_radius(self) -> NDArray[np.float64]:
        """Radius x correct: what an input adds to ACR."""
        return self.radius * self.correct

    def certified_at(self, radius: float) -> NDArray[np.bool_]:
        """Correct with at least that radius."""
        return self.correct & (self.radius >= radius)

    def at(self, places: NDArray[np.int64]) -> "Columns":
        """Some of the rows."""
        return Columns(**{name: getattr(self, name)[places] for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class RowSums:
    """Sums over rows, enough for a status poll. Those of disjoint rows on one grid of radii add up with ``+``.

    ``counts``: for each of ``radii``, the correct inputs with at least that radius; ``radius_sum``: of radius x
    correct; ``abstained`` includes ``errors``; ``at_cap`` is None where it cannot be known.
    """

    radii: tuple[float, ...]
    evaluated: int
    correct: int
    radius_sum: float
    counts: tuple[int, ...]
    abstained: int
    at_cap: int | None
    errors: int

    def __add__(self, other: "RowSums") -> "RowSums":
        if self.radii != other.radii:
            raise ValueError(f"expected sums on one grid of radii, got {self.radii} and {other.radii}")
        return RowSums(
            radii=self.radii,
            evaluated=self.evaluated + other.evaluated,
            correct=self.correct + other.correct,
            radius_sum=self.radius_sum + other.radius_sum,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            abstained=self.abstained + other.abstained,
            at_cap=None if self.at_cap is None or other.at_cap is None else self.at_cap + other.at_cap,
            errors=self.errors + other.errors,
        )


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Certified accuracy at one radius: ``count`` inputs, their share of all, and its interval."""

    radius: float
    count: int
    certified_accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Share:
    """``count`` of all inputs, their share, and its interval."""

    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ByPhotograph:
    """The inputs that count towards a share, by the photograph that they show: ``counts`` out of ``sizes``."""

    counts: Counts
    sizes: GroupSizes


@dataclass(frozen=True, eq=False)
class PhotographGroups:
    """Which inputs show the same photograph, of a job where some do, and how many of each there are and are missing."""

    photographs: Photographs
    sizes: GroupSizes

    @classmethod
    def of(cls, evaluated: Counts, photographs: Photographs | None, missing: int) -> "PhotographGroups | None":
        """Of a job whose rows show each photograph ``evaluated`` times, shape (photographs,), and lacks ``missing`` rows.

        None where each input shows another photograph, or ``photographs`` is None. Raises :class:`InvalidResults` where rows are
        missing and it is not known of which photographs.
        """
        if photographs is None:
            return None
        sizes = known_sizes(photographs.sizes(evaluated), missing)
        return None if sizes is None else cls(photographs, sizes)

    @classmethod
    def of_inputs(cls, index: Sequence[int], photographs: Photographs | None, inputs: int) -> "PhotographGroups | None":
        """The same of rows with this ``index``, out of ``inputs`` in all."""
        if photographs is None:
            return None
        numbers = photographs.numbers(np.asarray(index, dtype=np.int64))
        return cls.of(np.bincount(numbers).astype(np.int64), photographs, inputs - len(index))

    def by(self, index: Sequence[int]) -> ByPhotograph:
        """The inputs with this ``index`` by photograph."""
        return self.by_number(self.photographs.numbers(np.asarray(index, dtype=np.int64)))

    def by_number(self, numbers: Counts) -> ByPhotograph:
        """The same of inputs that show the photographs ``numbers``, shape (inputs,)."""
        counts = np.bincount(numbers, minlength=len(self.sizes.inputs))
        return ByPhotograph(counts.astype(np.int64), self.sizes)


def row_sums(certificates: Sequence[Certificate], radii: Sequence[float], *, cap: float | None = None) -> RowSums:
    """The sums over some rows of a job, to be added to those of the rows before."""
    return sums_of(columns(certificates), grid(radii), cap)


def grid_counts(certificates: Sequence[Certificate], radii: Sequence[float]) -> tuple[int, ...]:
    """For each of ``radii``, how many inputs are correct with at least that radius."""
    return _counts(columns(certificates), radii)


def curve(sums: RowSums, inputs: int, by: "Sequence[ByPhotograph] | None" = None) -> tuple[CurvePoint, ...]:
    """Certified accuracy on the grid of the sums, of ``inputs`` in all; ``by`` has the photographs at each radius."""
    missing = inputs - sums.evaluated
    units = [None] * len(sums.radii) if by is None else by
    return tuple(
        point(r, count, inputs, missing, one) for r, count, one in zip(sums.radii, sums.counts, units, strict=True)
    )


def point(radius: float, count: int, inputs: int, missing: int, by: "ByPhotograph | None" = None) -> CurvePoint:
    """Certified accuracy at ``radius`` of ``inputs`` in all, of which ``missing`` are not evaluated yet.

    These count as not certified in the share; the interval's upper end counts them as certified, which they may become.
    """
    of_all = share_of(count, inputs, missing, by)
    return CurvePoint(radius=radius, count=count, certified_accuracy=of_all.share, low=of_all.low, high=of_all.high)


def share_of(count: int, inputs: int, missing: int, by: "ByPhotograph | None" = None) -> Share:
    """The share of ``inputs``, of which ``missing`` are not evaluated yet: these count against it, and for its upper end.

    The interval is Clopper-Pearson's over inputs or, where several inputs show one photograph (``by``), one over photographs.
    """
    if by is None:
        low, high = interval(count, inputs, CONFIDENCE)[0], interval(count + missing, inputs, CONFIDENCE)[1]
    else:
        low, high = by.sizes.interval(by.counts, CONFIDENCE)
    return Share(count=count, share=count / inputs, low=low, high=high)


def default_radii(sigma: float, n: int, alpha: float) -> tuple[float, ...]:
    """The round radii up to the cap of this noise level and sample size, from 0."""
    return radii_up_to(max_radius(n, alpha, sigma))


def radii_up_to(limit: float) -> tuple[float, ...]:
    """Round radii 0, step, ... up to ``limit``: the papers' step 0.25 where it gives 4 to 16 radii, else 6 to 13."""
    if not limit > 0:
        return (0.0,)
    exact, exponent = Fraction(limit), math.floor(math.log10(limit))
    step = Fraction(1, 4)
    if not 4 <= exact // step + 1 <= 16:
        steps = [mantissa * Fraction(10) ** power for power in (exponent, exponent - 1) for mantissa in (5, 2, 1)]
        step = next(step for step in steps if exact // step + 1 >= 6)
    return tuple(float(k * step) for k in range(exact // step + 1))


def grid(radii: Sequence[float]) -> tuple[float, ...]:
    """Any radii as a grid: ascending, each once. Raises :class:`InvalidSpec` unless all are finite and at least 0."""
    if not all(math.isfinite(r) and r >= 0 for r in radii):
        raise InvalidSpec(expected="radii that are finite and at least 0", got=repr(list(radii))[:200], where="radii")
    return tuple(sorted({float(r) for r in radii}))


def columns(certificates: Sequence[Certificate]) -> Columns:
    """The rows as arrays, sorted by index, so that nothing computed from them depends on their order."""
    order = np.argsort(np.array([row.index for row in certificates], dtype=np.int64), kind="stable")
    full = [int(row.at_cap) if _tells(row) else -1 for row in certificates]
    return Columns(
        index=np.array([row.index for row in certificates], dtype=np.int64)[order],
        label=np.array([row.label for row in certificates], dtype=np.int64)[order],
        prediction=np.array([row.prediction for row in certificates], dtype=np.int64)[order],
        radius=np.array([row.radius for row in certificates], dtype=np.float64)[order],
        p_lower=np.array([row.p_lower for row in certificates], dtype=np.float64)[order],
        failed=np.array([row.error is not None for row in certificates], dtype=np.bool_)[order],
        full=np.array(full, dtype=np.int64)[order],
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, of which each begins after the last index of the one before."""
    every = [columns(()), *parts]
    names = Columns.__dataclass_fields__
    return Columns(**{name: np.concatenate([getattr(part, name) for part in every]) for name in names})


def _tells(row: Certificate) -> bool:
    """Whether its votes say if an input is at the cap: not where its number of samples is its own."""
    return (bool(row.counts) and row.sampling == "fixed") or row.prediction == ABSTAIN


def sums_of(rows: Columns, radii: Sequence[float], cap: float | None) -> RowSums:
    """The same of rows that are arrays already; ``cap`` finds inputs at the cap where votes are unknown."""
    return RowSums(
        radii=tuple(radii),
        evaluated=len(rows.index),
        correct=int(rows.correct.sum()),
        radius_sum=math.fsum(rows.certified_radius),
        counts=_counts(rows, radii),
        abstained=int(rows.abstained.sum()),
        at_cap=_at_cap(rows, cap),
        errors=int(rows.failed.sum()),
    )


def _counts(rows: Columns, radii: Sequence[float]) -> tuple[int, ...]:
    ascending = np.sort(rows.radius[rows.correct])
    below = np.searchsorted(ascending, np.array(radii, dtype=np.float64), side="left")
    return tuple((len(ascending) - below).tolist())


def _at_cap(rows: Columns, cap: float | None) -> int | None:
    """Inputs that only more samples could certify further: by their votes or, where these are unknown, by the cap."""
    if (rows.full >= 0).all():
        return int(rows.full.sum())
    return None if cap is None else int((~rows.abstained & (rows.radius >= cap * (1 - CAP_TOLERANCE))).sum())
