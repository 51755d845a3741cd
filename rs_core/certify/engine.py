"""Certifies and predicts many inputs, one record at a time, and can be cut anywhere.

The loop around ``sampling`` (votes) and ``decision`` (what they mean). A generator of small records: ``Progress`` when
an input begins and about once a second inside it, then its ``Certificate`` or ``Prediction``. Whoever stores the last
``Progress`` can continue the unfinished input from it and gets the counts of an unbroken run.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from rs_core.certify import decision
from rs_core.certify.decision import Certificate, Prediction
from rs_core.certify.sampling import Sampler, Votes
from rs_core.noise import Stage

SECONDS_BETWEEN_PROGRESS = 1.0

Input = tuple[int, Tensor, int]
"""Index in the data set, image (C, H, W) in [0, 1] pixels, label."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the unfinished input ``index`` has come: the votes of each stage begun so far, by the stage's number."""

    index: int
    label: int
    votes: Mapping[int, Votes]
    seconds: float

    @property
    def drawn(self) -> int:
        """Noise samples of this input that have been classified, all stages together."""
        return sum(votes.drawn for votes in self.votes.values())


def certify(
    sampler: Sampler,
    inputs: Iterable[Input],
    *,
    n0: int,
    n: int,
    alpha: float,
    resume: Progress | None = None,
    stages: tuple[Stage, Stage] = (Stage.SELECTION, Stage.ESTIMATION),
) -> Iterator[Progress | Certificate]:
    """CERTIFY of Cohen et al. 2019 for each input: n0 samples select the class, n fresh ones bound its probability.

    ``stages`` name the two noise streams. The bound holds for noise that the model was not chosen by: what a training is
    steered by draws from others.
    """
    selection, estimation = stages
    for index, x, label in inputs:
        tally = _Tally(index, label, resume)
        yield tally.progress()
        yield from tally.count(sampler, x, n0, selection)
        yield from tally.count(sampler, x, n, estimation)
        counts0, counts = tally.counts(selection), tally.counts(estimation)
        prediction, radius, p_lower = decision.certify(counts0, counts, sigma=sampler.sigma, alpha=alpha)
        yield Certificate(
            index=index,
            label=label,
            prediction=prediction,
            radius=radius,
            p_lower=p_lower,
            counts0=counts0,
            counts=counts,
            n0=n0,
            n=n,
            sigma=sampler.sigma,
            alpha=alpha,
            seed=sampler.seed,
            seconds=tally.seconds,
        )


def predict(
    sampler: Sampler,
    inputs: Iterable[Input],
    *,
    n: int,
    alpha: float,
    resume: Progress | None = None,
    stage: Stage = Stage.PREDICTION,
) -> Iterator[Progress | Prediction]:
    """PREDICT of Cohen et al. 2019 for each input: the top class of n samples, or an abstention.

    ``stage`` names the noise streams: votes that are counted for another end share none with predictions.
    """
    for index, x, label in inputs:
        tally = _Tally(index, label, resume)
        yield tally.progress()
        yield from tally.count(sampler, x, n, stage)
        counts = tally.counts(stage)
        prediction, p_value = decision.predict(counts, alpha=alpha)
        yield Prediction(
            index=index,
            label=label,
            prediction=prediction,
            p_value=p_value,
            counts=counts,
            n=n,
            sigma=sampler.sigma,
            alpha=alpha,
            seed=sampler.seed,
            seconds=tally.seconds,
        )


class _Tally:
    """The votes of one input, stage by stage, and the time they took."""

    def __init__(self, index: int, label: int, resume: Progress | None) -> None:
        mine = resume if resume is not None and resume.index == index else None
        self.index, self.label = index, label
        self._votes = dict(mine.votes) if mine else {}
        self._before = mine.seconds if mine else 0.0
        self._started = self._reported = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def progress(self) -> Progress:
        return Progress(index=self.index, label=self.label, votes=dict(self._votes), seconds=self.seconds)

    def counts(self, stage: Stage) -> tuple[int, ...]:
        return self._votes[stage].counts

    def count(self, sampler: Sampler, x: Tensor, n: int, stage: Stage) -> Iterator[Progress]:
        for votes in sampler.votes(x, n, stage, index=self.index, resume=self._votes.get(stage)):
            self._votes[stage] = votes
            if time.monotonic() - self._reported >= SECONDS_BETWEEN_PROGRESS:
                self._reported = time.monotonic()
                yield self.progress()
