"""What an evaluation finds of one input, with the votes that it rests on. Needs no torch."""

from dataclasses import dataclass

from radii.rs_core.records import ABSTAIN, UNKNOWN_LABEL


@dataclass(frozen=True, kw_only=True)
class PointResult:
    """One point: what was looked for, and what the classifier says there.

    ``point`` is the attack's radius or the length of the search; ``distance`` how far what was found is from the input; both in
    [0, 1]-pixel units of the l2 norm, but of AutoAttack of the norm that it was asked for. ``prediction`` is PREDICT's class or ``ABSTAIN``; ``counts`` are the votes per class of fresh noise.
    """

    point: float
    distance: float
    prediction: int
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """One input at all points. ``batch_size`` is set where memory forced fewer images at once than the job has. ``error`` says
    why there are no points: then it counts as wrong everywhere."""

    index: int
    label: int = UNKNOWN_LABEL
    found: tuple[PointResult, ...] = ()
    seed: int
    seconds: float = 0.0
    batch_size: int | None = None
    error: str | None = None

    def right(self, points: int) -> tuple[bool, ...]:
        """At which of so many points the answer is the label; an abstention never is."""
        if not self.found:
            return (False,) * points
        return tuple(at.prediction not in (ABSTAIN, UNKNOWN_LABEL) and at.prediction == self.label for at in self.found)


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """A sign of life: the input that is worked on, said when it begins and about once a second."""

    index: int
    label: int
