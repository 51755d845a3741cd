"""Certifies and predicts many inputs at once, and can be cut anywhere.

The loop around ``sampler`` (votes) and ``procedure`` (how many, and what they mean). Batches are filled with parts of as
many inputs as it takes, first come, first served; an input that is finished makes room for the next one. A generator of
small records: ``Progress`` when an input begins and about once a second inside each unfinished one, then its
``Certificate`` or ``Prediction``. Whoever stores the last ``Progress`` of each unfinished input can continue it from there
and gets the counts of an unbroken run.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from radii.rs_core.certify import certificates
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import NoiseChunk, Sampler, Votes
from radii.rs_core.noise.streams import CHUNK, Stage
from radii.rs_core.records import UNKNOWN_LABEL, Certificate, Prediction

SECONDS_BETWEEN_PROGRESS = 1.0

Input = tuple[int, Tensor, int]
"""Index in the data set, image (C, H, W) in [0, 1] pixels, label."""

Counts = Sequence[int]
Stop = Callable[[], bool]
"""Asked before each batch: where it is true, the votes of all inputs that are on their way are given out, and that is all."""

Wanted = Callable[..., Sequence[int]]
"""From the votes of each stage so far to how many are wanted, all in all; as many as there are where it is enough."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the unfinished input ``index`` has come: the votes of each stage begun so far, by the stage's number."""

    index: int
    label: int
    votes: Mapping[int, Votes]
    seconds: float
    batch_size: int | None = None
    """Rows that were classified at once, where memory forced fewer than the batch has."""

    @property
    def drawn(self) -> int:
        """Noise samples of this input that have been classified, all stages together."""
        return sum(votes.drawn for votes in self.votes.values())

    @classmethod
    def of(cls, body: Mapping[str, Any], label: int = UNKNOWN_LABEL) -> "Progress":
        """The progress that :meth:`body` was made of."""
        votes = {
            int(stage): Votes(drawn=part["drawn"], counts=tuple(part["counts"]))
            for stage, part in body["votes"].items()
        }
        forced = body.get("batch_size")
        return cls(index=body["index"], label=label, votes=votes, seconds=body["seconds"], batch_size=forced)

    def body(self) -> dict[str, Any]:
        """What is to be kept of it, as plain values: index, votes by stage, seconds, and the rows that memory forced."""
        votes = {str(int(stage)): asdict(part) for stage, part in self.votes.items()}
        forced = {} if self.batch_size is None else {"batch_size": self.batch_size}
        return {"index": self.index, "votes": votes, "seconds": self.seconds} | forced


def certify(
    sampler: Sampler,
    inputs: Iterable[Input],
    procedure: Procedure,
    *,
    resume: Iterable[Progress] = (),
    stages: tuple[Stage, Stage] = (Stage.SELECTION, Stage.ESTIMATION),
    alone: bool = False,
    standard: Callable[[Tensor], tuple[float, ...]] | None = None,
    stop: Stop = bool,
) -> Iterator[Progress | Certificate]:
    """A certificate for each input, by ``procedure``: one stream of noise selects the class, another bounds it.

    ``resume`` are inputs that were begun before, ``stages`` name the two noise streams, ``alone`` works on one input
    at a time, and ``stop`` ends it early with no vote lost. ``standard`` gives, of a mix, the standard classifier's probabilities
    at an image (C, H, W) without noise; the sampler's votes are the robust one's. The bound holds for noise that the model was
    not chosen by: what a training is steered by draws from others.
    """
    for work in _drawn(sampler, inputs, stages, procedure.wanted, resume, alone, stop):
        if isinstance(work, Progress):
            yield work
            continue
        counts0, counts = work.votes
        beside = standard(sampler.shown(work.x)) if standard is not None else ()
        decided = procedure.decide(counts0, counts, neglected=sampler.neglected(work.x), standard=beside)
        yield Certificate(
            **work.of_input(),
            **vars(decided),
            **procedure.shared(),
            counts0=tuple(counts0),
            counts=tuple(counts),
            n0=sum(counts0),
            n=sum(counts),
            seed=sampler.seed,
            noise=sampler.noise,
            precision=sampler.precision,
            standard=beside,
        )


def predict(
    sampler: Sampler,
    inputs: Iterable[Input],
    *,
    n: int,
    alpha: float,
    resume: Iterable[Progress] = (),
    stage: Stage = Stage.PREDICTION,
    alone: bool = False,
    stop: Stop = bool,
) -> Iterator[Progress | Prediction]:
    """PREDICT of Cohen et al. 2019 for each input: the top class of n samples, or an abstention.

    ``stage`` names the noise streams: votes that are counted for another end share none with predictions.
    """
    for work in _drawn(sampler, inputs, (stage,), lambda _: (n,), resume, alone, stop):
        if isinstance(work, Progress):
            yield work
            continue
        (counts,) = work.votes
        prediction, p_value = certificates.predict(counts, alpha=alpha)
        yield Prediction(
            **work.of_input(),
            prediction=prediction,
            p_value=p_value,
            counts=tuple(counts),
            n=n,
            sigma=sampler.sigma,
            alpha=alpha,
            seed=sampler.seed,
        )


@dataclass(kw_only=True, eq=False)
class _Work:
    """One input on its way: what is counted, what is on its way to be, and what is wanted, by stage."""

    index: int
    x: Tensor
    label: int
    stages: Sequence[Stage]
    first_row: int
    votes: Sequence[Counts]
    wanted: Sequence[int] = ()
    placed: list[int] = field(default_factory=list)
    seconds: float = 0.0
    forced: int | None = None

    def next_part(self) -> NoiseChunk | None:
        """The next part of what is wanted; None where all of it is on its way."""
        for place, stage in enumerate(self.stages):
            left = self.wanted[place] - self.placed[place]
            if left > 0:
                return NoiseChunk(
                    x=self.x,
                    index=self.index,
                    stage=stage,
                    number=self.placed[place] // CHUNK,
                    rows=min(CHUNK, left),
                    counts_row=self.first_row + place,
                )
        return None

    def take(self, part: NoiseChunk) -> None:
        """The part is on its way."""
        self.placed[self.stages.index(part.stage)] += part.rows

    def progress(self) -> Progress:
        votes = {
            int(stage): Votes(drawn=sum(counts), counts=tuple(counts))
            for stage, counts in zip(self.stages, self.votes, strict=True)
            if sum(counts)
        }
        return Progress(votes=votes, **self.of_input())

    def of_input(self) -> dict[str, Any]:
        """What every record of the input says: which one it is, and what it has taken so far."""
        return {"index": self.index, "label": self.label, "seconds": self.seconds, "batch_size": self.forced}


def _drawn(
    sampler: Sampler,
    inputs: Iterable[Input],
    stages: Sequence[Stage],
    wanted: Wanted,
    resume: Iterable[Progress],
    alone: bool,
    stop: Stop,
) -> Iterator[Progress | _Work]:
    """The inputs as they are finished, with all their votes, and their progress before: after the first batch, so that
    whoever starts this again and again gets on, and then about once a second."""
    begun = {progress.index: progress for progress in resume}
    pool = _Pool(sampler, len(stages), most=1 if alone else sampler.room)
    waiting, reported = iter(inputs), float("-inf")
    while True:
        if stop():
            yield from pool.standing()
            return
        pool.fill_from_active()
        while pool.has_room and (given := next(waiting, None)) is not None:
            work = _begin(given, stages, pool.free.pop(0), sampler, wanted, begun)
            yield work.progress()
            pool.add(work)
        if not pool.active:
            return
        pool.count()
        due = time.monotonic() - reported >= SECONDS_BETWEEN_PROGRESS
        yield from pool.finished(wanted, read=due)
        if due:
            reported = time.monotonic()
            yield from (work.progress() for work in pool.active)


class _Pool:
    """The inputs that are on their way together, and the batch that is being filled with parts of them.

    ``free`` are the first rows of counts of places that no input has.
    """

    def __init__(self, sampler: Sampler, stages: int, most: int) -> None:
        self.active: list[_Work] = []
        self.free = [stages * place for place in range(most)]
        self._sampler, self._stages = sampler, stages
        self._batch: dict[int, NoiseChunk] = {}
        self._sharing: list[_Work] = []
        sampler.begin_counts(stages * most)

    @property
    def has_room(self) -> bool:
        """Whether another input could have a part in the batch."""
        return bool(self.free) and len(self._batch) < self._sampler.room

    def fill_from_active(self) -> None:
        """Begins a batch with what inputs that are on their way still need, first come, first served."""
        self._started = time.monotonic()
        self._batch, self._sharing = {}, []
        for work in self.active:
            self._fill(work)

    def add(self, work: _Work) -> None:
        """Takes in one more input."""
        self.active.append(work)
        self._fill(work)

    def count(self) -> None:
        """Classifies the batch; its time is that of the inputs in it."""
        if self._batch:
            self._sampler.count(self._batch)
        for work in self._sharing:
            work.seconds += (time.monotonic() - self._started) / len(self._sharing)
            work.forced = self._sampler.forced or work.forced

    def finished(self, wanted: Wanted, *, read: bool) -> Iterator[_Work]:
        """Asks what inputs want further that have all that they wanted, and gives out those that want nothing more.

        Counts are read where one of them is asked, or with ``read``.
        """
        over = [work for work in self.active if work.next_part() is None]
        if over or read:
            rows = self._sampler.read()
            for work in self.active:
                work.votes = rows[work.first_row : work.first_row + self._stages]
        for work in over:
            work.wanted = wanted(*work.votes)
            if work.next_part() is None:
                self.active.remove(work)
                self.free.append(work.first_row)
                yield work

    def standing(self) -> Iterator[Progress]:
        """How far each input has come; asked between two batches, when all that is placed is counted."""
        rows = self._sampler.read()
        for work in self.active:
            work.votes = rows[work.first_row : work.first_row + self._stages]
            yield work.progress()

    def _fill(self, work: _Work) -> None:
        """Puts parts of an input into the batch, as long as there are some and room for them."""
        before = len(self._batch)
        while (part := work.next_part()) is not None:
            place = self._sampler.place(part, self._batch.keys())
            if place is None:
                break
            self._batch[place] = part
            work.take(part)
        if len(self._batch) > before:
            self._sharing.append(work)


def _begin(
    given: Input,
    stages: Sequence[Stage],
    first_row: int,
    sampler: Sampler,
    wanted: Wanted,
    begun: Mapping[int, Progress],
) -> _Work:
    """Takes up an input with the votes that it has already; a stage that was cut inside a part begins anew."""
    index, x, label = given
    before, none = begun.get(index), (0,) * sampler.num_classes
    known = before.votes if before is not None else {}
    votes: list[Counts] = [known[stage].counts if stage in known else none for stage in stages]
    more = [total > sum(counts) for total, counts in zip(wanted(*votes), votes, strict=True)]
    votes = [none if cut and sum(counts) % CHUNK else counts for cut, counts in zip(more, votes, strict=True)]
    for place, counts in enumerate(votes):
        sampler.put(first_row + place, counts)
    return _Work(
        index=index,
        x=sampler.prepare(x),
        label=label,
        stages=stages,
        first_row=first_row,
        votes=votes,
        wanted=wanted(*votes),
        placed=[sum(counts) for counts in votes],
        seconds=before.seconds if before is not None else 0.0,
        forced=before.batch_size if before is not None else None,
    )
