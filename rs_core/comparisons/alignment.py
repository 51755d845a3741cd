"""Runs of certification laid side by side on the same inputs: what each run is, and which inputs all of them share.

An input is known by its index, and its label has to be the same in all runs: where it is not, they are of different data.
Shared are the inputs that every run has evaluated, those given up by an error among them; inputs without a label are left
out, since no answer to them is right. What the shared inputs are compared for is in ``compare``.

Which inputs show the same photograph is known from a run's dataset. Equal indices being the same inputs, what one run knows holds
for all; where datasets say different things, inputs that any of them puts together are together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import UNKNOWN_LABEL, Certificate
from radii.rs_core.reports.certification import SharedParameters, cap_of, denominator, facts_of
from radii.rs_core.results.aggregate import Columns, columns
from radii.rs_core.results.photographs import Photographs, Unit, joined


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One run: ``rows`` by index, each index once, of ``total`` inputs.

    ``told``: whether it is known how the rows were made; ``settled``: the radii at which ``at_radii`` was to settle them;
    ``unfinished``: rows that hold but are still to get more samples; ``data``: the content hash of the dataset; ``photographs``:
    which of its images show the same one, None where each shows another or, without ``data``, where that is not known.
    """

    name: str
    rows: Columns
    total: int
    facts: SharedParameters
    cap: float | None = None
    told: bool = True
    settled: tuple[float, ...] = ()
    unfinished: int = 0
    data: str | None = None
    photographs: Photographs | None = None

    @property
    def evaluated(self) -> int:
        """Inputs that have a row."""
        return len(self.rows.index)


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedRuns:
    """The shared inputs: ``rows`` of each run, with equal ``index`` and ``label``; ``unlabelled`` were left out.

    ``photograph``: the one that each of them shows, numbers from 0; None where each shows another.
    """

    rows: tuple[Columns, ...]
    unlabelled: int
    photograph: NDArray[np.int64] | None = None

    @property
    def inputs(self) -> int:
        """Shared inputs."""
        return len(self.rows[0].index)

    @property
    def unit(self) -> Unit:
        """What tests and intervals count as independent of each other."""
        return "input" if self.photograph is None else "photograph"

    @property
    def units(self) -> int:
        """How many there are of these."""
        return self.inputs if self.photograph is None else int(self.photograph.max()) + 1


def run_of(
    name: str,
    certificates: Sequence[Certificate],
    *,
    total: int | None = None,
    cap: float | None = None,
    unfinished: int = 0,
    data: str | None = None,
    photographs: Photographs | None = None,
) -> Run:
    """The run that these certificates are of, in any order; ``total`` inputs, where some may be missing.

    Raises :class:`InvalidResults` where there is none, an index comes twice, or they come from several procedures.
    """
    rows = columns(certificates)
    inputs, facts = denominator(rows, total), facts_of(certificates)
    return Run(
        name=name,
        rows=rows,
        total=inputs,
        facts=facts,
        cap=cap_of(facts) if cap is None else cap,
        told=facts.how.sampling != "fixed" or facts.n is not None,
        settled=next((row.radii for row in certificates if row.radii), ()),
        unfinished=unfinished,
        data=data,
        photographs=photographs,
    )


def align(runs: Sequence[Run]) -> AlignedRuns:
    """The inputs that all runs have evaluated.

    Raises :class:`InvalidResults` where there is none, or where two runs have different labels for one.
    """
    shared = reduce(lambda left, right: np.intersect1d(left, right, assume_unique=True), (r.rows.index for r in runs))
    rows = [run.rows.at(np.searchsorted(run.rows.index, shared)) for run in runs]
    known = _labelled(runs, rows)
    if not known.any():
        raise InvalidResults(expected="runs that share inputs with a label", got=_ranges(runs), where="index")
    unlabelled = int((~known).sum())
    if unlabelled:
        rows = [one.at(np.flatnonzero(known)) for one in rows]
    return AlignedRuns(rows=tuple(rows), unlabelled=unlabelled, photograph=_photograph(runs, rows[0].index))


def photographs_of(run: Run, runs: Sequence[Run]) -> Photographs | None:
    """Which of a run's images show the same photograph: what its dataset says or, where that is not known, another run's."""
    if run.photographs is not None or run.data is not None:
        return run.photographs
    known = next((other.photographs for other in runs if other.photographs is not None), None)
    return None if known is None else Photographs(known.starts)


def _photograph(runs: Sequence[Run], index: NDArray[np.int64]) -> NDArray[np.int64] | None:
    groupings = list({run.photographs.starts: run.photographs for run in runs if run.photographs is not None}.values())
    if not groupings:
        return None
    found = joined([photographs.numbers(index) for photographs in groupings])
    return found if int(found.max()) + 1 < len(found) else None


def _labelled(runs: Sequence[Run], rows: Sequence[Columns]) -> NDArray[np.bool_]:
    """Which of the shared inputs have their label in every run; raises where labels contradict each other."""
    label, owner = rows[0].label, runs[0]
    known = label != UNKNOWN_LABEL
    for run, one in zip(runs[1:], rows[1:], strict=True):
        wrong = np.flatnonzero((label != one.label) & (label != UNKNOWN_LABEL) & (one.label != UNKNOWN_LABEL))
        if len(wrong):
            first = int(wrong[0])
            more = f", and {len(wrong) - 1:,} more such inputs" if len(wrong) > 1 else ""
            got = f"label {label[first]} in {owner.name!r} and {one.label[first]} in {run.name!r}{more}"
            expected = "one label for each input, as runs on the same data have"
            raise InvalidResults(expected=expected, got=got, where=f"index {one.index[first]}")
        known &= one.label != UNKNOWN_LABEL
        label = np.where(label == UNKNOWN_LABEL, one.label, label)
    return np.asarray(known, dtype=np.bool_)


def _ranges(runs: Sequence[Run]) -> str:
    """Which indices each run has, as far as a sentence can tell."""
    parts = [
        f"{run.name!r} with {run.evaluated:,} inputs from index {run.rows.index[0]} to {run.rows.index[-1]}"
        if run.evaluated
        else f"{run.name!r} with none yet"
        for run in runs[:5]
    ]
    return ", ".join(parts) + (f" and {len(runs) - 5} more" if len(runs) > 5 else "")
