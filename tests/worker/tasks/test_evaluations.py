"""Evaluations with real processes: what survives kills and a cancel, and which of several inputs a child dies of."""

from pathlib import Path

import pytest
from tests_support import processes, things
from tests_support.live import killed, running
from tests_support.slots import START, SlotMaker, job_of, work

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.data.builtin import digits
from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.evaluate.runner import evaluated
from radii.rs_core.evaluate.targets import subject_of
from radii.rs_core.specs.jobs import EvaluateSpec, parse_spec
from radii.service.client.client import Client
from radii.service.client.job import Job
from radii.worker.store import evaluation_rows, jobs
from radii.worker.store.database import Database

ATTACK = {"name": "attack", "epsilons": [0.0, 0.25, 0.5], "steps": 8, "m": 4, "n": 300}
SHORT = {"RADII_LEASE": "3", "RADII_HOUSEKEEPING_SECONDS": "0.5", "RADII_THREADS": "1"}
COUNT = 60


@pytest.fixture
def model(tmp_path: Path) -> Path:
    checkpoint.save(things.model(), things.INFO, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def submitted(client: Client, model: Path, count: int) -> Job:
    data = client.add_dataset("digits", builtin="digits")
    inputs = {"start": START, "count": count}
    return client.evaluate(
        ATTACK, checkpoint=client.add_checkpoint("m", model), dataset=data, inputs=inputs, seed=4, batch_size=100
    )


def unbroken() -> list[tuple[int, list[tuple[int, ...]]]]:
    """Votes of the same evaluation in this process."""
    body = {"kind": "evaluate", "checkpoint": "m", "dataset": "d", "sigma": 0.25, "seed": 4, "evaluation": ATTACK}
    spec = parse_spec(body)
    assert isinstance(spec, EvaluateSpec)
    data = digits()
    given = ((at, data.image(at), int(data.labels[at])) for at in range(START, START + COUNT))
    found = evaluated(subject_of(things.model(), spec, 10, batch_size=100), given, spec.evaluation)
    return votes([row for row in found if isinstance(row, EvaluationRecord)])


def votes(rows: list[EvaluationRecord]) -> list[tuple[int, list[tuple[int, ...]]]]:
    return [(row.index, [at.counts for at in row.found]) for row in rows]


@pytest.mark.long
def test_an_attack_whose_service_is_killed_midway_ends_with_every_row_once_and_as_if_unbroken(
    model: Path, tmp_path: Path
) -> None:
    with killed(tmp_path / "data", **SHORT) as (url, _), Client(url) as client:
        job = submitted(client, model, COUNT)
        processes.until(lambda: job.refresh().progress.done >= 5, 60, "some inputs are done")
    with running(tmp_path / "data", **SHORT) as (url, _), Client(url) as client:
        same = client.job(job.id).wait(check=True, timeout=120)
        assert votes(list(same.evaluations())) == unbroken()


@pytest.mark.long
def test_a_cancelled_attack_stops_soon_and_keeps_what_it_found(model: Path, tmp_path: Path) -> None:
    with running(tmp_path / "data", **SHORT) as (url, _), Client(url) as client:
        job = submitted(client, model, 290)
        processes.until(lambda: job.refresh().progress.done >= 3, 60, "some inputs are done")
        job.cancel()
        done = job.wait(timeout=30)
        assert done.state == "cancelled" and 3 <= done.progress.done < 290
        assert len(list(done.evaluations())) == done.progress.done


def test_of_inputs_attacked_together_the_one_that_kills_is_found_by_taking_them_alone(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    tenant_id = things.tenant(database)
    body = {
        "kind": "evaluate",
        "dataset": things.dataset(database, tmp_path / "blobs", tenant_id),
        "checkpoint": things.checkpoint_of(database, tmp_path / "blobs", tenant_id),
        "inputs": {"start": START, "count": 6},
        "evaluation": {"name": "autoattack", "together": 6},
    }
    job_id = things.submit(database, tenant_id, body)
    work(slot(f"{START + 2}:die,together:yes"))
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    with database.read() as session:
        found = list(evaluation_rows.read(session, job_id))
    assert [(row.index, row.error is None) for row in found] == [(START + at, at != 2) for at in range(6)]
