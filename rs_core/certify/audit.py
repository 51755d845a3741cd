"""Checks certificates from outside: every radius again from its counts, and counts that were drawn again against those
that are stored. Numbers only; drawing again is in ``runs.verify``.

Where generator, device, versions and way of running agree, the same noise gives the same votes and the counts must be equal.
Elsewhere noise or last bits differ, and what must agree is the probability behind the counts: each class's two counts are
compared by Fisher's exact test (Fisher 1922, "On the interpretation of chi-square from contingency tables", J. R. Stat. Soc.
85), at a level that adds up, over all classes, stages and inputs, to the false-alarm rate that is stated. Where votes
decided how many there are, their counts are no binomial sample, and that test would raise false alarms: there the interval that
holds whenever sampling stops (``confidence_sequence``) must meet that of the counts that were drawn again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.certify import confidence_sequence
from radii.rs_core.certify.bounds import lower_bound, upper_bound
from radii.rs_core.certify.certificates import Decision, argmax, decide
from radii.rs_core.certify.mixed import decided_again
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.noise.discrete_distribution import neglected
from radii.rs_core.records import ABSTAIN, Certificate

TOLERANCE = 1e-9
"""Relative, of radii and bounds: other versions of the libraries differ in the last bits."""
NEGLECTED_AT_MOST = 1e-5
"""The same where it is not known how much of the noise's distribution was neglected, which lowers a radius a little."""
SHARED = ("sigma", "alpha", "seed", "sampling", "radii", "bound", "noise", "precision", "robust_weight")
"""What the certificates of one job, or one file, have in common."""
FALSE_ALARM = 1e-3
"""Probability that an audit of sound counts, drawn with other noise, reports any difference."""
BY_THEIR_VOTES = {"fixed": (), "pilot": ("counts0",), "at_radii": ("counts",), "anytime": ("counts",)}
"""Whose number may depend on what they were: a pilot is prolonged, sampling stops, somebody looks and is satisfied."""
ALIKE, NEARLY_ALIKE = 1e-6, 0.02
"""Between probabilities that one network gives twice on one machine, and on two: last bits of logits may be multiplied by a scale
of hundreds."""
SHOWN = 20
"""Faults that are told one by one."""


@dataclass(frozen=True, kw_only=True)
class AuditFault:
    """What is wrong with the certificate of one input, or without an index with all of them together."""

    index: int | None
    what: str


@dataclass(kw_only=True)
class AuditFindings:
    """What came of looking at some certificates; ``faults`` are the first of ``wrong``."""

    looked_at: int = 0
    wrong: int = 0
    faults: list[AuditFault] = field(default_factory=list)

    def add(self, index: int | None, what: str | None) -> None:
        """One certificate more, and what is wrong with it; without an index, what is wrong beside them."""
        self.looked_at += index is not None
        if what is not None:
            self.wrong += 1
            if len(self.faults) < SHOWN:
                self.faults.append(AuditFault(index=index, what=what))

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


class Recomputation:
    """Computes prediction, bounds and radius of each certificate again, from its counts and what it says of its procedure.

    ``pixels``: values of an image, which certificates under discrete noise are about. ``asked``, with ``seed``: what the
    certificates are to be of; without, all are to be of what the first one is of. ``labels``: those of the data set, where
    it is there, in the order of its inputs. Equal counts are computed once.
    """

    def __init__(
        self,
        pixels: int | None,
        asked: Procedure | None = None,
        seed: int | None = None,
        labels: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        self.findings = AuditFindings()
        self._labels = labels
        self._pixels, self._asked, self._seed = pixels, asked, seed
        self._known: dict[tuple[Any, ...], Decision] = {}
        self._sizes: dict[tuple[Any, ...], bool] = {}
        self._first: dict[str, Any] = {}

    def look_at(self, rows: Iterable[Certificate]) -> None:
        """Adds what is found in these rows."""
        for row in rows:
            self.findings.add(row.index, self._fault(row))

    def _fault(self, row: Certificate) -> str | None:
        if self._labels is not None:
            if not 0 <= row.index < len(self._labels):
                return f"it is of input {row.index}, and the data set has {len(self._labels):,}"
            if row.label != self._labels[row.index]:
                return f"its label is {row.label}, the data set's is {int(self._labels[row.index])}"
        if row.error is not None:
            wrong = row.prediction != ABSTAIN or row.radius != 0
            return "it has an error and certifies something" if wrong else None
        if not row.counts or not row.counts0 or min(*row.counts0, *row.counts) < 0:
            return "it has no counts that could be its evidence"
        for name, counts, n in (("counts0", row.counts0, row.n0), ("counts", row.counts, row.n)):
            if sum(counts) != n:
                return f"its {name} add up to {sum(counts):,}, not to {n:,}"
        if row.bound == "mixed" and (row.robust_weight is None or len(row.standard) != len(row.counts)):
            return "it has no probabilities of the standard classifier, or no weight of the robust one"
        return self._other_procedure(row) or _difference(row, self._decided(row), self._tolerance(row))

    def _tolerance(self, row: Certificate) -> float:
        """Without the number of pixels, what discrete noise neglects is unknown."""
        return NEGLECTED_AT_MOST if row.noise == "discrete" and self._pixels is None else TOLERANCE

    def _other_procedure(self, row: Certificate) -> str | None:
        """What a certificate says of its procedure that is not what was asked for, or what the first one says."""
        if not self._first:
            shared = SHARED + (("n0", "n") if row.sampling == "fixed" else ())
            self._first = {name: getattr(row, name) for name in shared}
            if self._asked is not None:
                asked: tuple[str, ...] = ("sigma", "alpha", "sampling", "bound", "robust_weight")
                asked += ("n0", "n") if self._asked.sampling == "fixed" else ()
                self._first |= {name: getattr(self._asked, name) for name in asked} | {"seed": self._seed}
        for name, wanted in self._first.items():
            if getattr(row, name) != wanted:
                return f"its {name} is {getattr(row, name)}, where {wanted} was asked for or is all others'"
        if self._asked is not None and not self._fits(row, self._asked):
            return f"it has {row.n0:,} and {row.n:,} samples, which is not what its votes ask for"
        return None

    def _fits(self, row: Certificate, asked: Procedure) -> bool:
        """Whether the procedure draws so many samples where it sees these votes."""
        if asked.sampling == "anytime":
            return row.n0 == asked.n0 and row.n <= asked.n
        selected = argmax(row.counts0)
        key = (row.n0, row.n, *sorted(row.counts0, reverse=True), row.counts[selected])
        if key not in self._sizes:
            self._sizes[key] = asked.wanted(row.counts0, row.counts) == (row.n0, row.n)
        return self._sizes[key]

    def _decided(self, row: Certificate) -> Decision:
        mass = neglected(row.sigma, self._pixels) if row.noise == "discrete" and self._pixels else 0.0
        if row.bound == "mixed":
            return decided_again(row, neglected=mass)
        selected = argmax(row.counts0)
        rival = max((count for index, count in enumerate(row.counts) if index != selected), default=0)
        classes = len(row.counts)
        key = (
            classes,
            selected,
            row.counts[selected],
            rival,
            row.n,
            row.sigma,
            row.alpha,
            row.sampling,
            row.bound,
            row.noise,
        )
        if key not in self._known:
            self._known[key] = decide(
                row.counts0,
                row.counts,
                sigma=row.sigma,
                alpha=row.alpha,
                sampling=row.sampling,
                bound=row.bound,
                neglected=mass,
            )
        return self._known[key]


def _difference(row: Certificate, decided: Decision, tolerance: float) -> str | None:
    if row.prediction != decided.prediction:
        return f"its class is {_class(row.prediction)}, its counts give {_class(decided.prediction)}"
    for name in ("p_lower", "p_upper", "radius"):
        there, now = getattr(row, name), getattr(decided, name)
        if (there is None) != (now is None) or (
            now is not None and not abs(there - now) <= tolerance * max(1.0, abs(now))
        ):
            return f"its {name} is {there}, its counts give {now}"
    return None


def _class(prediction: int) -> str:
    return "an abstention" if prediction == ABSTAIN else str(prediction)


class RedrawComparison:
    """Compares stored counts of ``inputs`` inputs with those that were drawn again.

    ``exact``: generator, device, versions and way of running agree, so that a difference is a fault whatever its size; but
    for inputs whose batches were forced to be smaller.
    """

    def __init__(self, inputs: int, *, exact: bool) -> None:
        self.findings = AuditFindings()
        self.equal = self.moved_on = self.failed = 0
        self._exact, self._inputs = exact, inputs

    def look_at(self, stored: Certificate, again: Certificate) -> None:
        """Adds what is found in one input's two certificates."""
        self.findings.add(stored.index, self._fault(stored, again))

    def _fault(self, stored: Certificate, again: Certificate) -> str | None:
        pairs = {"counts0": (stored.counts0, again.counts0), "counts": (stored.counts, again.counts)}
        if again.error is not None:
            self.failed += 1  # this tells of the machine that drew again, not of the certificate
            return None
        if stored.label != again.label:
            return f"its label is {stored.label}, the data set's is {again.label}"
        if not _alike(stored.standard, again.standard, ALIKE if self._exact else NEARLY_ALIKE):
            return "the standard classifier's probabilities are not those that are stored"
        if stored.sampling == "anytime" and stored.n > again.n:
            self.moved_on += 1  # its job has drawn more meanwhile
            return None
        if all(tuple(one) == tuple(other) for one, other in pairs.values()):
            self.equal += 1
            return None
        if self._exact and stored.batch_size is None and again.batch_size is None:
            return "counts that were drawn again are not those that are stored"
        return self._unlikely(pairs, BY_THEIR_VOTES[stored.sampling])

    def _unlikely(
        self, pairs: Mapping[str, tuple[Sequence[int], Sequence[int]]], stopped: Collection[str]
    ) -> str | None:
        level = FALSE_ALARM / (self._inputs * len(pairs))
        for name, (one, other) in pairs.items():
            if apart(one, other, level) if name in stopped else chance_of(one, other) < level:
                return f"its {name} differ from those that were drawn again by more than chance (level {level:.2g})"
        return None

    def to_json(self) -> dict[str, Any]:
        """What was found, and how it was looked for."""
        how = (
            "equality" if self._exact else "Fisher's exact test by class, or intervals where votes stopped the sampling"
        )
        rate = 0.0 if self._exact else FALSE_ALARM
        return self.findings.to_json() | {
            "equal": self.equal,
            "moved_on": self.moved_on,
            "failed": self.failed,
            "compared_by": how,
            "false_alarm": rate,
        }


def _alike(stored: Sequence[float], again: Sequence[float], most: float) -> bool:
    """Whether probabilities are the same but for rounding."""
    return len(stored) == len(again) and all(abs(a - b) <= most for a, b in zip(stored, again, strict=True))


def apart(stopped: Sequence[int], again: Sequence[int], level: float) -> bool:
    """Whether no probability of some class goes with both: two samples' class counts, where the size of the first may have
    been decided by its votes. Under one distribution true with probability at most ``level``."""
    total, size = sum(stopped), sum(again)
    if min(total, size) == 0:
        return False
    tested = [(a, b) for a, b in zip(stopped, again, strict=True) if a or b]
    share = level / (2 * len(tested))
    return any(
        confidence_sequence.lower_bound(a, total, share) > upper_bound(b, size, share / 2)
        or 1 - confidence_sequence.lower_bound(total - a, total, share) < lower_bound(b, size, share / 2)
        for a, b in tested
    )


def chance_of(one: Sequence[int], other: Sequence[int]) -> float:
    """A p-value of two samples' class counts under one distribution: the smallest of the classes', times their number."""
    totals = sum(one), sum(other)
    if min(totals) == 0:
        return 1.0
    tested = [(a, b) for a, b in zip(one, other, strict=True) if a or b]
    from scipy.stats import fisher_exact  # on use: a second of every process's start

    smallest = min(float(fisher_exact([[a, totals[0] - a], [b, totals[1] - b]]).pvalue) for a, b in tested)
    return min(1.0, smallest * len(tested))
