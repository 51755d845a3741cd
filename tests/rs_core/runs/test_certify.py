"""One runner certifies for workers and commands: in turns or at once, from the start or from the votes that there are."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests_support import things

from radii.rs_core.certify.engine import Progress
from radii.rs_core.data.builtin import digits
from radii.rs_core.records import Certificate
from radii.rs_core.runs import certify
from radii.rs_core.runs.certify import TurnBegins, votes_of
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.fields import Selection
from radii.rs_core.specs.jobs import CertifySpec

SPEC = CertifySpec(
    checkpoint="c", dataset="d", sigma=0.25, n0=50, n=400, seed=3, inputs=Selection(start=1_500, count=5)
)


def run_of(spec: CertifySpec, **fields: Any) -> NoiseRun:
    data = digits()
    chosen = spec.inputs.indices(len(data))
    return NoiseRun(spec=spec, model=things.model(), num_classes=10, data=data, chosen=chosen, **fields)


def counts(records: Iterator[Any]) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The last counts of each input."""
    return {one.index: (one.counts0, one.counts) for one in records if isinstance(one, Certificate)}


def test_all_turns_give_the_counts_of_one_turn_after_the_other() -> None:
    spec = replace(SPEC, sampling="anytime", n=1_000)
    at_once = list(certify.records_of_all_turns(run_of(spec)))
    turns = [record.turn for record in at_once if isinstance(record, TurnBegins)]
    assert turns == list(range(1, len(turns) + 1)) and turns
    run, last = run_of(spec), dict[int, Certificate]()
    for turn in range(len(turns) + 1):
        for record in certify.records(run, turn):
            if isinstance(record, Certificate):
                last[record.index] = record
        run.unfinished = [votes_of(record) for record in last.values()]
    assert counts(iter(last.values())) == counts(iter(at_once))


def test_a_run_goes_on_from_its_records_and_its_votes() -> None:
    whole = list(certify.records(run_of(SPEC)))
    first = next(record for record in whole if isinstance(record, Certificate))
    begun = next((one for one in whole if isinstance(one, Progress) and one.index != first.index and one.votes), None)
    rest = run_of(SPEC, done={first.index: first.n}, unfinished=[] if begun is None else [begun])
    again = counts(certify.records(rest))
    assert first.index not in again
    assert {first.index: (first.counts0, first.counts)} | again == counts(iter(whole))


def test_a_part_of_a_job_is_certified_as_in_the_whole_job() -> None:
    spec = replace(SPEC, guarantee="dataset")
    whole = counts(certify.records(run_of(spec)))
    part = run_of(spec, part=spec.inputs.indices(1_797)[2:4])
    assert certify.procedure(part) == certify.procedure(run_of(spec)), "alpha is that of all inputs of the job"
    assert counts(certify.records(part)) == {index: whole[index] for index in (1_502, 1_503)}


def test_a_run_that_is_stopped_loses_no_vote() -> None:
    asked = iter([False, False, True])
    cut = list(certify.records(run_of(SPEC, stop=lambda: next(asked, True))))
    kept = {record.index: record for record in cut if isinstance(record, Progress)}
    done = {record.index: record.n for record in cut if isinstance(record, Certificate)}
    rest = counts(certify.records(run_of(SPEC, done=done, unfinished=list(kept.values()))))
    assert counts(iter(cut)) | rest == counts(certify.records(run_of(SPEC)))


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
def test_the_sampler_is_what_the_specification_says(noise: str) -> None:
    sampler = run_of(replace(SPEC, noise=noise, precision="bf16"), batch_size=200).sampler()  # type: ignore[arg-type]
    assert (sampler.sigma, sampler.seed, sampler.noise, sampler.precision) == (0.25, 3, noise, "bf16")
    assert sampler.batch_size == 200


def test_a_network_is_not_compiled_where_memory_forces_smaller_batches() -> None:
    seen: list[bool] = []

    def prepare(bound: object, compiled: bool, batch_size: int) -> Any:
        seen.append(compiled)
        return None

    for forced in (None, 10):
        run_of(SPEC, compiled=True, forced=forced, prepare=prepare).sampler()
    assert seen == [True, False]
