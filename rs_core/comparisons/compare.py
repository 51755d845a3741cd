"""A comparison of runs: certified accuracy and ACR of each, on all its inputs and on those that all share, with paired tests
of each against a baseline; and published results to compare with.

Definitions are those of ``reports.certification``; which inputs are shared is told in ``alignment``, the tests are in ``statistics.paired_tests``, and the
sentences that a reader needs in ``notes``. On a run's own inputs those that are not done count as not certified; among
the shared ones they are left out. ACRs of ``at_radii`` are lower bounds, stopped early: no difference of them is formed, and
certified accuracy of such a run is tested only at the radii that it was to settle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from radii.rs_core.comparisons.alignment import AlignedRuns, Run, align, photographs_of
from radii.rs_core.comparisons.notes import notes, procedure_text
from radii.rs_core.errors import InvalidResults, InvalidSpec
from radii.rs_core.literature.published_results import Published
from radii.rs_core.reports.certification import plain
from radii.rs_core.results.aggregate import CONFIDENCE, Columns, CurvePoint, curve, grid, point, radii_up_to, sums_of
from radii.rs_core.results.photographs import Photographs, Unit
from radii.rs_core.results.row_statistics import by_photograph, photograph_sums, shown_in
from radii.rs_core.specs.fields import Bound, Noise, Precision, Sampling
from radii.rs_core.statistics.paired_tests import (
    RESAMPLES,
    AcrDifference,
    Discordance,
    acr_difference,
    discordance,
    holm,
)


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """A run on some inputs. Shares are of ``inputs``, of which ``evaluated`` have a row; radii in pixel l2 units.

    ``at_cap`` is None where it cannot be known. Intervals count ``units``: inputs or, where several show one, photographs.
    """

    inputs: int
    units: int
    evaluated: int
    acr: float
    accuracy_at_0: CurvePoint
    certified_accuracy: tuple[CurvePoint, ...]
    abstained: int
    abstention_rate: float
    at_cap: int | None
    share_at_cap: float | None


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run: how it was made, as far as that is known, and its figures on all its inputs (``own``) and on the shared
    ones. ``settled``: the radii at which ``at_radii`` was to settle its inputs."""

    name: str
    complete: bool
    procedure: str
    acr_label: str
    sampling: Sampling
    bound: Bound
    noise: Noise
    precision: Precision
    robust_weight: float | None
    sigma: float | None
    n0: int | None
    n: int | None
    alpha: float | None
    cap: float | None
    settled: tuple[float, ...]
    own: RunFigures
    shared: RunFigures


@dataclass(frozen=True, kw_only=True)
class RadiusTest(Discordance):
    """The test at one radius, and its p-value adjusted for all tests of the comparison."""

    p_holm: float


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """A run against a baseline on the shared inputs; ``acr`` is None where the two ACRs may not be ranked."""

    run: str
    baseline: str
    acr: AcrDifference | None
    tests: tuple[RadiusTest, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that is said of some runs beside each other. ``shared`` inputs were evaluated by all of them; ``tests`` is how many
    p-values there are, and for how many they are adjusted. Tests and intervals of differences count the ``units`` that the shared
    inputs come to: inputs or, where several show one, photographs."""

    radii: tuple[float, ...]
    shared: int
    unit: Unit
    units: int
    confidence: float
    baseline: str
    runs: tuple[ComparedRun, ...]
    pairs: tuple[PairedComparison, ...]
    tests: int
    published: tuple[Published, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts and lists, free of NaN."""
        body: dict[str, Any] = plain(asdict(self))
        return body


def compare(
    runs: Sequence[Run],
    *,
    baseline: str | None = None,
    all_pairs: bool = False,
    radii: Sequence[float] | None = None,
    published: Sequence[Published] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """The comparison of ``runs``, which have different names; one alone may be compared with ``published``.

    ``baseline``: the run that the others are tested against, else the first; ``all_pairs``: test every two; ``radii``: the
    grid, else a round one up to the largest cap, with the radii of ``at_radii`` runs and of what was published; ``resamples``
    and ``seed`` of the bootstrap. Raises :class:`InvalidResults` where there is no run, two have one name, they share no
    input or their labels differ; :class:`InvalidSpec` for a baseline that is not there and radii that are none.
    """
    return compare_aligned(
        runs,
        checked(runs, baseline),
        baseline=baseline,
        all_pairs=all_pairs,
        radii=radii,
        published=published,
        resamples=resamples,
        seed=seed,
    )


def checked(runs: Sequence[Run], baseline: str | None = None) -> AlignedRuns:
    """The shared inputs of runs that can be compared; raises as :func:`compare` does."""
    names = [run.name for run in runs]
    if not names:
        raise InvalidResults(expected="at least one run", got="none")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InvalidResults(expected="a name of its own for each run", got=f"{twice!r} more than once")
    if baseline is not None and baseline not in names:
        raise InvalidSpec(expected=f"one of {', '.join(names)}", got=repr(baseline[:100]), where="baseline")
    return align(runs)


def compare_aligned(
    runs: Sequence[Run],
    shared: AlignedRuns,
    *,
    baseline: str | None = None,
    all_pairs: bool = False,
    radii: Sequence[float] | None = None,
    published: Sequence[Published] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """The same where the shared inputs were found by :func:`checked` already."""
    at = grid(radii) if radii is not None else common_radii(runs, published)
    base = baseline if baseline is not None else runs[0].name
    pairs = _pairs(runs, shared, base, all_pairs, at, resamples, seed)
    tests = sum(len(pair.tests) for pair in pairs)
    return Comparison(
        radii=at,
        shared=shared.inputs,
        unit=shared.unit,
        units=shared.units,
        confidence=CONFIDENCE,
        baseline=base,
        runs=tuple(
            _line(run, rows, at, photographs_of(run, runs)) for run, rows in zip(runs, shared.rows, strict=True)
        ),
        pairs=pairs,
        tests=tests,
        published=tuple(published),
        notes=notes(runs, shared, published, tests=tests, resamples=resamples, seed=seed),
    )


def common_radii(runs: Sequence[Run], published: Sequence[Published] = ()) -> tuple[float, ...]:
    """One grid for all: round radii up to the largest cap (the largest radius where none is known), with those at which
    ``at_radii`` runs were to settle and those that were published within; of ``at_radii`` runs alone, 0 and their own."""
    limit = max(run.cap if run.cap is not None else float(run.rows.radius.max(initial=0.0)) for run in runs)
    settled = [radius for run in runs for radius in run.settled]
    printed = [share.radius for one in published for share in one.certified_accuracy if share.radius <= limit]
    round_ones = (0.0,) if all(run.settled for run in runs) else radii_up_to(limit)
    return grid([*round_ones, *settled, *printed])


def _line(run: Run, shared: Columns, radii: tuple[float, ...], photographs: Photographs | None) -> ComparedRun:
    how, facts = run.facts.how, run.facts
    return ComparedRun(
        name=run.name,
        complete=run.evaluated == run.total and not run.unfinished,
        procedure=procedure_text(run),
        acr_label=how.acr_label,
        **asdict(how),
        sigma=facts.sigma,
        n0=facts.n0,
        n=facts.n,
        alpha=facts.alpha,
        cap=run.cap,
        settled=run.settled,
        own=figures(run.rows, radii, run.total, run.cap, photographs),
        shared=figures(shared, radii, len(shared.index), run.cap, photographs and Photographs(photographs.starts)),
    )


def figures(
    rows: Columns,
    radii: tuple[float, ...],
    inputs: int,
    cap: float | None,
    photographs: Photographs | None = None,
) -> RunFigures:
    """The figures of some rows, out of ``inputs``, which show these ``photographs``."""
    sums = sums_of(rows, radii, cap)
    at = None if photographs is None else photograph_sums(rows, radii, photographs.starts)
    zero, by_radius = by_photograph(at, shown_in(at, photographs, inputs - len(rows.index)))
    return RunFigures(
        inputs=inputs,
        units=inputs if zero is None else zero.sizes.photographs,
        evaluated=sums.evaluated,
        acr=sums.radius_sum / inputs,
        accuracy_at_0=point(0.0, sums.correct, inputs, inputs - sums.evaluated, zero),
        certified_accuracy=curve(sums, inputs, by_radius),
        abstained=sums.abstained,
        abstention_rate=sums.abstained / inputs,
        at_cap=sums.at_cap,
        share_at_cap=None if sums.at_cap is None else sums.at_cap / inputs,
    )


def _pairs(
    runs: Sequence[Run],
    shared: AlignedRuns,
    baseline: str,
    all_pairs: bool,
    radii: tuple[float, ...],
    resamples: int,
    seed: int,
) -> tuple[PairedComparison, ...]:
    """The tests, their p-values adjusted for all of them together."""
    found: list[tuple[Run, Run, AcrDifference | None, list[Discordance]]] = []
    for place, other in _matched(runs, baseline, all_pairs):
        ours, theirs = shared.rows[place], shared.rows[other]
        stopped = "at_radii" in (runs[place].facts.how.sampling, runs[other].facts.how.sampling)
        by = shared.photograph
        acr = None if stopped else acr_difference(ours, theirs, photograph=by, resamples=resamples, seed=seed)
        tests = [discordance(ours, theirs, radius, by) for radius in _tested(radii, runs[place], runs[other])]
        found.append((runs[place], runs[other], acr, tests))
    adjusted = iter(holm([test.p_value for *_, tests in found for test in tests]))
    return tuple(
        PairedComparison(
            run=run.name,
            baseline=other.name,
            acr=acr,
            tests=tuple(RadiusTest(**asdict(test), p_holm=next(adjusted)) for test in tests),
        )
        for run, other, acr, tests in found
    )


def _matched(runs: Sequence[Run], baseline: str, all_pairs: bool) -> Iterator[tuple[int, int]]:
    """Places of each run that is tested and of what it is tested against: the baseline or, with ``all_pairs``, every one
    before it, the baseline first."""
    order = sorted(range(len(runs)), key=lambda place: runs[place].name != baseline)
    if all_pairs:
        yield from ((later, earlier) for earlier, later in combinations(order, 2))
    else:
        yield from ((place, order[0]) for place in order[1:])


def _tested(radii: tuple[float, ...], *pair: Run) -> list[float]:
    """The radii of the grid at which both runs were to settle their inputs: all of them, unless sampling stopped early."""
    return [radius for radius in radii if all(not run.settled or radius in run.settled for run in pair)]
