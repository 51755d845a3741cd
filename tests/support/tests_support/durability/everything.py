"""Everything is killed at once and started again, in the middle of a certification and of a training: scenario 6."""

import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.specs.jobs import TrainSpec
from radii.worker.store.blobs import blob_files
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Job, Shard
from tests_support import things, unbroken
from tests_support.durability.house import House, house
from tests_support.durability.outcome import Figures, add, clean, none, worst
from tests_support.durability.waiting import until
from tests_support.durability.workers_lost import KINDS, SECONDS, N, certification, undisturbed

AT_STAKE = 0.3
"""Share of a certification's samples that are stored when everything is killed."""
TRAINING = {
    "kind": "train",
    "architecture": "digits_cnn",
    "sigma": 0.25,
    "method": {"name": "smoothadv", "m": 8, "steps": 45},
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.02,
    "seed": 5,
}
"""One whose epochs last longer than the time between two snapshots."""


def certifications(*, times: int, inputs: int = 200) -> Figures:
    """API, workers, Redis and Postgres are killed in the middle of a certification: it goes on from its last commit.

    ``redone_s`` is what was really drawn again: the samples that the children have told of, before and after, beyond those
    that the job is of, at the rate of the whole. It is killed when a good part of it is stored, and no more than a quarter of
    that may be drawn again.
    """
    total = none("times", "not_answered") | {"resumed_s": 0.0, "redone_s": 0.0, "redone_samples": 0}
    expected, least = undisturbed(inputs), round(AT_STAKE * inputs * N)
    for run in range(times):
        with house(KINDS[run % 2]) as here:
            job_id, drawn = certification(here, inputs), here.folder / "drawn"
            with here.api():
                here.worker(PROOF_DRAWN=str(drawn))
                assert until(lambda here=here, job_id=job_id: _work(here, job_id) > least, SECONDS)  # type: ignore[misc]
                time.sleep(random.Random(run).random() * 2)
                assert not here.ended(job_id)
                _kill_all(here)
            began = time.monotonic()
            with _started_again(here) as address:
                before = max(0, here.stored(job_id))
                here.worker(PROOF_DRAWN=str(drawn))
                resumed = here.until_more(job_id, before, 60.0)
                worst(total, resumed_s=time.monotonic() - began if resumed else 60.1)
                here.until_ended(job_id, SECONDS)
                total["not_answered"] += _state(address, job_id) != "succeeded"
            _add_redone(here, job_id, drawn, total)
            add(total, here.compared(job_id, inputs, lambda index: expected[index]), times=1)
    kept = total["resumed_s"] <= 60 and total["redone_s"] <= 10 and total["redone_samples"] <= least / 4
    return total | {"passed": clean(total, "not_answered") and kept}


def trainings(*, times: int) -> Figures:
    """The same in the middle of an epoch: it goes on from its last snapshot, and ends with the weights of an unbroken run."""
    total: Figures = {"trainings": 0, "training_resumed_s": 0.0, "training_redone_s": 0.0, "weights_differ": 0}
    expected, _ = unbroken.training(TrainSpec(dataset="digits", **TRAINING))  # type: ignore[arg-type]
    for run in range(times):
        with house(KINDS[run % 2], snapshot=60.0) as here:
            tenant_id = things.tenant(here.database)
            dataset = things.dataset(here.database, here.settings.blobs, tenant_id)
            job_id = things.submit(here.database, tenant_id, TRAINING | {"dataset": dataset})
            with here.api():
                here.worker()
                assert until(lambda here=here, job_id=job_id: place(here, job_id) is not None, 120.0)  # type: ignore[misc]
                redone = _watched(here, job_id, random.Random(run).uniform(20.0, 58.0))
                _kill_all(here)
            began = time.monotonic()
            with _started_again(here):
                before = _work(here, job_id)
                here.worker()
                until(lambda here=here, job_id=job_id, before=before: _work(here, job_id) != before, 180.0)  # type: ignore[misc]
                # It says that it is further only once it has done again what was lost.
                further = time.monotonic() - began
                worst(total, training_resumed_s=further - redone, training_redone_s=redone)
                here.until_ended(job_id, SECONDS)
            total["trainings"] += 1
            total["weights_differ"] += not trained(here, job_id, expected)
    kept = total["training_resumed_s"] <= 60 and total["training_redone_s"] <= 61 and not total["weights_differ"]
    return total | {"passed": kept}


def everything(*, times: int, training_times: int) -> Figures:
    """6. Both, one after the other."""
    certified, trained = certifications(times=times), trainings(times=training_times)
    return {**certified, **trained, "passed": certified["passed"] and trained["passed"]}


def _kill_all(here: House) -> None:
    """kill -9 of the API and the workers, and the servers as in a crash."""
    assert here.api_pid is not None
    os.kill(here.api_pid, signal.SIGKILL)
    for process in list(here.processes):
        here.kill(process)
    if here.postgres is not None and here.redis is not None:
        here.redis.end()
        here.postgres.end(signal.SIGQUIT)


class _started_again(ExitStack):
    """Servers and the API come back; the API's address."""

    def __init__(self, here: House) -> None:
        super().__init__()
        self.here = here

    def __enter__(self) -> str:  # type: ignore[override]
        super().__enter__()
        if self.here.postgres is not None and self.here.redis is not None:
            self.here.redis.start()
            self.here.postgres.start()
        return self.enter_context(self.here.api())


def _state(address: str, job_id: str) -> str:
    return str(httpx.get(f"{address}/v1/jobs/{job_id}", timeout=30).json()["state"])


def _add_redone(here: House, job_id: str, drawn: Path, total: Figures) -> None:
    """Samples that were drawn more than once, and the seconds which that took."""
    told = sum(int(line) for line in drawn.read_text().splitlines())
    with here.database.read() as session:
        summary = session.get_one(JobSummary, job_id)
        again, rate = told - summary.work_total, summary.work_total / summary.device_seconds
    total["redone_samples"] = max(total["redone_samples"], again)
    worst(total, redone_s=again / rate)


def place(here: House, job_id: str) -> tuple[int, int] | None:
    """Epoch and step of the last snapshot."""
    with here.database.read() as session:
        resume = session.get_one(Shard, (job_id, 0)).resume
    return None if resume is None else (resume["epoch"], resume["step"])


def _watched(here: House, job_id: str, seconds: float) -> float:
    """Waits so long; seconds since the last snapshot was stored, then."""
    stood, since, end = place(here, job_id), time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)
        if (now := place(here, job_id)) != stood:
            stood, since = now, time.monotonic()
    return time.monotonic() - since


def _work(here: House, job_id: str) -> int:
    """Samples, or steps of a training, that are stored."""
    with here.database.read() as session:
        return session.get_one(JobSummary, job_id).work_done


def trained(here: House, job_id: str, expected: unbroken.Weights) -> bool:
    """Whether the job has succeeded with these weights."""
    with here.database.read() as session:
        job = session.get_one(Job, job_id)
        row = session.get_one(Checkpoint, job.checkpoint_id)
    if job.state != "succeeded":
        return False
    model, _ = checkpoint.load(blob_files.path_of(here.settings.blobs, row.sha256 or ""))
    return unbroken.same(model.state_dict(), expected)
