"""CERTIFY on each chosen input, in one turn or, where all inputs advance together, turn by turn."""

from collections.abc import Iterator
from dataclasses import dataclass

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Progress
from radii.rs_core.certify.procedure import Procedure, procedure_of
from radii.rs_core.certify.sampler import Votes
from radii.rs_core.records import Certificate
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import CertifySpec


@dataclass(frozen=True)
class TurnBegins:
    """The next turn of all inputs, counted from 0."""

    turn: int


def procedure(run: NoiseRun[CertifySpec], turn: int = 0) -> Procedure:
    """How the job certifies, as far as it goes in this turn."""
    return procedure_of(run.spec, inputs=len(run.chosen)).turn(turn)


def records(run: NoiseRun[CertifySpec], turn: int = 0) -> Iterator[Progress | Certificate]:
    """The records of one turn."""
    return engine.certify(
        run.sampler(),
        run.inputs(),
        procedure(run, turn),
        resume=run.unfinished,
        alone=run.alone,
        standard=run.standard(),
        stop=run.stop,
    )


def records_of_all_turns(run: NoiseRun[CertifySpec], turn: int = 0) -> Iterator[Progress | Certificate | TurnBegins]:
    """The records of this turn and those that follow. Each begins with the votes of the one before; model, buffers and
    batches stay as they are."""
    sampler, standard = run.sampler(), run.standard()
    votes, samples = {begun.index: begun for begun in run.unfinished}, dict(run.done)
    while True:
        current = procedure(run, turn)
        for record in engine.certify(
            sampler,
            run.inputs(_of_this_turn(samples, current)),
            current,
            resume=list(votes.values()),
            alone=run.alone,
            standard=standard,
            stop=run.stop,
        ):
            votes[record.index] = record if isinstance(record, Progress) else votes_of(record)
            if isinstance(record, Certificate):
                samples[record.index] = record.n
            yield record
        if current.last or run.stop():
            return
        turn += 1
        yield TurnBegins(turn)


def votes_of(record: Certificate) -> Progress:
    """The votes of a certificate, from which its input goes on."""
    stages = enumerate((record.counts0, record.counts))
    votes = {stage: Votes(drawn=sum(counts), counts=tuple(counts)) for stage, counts in stages}
    return Progress(
        index=record.index, label=record.label, votes=votes, seconds=record.seconds, batch_size=record.batch_size
    )


def _of_this_turn(samples: dict[int, float], procedure: Procedure) -> set[int]:
    """The inputs that have come as far as this turn goes."""
    if procedure.upto is None:
        return set(samples)
    goal = min(procedure.upto, procedure.n)
    return {index for index, drawn in samples.items() if drawn >= goal}
