"""Row statistics hold what a report says: exactly for few rows, and in whole steps, rounded down, for very many."""

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.rs_core.certify.bounds import max_radius
from radii.rs_core.certify.certificates import certify
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.certification import Report, SharedParameters, report_of, summarize
from radii.rs_core.reports.procedure_text import ProcedureSummary
from radii.rs_core.results.row_statistics import STEPS, RowStatistics, ValueCounts, from_bytes, statistics_of, to_bytes

N, ALPHA, SIGMA = 10_000, 0.001, 0.5
CAP = max_radius(N, ALPHA, SIGMA)
RADII = (0.0, 0.25, 0.5, 1.0)
FACTS = SharedParameters(how=ProcedureSummary(), n0=100, n=N, alpha=ALPHA, sigma=SIGMA, seed=0)


def _row(index: int, label: int, selected: int, votes: int, failed: bool) -> Certificate:
    counts0, counts = [0] * 3, [0] * 3
    counts0[selected], counts[selected], counts[(selected + 1) % 3] = 100, votes, N - votes
    prediction, radius, p_lower = certify(counts0, counts, sigma=SIGMA, alpha=ALPHA)
    row = Certificate(
        index=index,
        label=label,
        prediction=prediction,
        radius=radius,
        p_lower=p_lower,
        counts0=tuple(counts0),
        counts=tuple(counts),
        n0=100,
        n=N,
        sigma=SIGMA,
        alpha=ALPHA,
        seed=0,
    )
    failure = {"prediction": ABSTAIN, "radius": 0.0, "p_lower": 0.0, "counts0": (), "counts": (), "error": "It ended."}
    return replace(row, **failure) if failed else row  # type: ignore[arg-type]


ROWS = st.lists(
    st.tuples(
        st.integers(-1, 2), st.integers(0, 2), st.integers(3_000, N) | st.just(N), st.sampled_from([False] * 5 + [True])
    ),
    min_size=1,
    max_size=40,
).map(lambda found: [_row(index, *row) for index, row in enumerate(found)])


def _report(statistics: RowStatistics, inputs: int) -> Report:
    return report_of(statistics, FACTS, inputs=inputs, cap=CAP)


@given(rows=ROWS)
def test_statistics_of_few_rows_are_exact(rows: list[Certificate]) -> None:
    found = _report(statistics_of(rows, RADII, cap=CAP), len(rows))
    wanted = summarize(rows, radii=RADII, cap=CAP)
    different = {"n0", "n", "alpha", "sigma", "seed", "notes"} if all(row.error for row in rows) else set()
    for name in found.__dataclass_fields__.keys() - different:
        assert getattr(found, name) == getattr(wanted, name), name


@given(rows=ROWS)
def test_in_steps_sums_and_counts_stay_exact_and_quantiles_are_rounded_down_by_less_than_one(
    rows: list[Certificate],
) -> None:
    exact, coarse = (_report(statistics_of(rows, RADII, cap=CAP, steps=steps), len(rows)) for steps in (0, STEPS))
    rounded = {"radius_quantiles", "p_lower_quantiles", "notes"}
    for name in exact.__dataclass_fields__.keys() - rounded:
        assert getattr(exact, name) == getattr(coarse, name), name
    for name, step in (("radius_quantiles", CAP / STEPS), ("p_lower_quantiles", 1 / STEPS)):
        one, other = getattr(exact, name), getattr(coarse, name)
        assert (one is None) == (other is None)
        for a, b in zip(astuple(one), astuple(other), strict=True) if one is not None else ():
            assert -1e-12 <= a - b < step * (1 + 1e-9)
    assert any("rounded down: radii to whole steps" in note for note in coarse.notes)


@given(rows=ROWS, cut=st.integers(0, 40))
def test_statistics_of_parts_add_up_and_can_be_taken_apart(rows: list[Certificate], cut: int) -> None:
    whole, first, second = (statistics_of(part, RADII, cap=CAP, steps=STEPS) for part in (rows, rows[:cut], rows[cut:]))
    assert _same(first.plus(second), whole)
    assert _same(whole.plus(second, -1), first)


@given(rows=ROWS)
def test_stored_statistics_are_the_same(rows: list[Certificate]) -> None:
    statistics = statistics_of(rows, RADII, cap=CAP, steps=STEPS)
    assert _same(from_bytes(to_bytes(statistics)), statistics)


def _same(one: RowStatistics, other: RowStatistics) -> bool:
    """Equal but for the last bits of sums; a class with no row is none."""
    for name in ("correct_radii", "wrong_radii", "p_lower"):
        a, b = getattr(one, name), getattr(other, name)
        if not (np.allclose(a.values, b.values) and np.array_equal(a.counts, b.counts)):
            return False
    for key in one.classes.keys() | other.classes.keys():
        empty = (0, 0.0, 0, 0)
        a, b = (astuple(statistics.classes[key]) if key in statistics.classes else empty for statistics in (one, other))
        if not np.allclose(a, b):
            return False
    sums = replace(one.sums, radius_sum=0.0) == replace(other.sums, radius_sum=0.0)
    close = math.isclose(one.sums.radius_sum, other.sums.radius_sum, abs_tol=1e-9)
    taken = {key: count for key, count in one.certified_as.items() if count}
    given_ = {key: count for key, count in other.certified_as.items() if count}
    return sums and close and taken == given_ and (one.drawn, one.drawn_rows) == (other.drawn, other.drawn_rows)


def test_statistics_do_not_grow_with_the_rows() -> None:
    generator = np.random.default_rng(0)
    radii = generator.uniform(0, CAP, 2_000_000)
    sample = ValueCounts.of(radii, CAP / STEPS)
    assert len(sample.values) <= STEPS + 1
    assert sample.total == len(radii)
    statistics = replace(
        statistics_of([], RADII, cap=CAP, steps=STEPS), correct_radii=sample, p_lower=ValueCounts.of(radii, 1 / STEPS)
    )
    assert len(to_bytes(statistics)) < 2**20


@pytest.mark.parametrize("total", [1, 3, 20, 60])
def test_quantiles_are_values_that_are_there(total: int) -> None:
    values = np.arange(total, dtype=np.float64)
    shares = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
    assert ValueCounts.of(values).quantiles(shares) == np.quantile(values, shares, method="inverted_cdf").tolist()
