"""Plain sentences that a reader of a comparison needs: what the tests speak of, and what makes runs hard to compare."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.comparisons.alignment import AlignedRuns, Run
from radii.rs_core.literature.published_results import Published
from radii.rs_core.records import UNKNOWN_LABEL
from radii.rs_core.reports.certification import warnings_of
from radii.rs_core.results.aggregate import CONFIDENCE, sums_of
from radii.rs_core.results.photographs import UNKNOWN_PHOTOGRAPHS, dataset_repeats_note, repeat_of, repeats_note, told
from radii.rs_core.results.plausibility import ObservedOutcome
from radii.rs_core.results.tsv import rounded_down
from radii.rs_core.statistics.paired_tests import MOST_RESAMPLED

DIGITS = 3
"""Significant digits of the radii in the files that the field publishes: Cohen et al. 2019, ``{:.3}``."""
FEW = 100
"""Shared inputs, or photographs, below which only large differences can be told from chance."""
COVERS = {30: 92.0, 100: 92.5, 500: 94.0}
"""How often the bootstrap's interval of a difference of ACR covers it, in per cent, by inputs (simulated)."""


def procedure_text(run: Run) -> str:
    """How a run was made, in one line."""
    return run.facts.how.text if run.told else "procedure unknown"


def notes(
    runs: Sequence[Run], shared: AlignedRuns, published: Sequence[Published], *, tests: int, resamples: int, seed: int
) -> tuple[str, ...]:
    """All of them."""
    return (
        *_implausible(runs),
        *(_tests(shared, tests, resamples, seed) if len(runs) > 1 else ()),
        *_units(runs, shared),
        *_inputs(runs, shared),
        *_rounded(runs),
        *_procedures(runs),
        *_data(runs),
        *_published(runs, published),
    )


def _implausible(runs: Sequence[Run]) -> Iterator[str]:
    """Of each run on all of its own inputs."""
    for run in runs:
        sums = sums_of(run.rows, (), run.cap)
        outcome = ObservedOutcome(
            evaluated=sums.evaluated,
            abstained=sums.abstained,
            answers=_counted(run.rows.prediction[~run.rows.abstained]),
            labels=_counted(run.rows.label[run.rows.label != UNKNOWN_LABEL]),
            correct=sums.correct,
            at_cap=sums.at_cap,
            photographs=_photographs(run),
        )
        yield from (f"{run.name}: {sentence}" for sentence in warnings_of(outcome, run.facts))


def _photographs(run: Run) -> int | None:
    return None if run.photographs is None else len(np.unique(run.photographs.numbers(run.rows.index)))


def _counted(classes: NDArray[np.int64]) -> dict[int, int]:
    found, counts = np.unique(classes, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _tests(shared: AlignedRuns, tests: int, resamples: int, seed: int) -> Iterator[str]:
    units, plural, over = shared.units, f"{shared.unit}s", _over(shared)
    if tests:
        exact = "McNemar tests" if shared.unit == "input" else "sign-flip tests (McNemar's, by photograph)"
        yield (
            f"Tests: {tests:,} exact two-sided {exact}, each over the {over} at one radius; p is for its "
            f"radius alone, Holm's p is adjusted for all {tests:,} and they may be read together."
        )
    percent = f"{100 * CONFIDENCE:.0f} %"
    if units > MOST_RESAMPLED:
        yield (
            f"Intervals of differences of ACR are at {percent}, pointwise: of so many {plural} the normal one, to which the "
            "bootstrap's tends."
        )
    else:
        yield (
            f"Intervals of differences of ACR are at {percent}, pointwise: percentiles of {resamples:,} resamples of the "
            f"{over}, seed {seed}.{_coverage(shared)}"
        )
    yield (
        f"Tests and intervals are over {plural}: they say how sure it is that these classifiers differ on inputs like these, not "
        "whether training them again would show it."
    )
    if units < FEW:
        only = f"There are only {units:,} shared {plural}: only large differences can be told from chance"
        yield f"{only}, and ACR's intervals are too narrow." if shared.unit == "input" else f"{only}."


def _over(shared: AlignedRuns) -> str:
    return f"{shared.inputs:,} shared inputs" if shared.unit == "input" else told(shared.units, shared.inputs)


def _coverage(shared: AlignedRuns) -> str:
    """What simulations say of an interval that is too narrow; by photograph it is widened for that."""
    if shared.unit == "photograph":
        return ""
    covers = ", ".join(f"{percent:g} % at {inputs}" for inputs, percent in COVERS.items())
    return f" They cover somewhat less often: {covers} inputs (simulated)."


def _units(runs: Sequence[Run], shared: AlignedRuns) -> Iterator[str]:
    """Which inputs show the same photograph, and who says so."""
    if shared.photograph is not None:
        known = [run.name for run in runs if run.photographs is not None]
        yield (
            f"Tests and intervals resample {told(shared.units, shared.inputs)}, since answers to images of one photograph are "
            f"alike; which images show the same one is known from {', '.join(known)}. The tests are exact where, on each "
            "photograph, the two classifiers could be exchanged for each other without a change of the law of their answers."
        )
        starts = {run.photographs.starts for run in runs if run.photographs is not None}
        clean = [run.name for run in runs if run.photographs is None and run.data is not None]
        if len(starts) > 1 or clean:
            yield (
                "The runs' datasets show photographs in different orders: inputs that any of them takes for one photograph "
                "count as one."
            )
        mixed = _different_labels(shared)
        if mixed:
            yield (
                f"{mixed:,} photographs have images of different labels: the dataset's groups are not all of the same "
                "photographs in the same order, and tests and intervals may be wrong."
            )
    elif all(run.photographs is None for run in runs):
        period = repeat_of(shared.rows[0].label)
        if all(run.data is None for run in runs):
            yield UNKNOWN_PHOTOGRAPHS + repeats_note(period)
        else:
            yield from dataset_repeats_note(period)


def _different_labels(shared: AlignedRuns) -> int:
    """Photographs whose images have more than one label."""
    assert shared.photograph is not None
    pairs = np.unique(np.stack([shared.photograph, shared.rows[0].label]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _inputs(runs: Sequence[Run], shared: AlignedRuns) -> Iterator[str]:
    if shared.unlabelled:
        yield f"Shared inputs without a label, which are left out: {shared.unlabelled:,}."
    for run in runs:
        if run.evaluated < run.total:
            yield (
                f"{run.name} is partial: {run.evaluated:,} of {run.total:,} inputs are evaluated. On its own inputs the others "
                "count as not certified; among the shared ones they are left out, and those that are done first may be "
                "easier or harder than the rest."
            )
        if run.unfinished:
            yield f"{run.name} goes on: {run.unfinished:,} of its inputs count with their present bound, which can still grow."
        left = run.evaluated - shared.inputs - shared.unlabelled
        if left:
            yield f"{run.name} has {left:,} inputs that not all runs have; they are in the figures on its own inputs alone."


def _rounded(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        radii = run.rows.radius[run.rows.radius > 0]
        without_evidence = bool(np.isnan(run.rows.p_lower).any())
        if not (without_evidence and len(radii)):
            continue
        units = 10.0 ** (np.floor(np.log10(radii)) - DIGITS + 1)
        if np.allclose(radii / units, (radii / units).round(), rtol=0, atol=1e-6):
            yield (
                f"The radii of {run.name} have {DIGITS} digits at most: where they were rounded to the nearest, one may count at a "
                f"radius that it misses by up to {0.5 * float(units.max()):g}."
            )


def _procedures(runs: Sequence[Run]) -> Iterator[str]:
    texts = {run.name: procedure_text(run) for run in runs}
    if len(set(texts.values())) > 1:
        yield (
            f"The runs were made by different procedures ({_listed(texts)}): a difference is one of classifier and procedure "
            "together."
        )
    for name, words in (("sigma", "noise levels"), ("alpha", "failure probabilities"), ("n", "numbers of samples")):
        values = {run.name: getattr(run.facts, name) for run in runs if getattr(run.facts, name) is not None}
        if len(set(values.values())) > 1:
            yield f"The runs have different {words} ({_listed({key: _number(value) for key, value in values.items()})})."
    caps = {run.name: rounded_down(run.cap, 4) for run in runs if run.cap is not None}
    if len(set(caps.values())) > 1:
        yield (
            f"The runs can certify up to different radii ({_listed(caps)}): beyond its own a run certifies nothing, however good "
            "its classifier is."
        )
    for run in runs:
        if run.facts.how.sampling == "at_radii":
            yield (
                f"Sampling of {run.name} stopped when an input was settled at all requested radii: its radii and ACR are lower "
                "bounds, its ACR is ranked against none, and certified accuracy is tested only at the radii it was to settle"
                f" ({', '.join(f'{radius:g}' for radius in run.settled) or 'unknown'})."
            )


def _data(runs: Sequence[Run]) -> Iterator[str]:
    if len({run.data for run in runs if run.data is not None}) > 1:
        yield (
            "The runs' data sets differ in their content: labels agree on the shared inputs, but the images of one index need "
            "not be the same."
        )


def _published(runs: Sequence[Run], published: Sequence[Published]) -> Iterator[str]:
    if published:
        yield (
            "Published figures are as they were printed, over the inputs that were certified then; no test is made with them. "
            "A run's interval says how far other inputs could have moved it."
        )
        datasets = ", ".join(dict.fromkeys(one.dataset for one in published))
        yield (
            f"They are of the test inputs of {datasets}: whether a run here is of the same inputs is not known, and if it is not, "
            "nothing follows from a figure beside it."
        )
    sigmas = {run.facts.sigma for run in runs if run.facts.sigma is not None}
    for one in published:
        if one.note is not None:
            yield f"{one.name}: {one.note}."
        if one.sigma is not None and sigmas and one.sigma not in sigmas:
            yield f"{one.name} is of noise level {one.sigma:g}, which no run here has."
        if one.inputs is not None and all(run.total != one.inputs for run in runs):
            yield f"{one.name} is of {one.inputs:,} inputs, which no run here has."


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _listed(values: dict[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in values.items())
