"""Compact statistics of result rows, enough for a report without the rows: sums, and how many rows have which value.

The statistics of a few rows are exact. Those of very many rows keep radii and lower bounds in whole steps, rounded down, so that
their size does not grow with the rows: then quantiles and the curve between the grid's radii are rounded down to a step, while
ACR, certified accuracy on the grid, and every count stay exact. Statistics of disjoint rows add up, and rows that are replaced
can be subtracted again, so that a store can keep the statistics next to the rows. Numbers only; words are in ``reports.certification``.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.records import UNKNOWN_LABEL, Certificate
from radii.rs_core.results.aggregate import ByPhotograph, Columns, PhotographGroups, RowSums, columns, grid, sums_of
from radii.rs_core.results.photographs import Counts, Photographs

STEPS = 50_000
"""Steps from 0 to the cap, and of p_lower from 0 to 1, in the statistics of very many rows."""


@dataclass(frozen=True, eq=False)
class ValueCounts:
    """How many rows have which value: ``values`` ascending, each once, and ``counts`` of the same length."""

    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, values: NDArray[np.float64], step: float = 0.0) -> "ValueCounts":
        """Of one value for each row; with a ``step``, each is rounded down to a whole number of steps."""
        found, counts = np.unique(floored(values, step), return_counts=True)
        return cls(found, counts.astype(np.int64))

    @property
    def total(self) -> int:
        """Rows."""
        return int(self.counts.sum())

    def plus(self, other: "ValueCounts", sign: int = 1) -> "ValueCounts":
        """With the rows of another one added, or taken away."""
        values, place = np.unique(np.append(self.values, other.values), return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, place, np.append(self.counts, sign * other.counts))
        return ValueCounts(values[counts != 0], counts[counts != 0])

    def with_zeros(self, rows: int) -> "ValueCounts":
        """With so many rows of value 0 added."""
        return self.plus(ValueCounts(np.zeros(1), np.array([rows], dtype=np.int64))) if rows else self

    def at_least(self, values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
        """For each of ``values``, how many rows have at least that one."""
        above = np.append(np.cumsum(self.counts[::-1])[::-1], 0)
        return np.asarray(above[np.searchsorted(self.values, np.asarray(values, dtype=np.float64), side="left")])

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Values at or below which these shares of the rows lie: values that are there, none between two of them."""
        cumulated = np.cumsum(self.counts)
        places = np.searchsorted(
            cumulated, np.ceil(np.round(np.asarray(shares) * self.total, 6)).clip(min=1), side="left"
        )
        return [float(value) for value in self.values[places]]

    @property
    def largest(self) -> float:
        """The largest value; 0 where there is none."""
        return float(self.values[-1]) if len(self.values) else 0.0


def floored(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Values rounded down to whole steps, as they are where ``step`` is 0."""
    return np.floor(values / step) * step if step > 0 else values


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Rows of one label, or of one group of the data set."""

    inputs: int = 0
    radius_sum: float = 0.0
    correct: int = 0
    abstained: int = 0

    def plus(self, other: "ClassSums", sign: int) -> "ClassSums":
        """With the rows of another one added, or taken away."""
        return ClassSums(
            inputs=self.inputs + sign * other.inputs,
            radius_sum=self.radius_sum + sign * other.radius_sum,
            correct=self.correct + sign * other.correct,
            abstained=self.abstained + sign * other.abstained,
        )


@dataclass(frozen=True, eq=False)
class PhotographSums:
    """Rows by the photograph that they show. Of each: how many have been ``evaluated``, how many of these are ``correct``,
    ``at``, of shape (radii of the grid, photographs), how many are correct with at least that radius, and ``radius``, the sum of
    the certified radii of correct ones."""

    evaluated: Counts
    correct: Counts
    at: Counts
    radius: NDArray[np.float64]

    def plus(self, other: "PhotographSums", sign: int) -> "PhotographSums":
        """With the rows of another one added, or taken away."""
        photographs = max(len(self.evaluated), len(other.evaluated))
        one, two = self._of(photographs), other._of(photographs)
        return PhotographSums(
            one.evaluated + sign * two.evaluated,
            one.correct + sign * two.correct,
            one.at + sign * two.at,
            one.radius + sign * two.radius,
        )

    def _of(self, photographs: int) -> "PhotographSums":
        room = photographs - len(self.evaluated)
        evaluated, correct = (np.pad(counts, (0, room)) for counts in (self.evaluated, self.correct))
        return PhotographSums(evaluated, correct, np.pad(self.at, [(0, 0), (0, room)]), np.pad(self.radius, (0, room)))


@dataclass(frozen=True, kw_only=True)
class RowStatistics:
    """Everything that a report says of its rows. ``step`` and ``p_step`` are 0 where it is exact. ``groups``: the rows of
    each group of the dataset, by its number, where it has groups; ``photographs``: the rows of each photograph, then.

    ``correct_radii``, ``wrong_radii``: certified radii of rows whose class is, or is not, the label; ``p_lower`` of rows
    without an error; ``certified_as``: certificates by class; ``drawn``: samples of the estimation, of ``drawn_rows`` rows.
    """

    sums: RowSums
    correct_radii: ValueCounts = ValueCounts()
    wrong_radii: ValueCounts = ValueCounts()
    p_lower: ValueCounts = ValueCounts()
    classes: Mapping[int, ClassSums] = field(default_factory=dict)
    certified_as: Mapping[int, int] = field(default_factory=dict)
    unlabelled: int = 0
    drawn: int = 0
    drawn_rows: int = 0
    step: float = 0.0
    p_step: float = 0.0
    groups: Mapping[int, ClassSums] = field(default_factory=dict)
    photographs: PhotographSums | None = None

    @property
    def mean_samples(self) -> float | None:
        """Of the estimation; None where the rows do not say."""
        return self.drawn / self.drawn_rows if self.drawn_rows else None

    def plus(self, other: "RowStatistics", sign: int = 1) -> "RowStatistics":
        """With the rows of another one added, or taken away."""
        classes = self.certified_as.keys() | other.certified_as.keys()
        return replace(
            self,
            sums=_summed(self.sums, other.sums, sign),
            correct_radii=self.correct_radii.plus(other.correct_radii, sign),
            wrong_radii=self.wrong_radii.plus(other.wrong_radii, sign),
            p_lower=self.p_lower.plus(other.p_lower, sign),
            classes=_added(self.classes, other.classes, sign),
            groups=_added(self.groups, other.groups, sign),
            photographs=_both(self.photographs, other.photographs, sign),
            certified_as={
                label: self.certified_as.get(label, 0) + sign * other.certified_as.get(label, 0)
                for label in sorted(classes)
            },
            unlabelled=self.unlabelled + sign * other.unlabelled,
            drawn=self.drawn + sign * other.drawn,
            drawn_rows=self.drawn_rows + sign * other.drawn_rows,
        )


def statistics_of(
    certificates: Sequence[Certificate],
    radii: Sequence[float],
    *,
    cap: float | None = None,
    steps: int = 0,
    starts: Sequence[int] = (),
) -> RowStatistics:
    """The statistics of some rows on a grid of radii; with ``steps``, which need a ``cap``, not larger than so many.

    ``starts``: the first index of each group of the dataset, ascending from 0, where it has groups: then image i of each shows
    photograph i.
    """
    return statistics_of_columns(columns(certificates), certificates, radii, cap=cap, steps=steps, starts=starts)


def statistics_of_columns(
    rows: Columns,
    certificates: Sequence[Certificate],
    radii: Sequence[float],
    *,
    cap: float | None,
    steps: int = 0,
    starts: Sequence[int] = (),
) -> RowStatistics:
    """The same where the rows are arrays already."""
    step, p_step = (cap / steps, 1 / steps) if steps and cap else (0.0, 0.0)
    known = rows.p_lower[~rows.failed & np.isfinite(rows.p_lower)]
    certified, counts = np.unique(rows.prediction[~rows.abstained], return_counts=True)
    drawn = [row.n for row in certificates if row.counts]
    return RowStatistics(
        sums=sums_of(rows, grid(radii), cap),
        correct_radii=ValueCounts.of(rows.radius[rows.correct], step),
        wrong_radii=ValueCounts.of(rows.radius[~rows.correct & ~rows.abstained], step),
        p_lower=ValueCounts.of(known, p_step),
        classes=_classes(rows),
        groups=group_sums(rows, starts),
        photographs=photograph_sums(rows, grid(radii), starts),
        certified_as=dict(zip(certified.tolist(), counts.tolist(), strict=True)),
        unlabelled=int((rows.label == UNKNOWN_LABEL).sum()),
        drawn=sum(drawn),
        drawn_rows=len(drawn),
        step=step,
        p_step=p_step,
    )


def to_bytes(statistics: RowStatistics) -> bytes:
    """The statistics of very many rows, to be stored."""
    samples = {name: _steps(getattr(statistics, name), statistics.step) for name in ("correct_radii", "wrong_radii")}
    samples["p_lower"] = _steps(statistics.p_lower, statistics.p_step)
    sums = statistics.sums
    body = {
        **samples,
        "step": statistics.step,
        "p_step": statistics.p_step,
        "sums": {name: getattr(sums, name) for name in sums.__dataclass_fields__},
        "classes": {
            str(label): [row.inputs, row.radius_sum, row.correct, row.abstained]
            for label, row in statistics.classes.items()
        },
        "groups": {str(number): list(astuple(row)) for number, row in statistics.groups.items()},
        "photographs": _packed(statistics.photographs),
        "certified_as": {str(label): count for label, count in statistics.certified_as.items()},
        "unlabelled": statistics.unlabelled,
        "drawn": [statistics.drawn, statistics.drawn_rows],
    }
    return zlib.compress(json.dumps(body).encode(), 1)


def from_bytes(body: bytes) -> RowStatistics:
    """The statistics that :func:`to_bytes` made the body of."""
    kept: dict[str, Any] = json.loads(zlib.decompress(body))
    sums = kept["sums"]
    return RowStatistics(
        sums=RowSums(**sums | {"radii": tuple(sums["radii"]), "counts": tuple(sums["counts"])}),
        correct_radii=_sample(kept["correct_radii"], kept["step"]),
        wrong_radii=_sample(kept["wrong_radii"], kept["step"]),
        p_lower=_sample(kept["p_lower"], kept["p_step"]),
        classes={
            int(label): ClassSums(inputs=row[0], radius_sum=row[1], correct=row[2], abstained=row[3])
            for label, row in kept["classes"].items()
        },
        groups={
            int(number): ClassSums(inputs=row[0], radius_sum=row[1], correct=row[2], abstained=row[3])
            for number, row in kept.get("groups", {}).items()
        },
        photographs=_unpacked(kept.get("photographs")),
        certified_as={int(label): count for label, count in kept["certified_as"].items()},
        unlabelled=kept["unlabelled"],
        drawn=kept["drawn"][0],
        drawn_rows=kept["drawn"][1],
        step=kept["step"],
        p_step=kept["p_step"],
    )


def _steps(sample: ValueCounts, step: float) -> list[list[int]]:
    """Whole steps and counts."""
    return [np.rint(sample.values / (step or 1.0)).astype(np.int64).tolist(), sample.counts.tolist()]


def _sample(kept: list[list[int]], step: float) -> ValueCounts:
    return ValueCounts(np.array(kept[0], dtype=np.float64) * step, np.array(kept[1], dtype=np.int64))


def _summed(one: RowSums, other: RowSums, sign: int) -> RowSums:
    if sign > 0:
        return one + other
    taken = {name: -getattr(other, name) for name in ("evaluated", "correct", "radius_sum", "abstained", "errors")} | {
        "counts": tuple(-count for count in other.counts),
        "at_cap": None if other.at_cap is None else -other.at_cap,
    }
    return one + replace(other, **taken)


def group_sums(rows: Columns, starts: Sequence[int]) -> dict[int, ClassSums]:
    """The rows of each group that has any, by the group's number; ``starts`` are the groups' first indices, from 0."""
    if not starts:
        return {}
    number = np.searchsorted(np.asarray(starts, dtype=np.int64), rows.index, side="right") - 1
    return _sums_by(number, rows, np.ones(len(number), dtype=np.bool_))


def photograph_sums(
    rows: Columns, radii: Sequence[float], starts: Sequence[int], *, photographs: int = 0
) -> PhotographSums | None:
    """The rows of each photograph.

    Args:
        radii: At which correct rows are counted, in [0, 1]-pixel l2 units, ascending.
        starts: The first index of each group of the dataset, ascending from 0; empty of a dataset without groups.
        photographs: How many there are at least; later ones have no row.

    Returns:
        None without groups.
    """
    if not starts:
        return None
    number = Photographs(tuple(starts)).numbers(rows.index)
    length = max(photographs, int(number.max(initial=-1)) + 1)
    # In how many radii of the grid a correct row counts, as a place in a table: one pass over the rows.
    reached = np.searchsorted(np.asarray(radii, dtype=np.float64), rows.radius[rows.correct], side="right")
    places = number[rows.correct] + reached * length
    table = np.bincount(places, minlength=(len(radii) + 1) * length).reshape(len(radii) + 1, length)
    at_least = np.cumsum(table[::-1], axis=0)[::-1]
    evaluated = np.bincount(number, minlength=length)
    return PhotographSums(
        evaluated.astype(np.int64),
        at_least[0].astype(np.int64),
        at_least[1:].astype(np.int64),
        np.bincount(number, rows.certified_radius, minlength=length).astype(np.float64),
    )


def shown_in(sums: PhotographSums | None, photographs: Photographs | None, missing: int) -> PhotographGroups | None:
    """Which of the rows summed up show the same photograph; see :meth:`PhotographGroups.of`."""
    return None if sums is None else PhotographGroups.of(sums.evaluated, photographs, missing)


def by_photograph(
    sums: PhotographSums | None, shown: PhotographGroups | None
) -> tuple[ByPhotograph | None, list[ByPhotograph] | None]:
    """Correct inputs, and those at each radius of the grid, by photograph; nothing where each input shows another one."""
    if sums is None or shown is None:
        return None, None
    return ByPhotograph(sums.correct, shown.sizes), [ByPhotograph(counts, shown.sizes) for counts in sums.at]


def _both(one: PhotographSums | None, other: PhotographSums | None, sign: int) -> PhotographSums | None:
    return None if one is None or other is None else one.plus(other, sign)


def _packed(sums: PhotographSums | None) -> dict[str, Any] | None:
    """As bytes in text: millions of small numbers, which JSON would take seconds for."""
    if sums is None:
        return None
    table = np.vstack([sums.evaluated, sums.correct, sums.at])
    kind = next(kind for kind in (np.uint8, np.uint16, np.uint32) if table.max(initial=0) <= np.iinfo(kind).max)
    return {
        "kind": np.dtype(kind).name,
        "rows": len(table),
        "table": base64.b64encode(table.astype(kind).tobytes()).decode(),
        "radius": base64.b64encode(sums.radius.astype("<f8").tobytes()).decode(),
    }


def _unpacked(kept: dict[str, Any] | None) -> PhotographSums | None:
    if kept is None or "radius" not in kept:  # of a version that did not sum radii: the caller sums up again
        return None
    table = (
        np.frombuffer(base64.b64decode(kept["table"]), dtype=kept["kind"]).reshape(kept["rows"], -1).astype(np.int64)
    )
    radius = np.frombuffer(base64.b64decode(kept["radius"]), dtype="<f8").astype(np.float64)
    return PhotographSums(table[0], table[1], table[2:], radius)


def _added(one: Mapping[int, ClassSums], other: Mapping[int, ClassSums], sign: int) -> dict[int, ClassSums]:
    none = ClassSums()
    return {key: one.get(key, none).plus(other.get(key, none), sign) for key in sorted(one.keys() | other.keys())}


def _classes(rows: Columns) -> dict[int, ClassSums]:
    return _sums_by(rows.label, rows, rows.label != UNKNOWN_LABEL)


def _sums_by(key: NDArray[np.int64], rows: Columns, of: NDArray[np.bool_]) -> dict[int, ClassSums]:
    """The rows ``of`` which it is asked, by their key."""
    labels, place, sizes = np.unique(key[of], return_inverse=True, return_counts=True)
    correct, abstained = (np.bincount(place, values[of], len(labels)) for values in (rows.correct, rows.abstained))
    radii = np.split(rows.certified_radius[of][np.argsort(place, kind="stable")], np.cumsum(sizes)[:-1])
    return {
        label: ClassSums(
            inputs=size,
            radius_sum=math.fsum(radii[number]),
            correct=int(correct[number]),
            abstained=int(abstained[number]),
        )
        for number, (label, size) in enumerate(zip(labels.tolist(), sizes.tolist(), strict=True))
    }
