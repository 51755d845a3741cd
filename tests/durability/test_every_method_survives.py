"""Trainings sent over HTTP whose worker is killed inside an epoch end with the weights of an unbroken run: every method."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests_support import mixes, processes, unbroken
from tests_support.live import running

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.methods.registry import METHODS
from radii.rs_core.specs.jobs import TrainSpec, parse_spec
from radii.rs_core.specs.training import trains_a_mix
from radii.service.client.client import Client, Job
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Shard

pytestmark = pytest.mark.long

SECONDS = 240.0
BODY: dict[str, Any] = {
    "architecture": "digits_cnn",
    "sigma": 0.25,
    "batch_size": 16,
    "learning_rate": 0.02,
    "lr_step": 2,
    "augmentation": "crop_flip",
    "seed": 5,
}
ATTACK = {"m": 2, "steps": 2}
RUNS: dict[str, dict[str, Any]] = {
    "gaussian": {"epochs": 8, "inputs": {"count": 1200}},
    "stability": {"epochs": 8, "inputs": {"count": 800}},
    "smoothadv": {"epochs": 4, "inputs": {"count": 600}, "method": ATTACK},
    "macer": {"epochs": 4, "inputs": {"count": 600}, "method": {"m": 8}},
    "consistency": {"epochs": 4, "inputs": {"count": 800}},
    "smoothmix": {"epochs": 4, "inputs": {"count": 600}, "method": ATTACK},
    "cat_rs": {"epochs": 4, "inputs": {"count": 400}, "method": ATTACK | {"soft_label_n": 20}},
    "adaptive_smoothing": {
        "epochs": 4,
        "inputs": {"count": 400},
        "method": {"extra_clean": 0, "attacked": 1, "steps": 2},
        "architecture": None,
        "optimizer": "adamw",
    },
}
"""Long enough that a snapshot, ten times a second, falls into an epoch."""
CASES = [pytest.param(name, marks=pytest.mark.slow) for name in RUNS]
"""Gaussian augmentation is killed in every run, in ``test_training_survives``."""


class Live(NamedTuple):
    """A service with one worker, and its database beside it."""

    url: str
    process_id: int
    database: Database

    def kill_the_worker(self) -> None:
        """kill -9; the service starts another one. The worker's child sees its input close and goes."""
        lists = Path(f"/proc/{self.process_id}/task").glob("*/children")  # of each of its threads
        children = " ".join(children.read_text() for children in lists).split()
        (worker,) = [
            child for child in children if b"radii.worker.embedded" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        with suppress(ProcessLookupError):
            os.kill(int(worker), signal.SIGKILL)

    def inside_an_epoch(self, job: Job) -> bool:
        """Whether the job's last snapshot was taken inside an epoch; fails where the job has ended."""
        assert not job.refresh().ended, f"{job.state} before it could be killed: {job.info.problem}"
        with self.database.read() as session:
            resume = session.get_one(Shard, (job.id, 0)).resume
        return resume is not None and resume["step"] > 0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    data = tmp_path_factory.mktemp("service") / "data"
    intervals = {
        "LEASE": "3",
        "HOUSEKEEPING_SECONDS": "0.3",
        "COMMIT": "0.1",
        "POLL": "0.05",
        "SNAPSHOT": "0.1",
        "THREADS": "1",
    }
    with running(data, **{f"RADII_{name}": value for name, value in intervals.items()}) as (url, process):
        database = Database(f"sqlite:///{data / 'radii.db'}")
        yield Live(url, process.pid, database)
        database.close()


@pytest.fixture(scope="module")
def dataset(live: Live) -> str:
    with Client(live.url) as client:
        return client.add_dataset("digits", builtin="digits").id


def test_every_method_is_tried() -> None:
    assert RUNS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_training_killed_inside_an_epoch_ends_with_the_weights_of_an_unbroken_run(
    live: Live, dataset: str, tmp_path: Path, name: str
) -> None:
    body = BODY | RUNS[name] | {"method": {"name": name} | RUNS[name].get("method", {})}
    start = mixes.adaptive() if trains_a_mix(body["method"]) else None
    with Client(live.url) as client:
        if start is not None:
            checkpoint.save(*start, tmp_path / "mix.safetensors")
            body["start_from"] = client.add_checkpoint("mix", tmp_path / "mix.safetensors").id
        job = client.train(dataset=dataset, **body)
        processes.until(lambda: live.inside_an_epoch(job), SECONDS, "a snapshot inside an epoch")
        with live.database.write():  # while the database is held, the worker finishes nothing
            assert not job.refresh().ended, "killed too late to mean anything"
            live.kill_the_worker()
        job.wait(timeout=SECONDS, check=True)
        made = client.checkpoint(job.checkpoint_id or "")
        found = [(epoch.loss, epoch.accuracy) for epoch in job.epochs()]
    file = tmp_path / "made.safetensors"
    file.write_bytes(httpx.get(f"{live.url}/v1/blobs/{made.sha256}").raise_for_status().content)
    model, _ = checkpoint.load(file)

    spec = parse_spec({"kind": "train", "dataset": "digits"} | body)
    assert isinstance(spec, TrainSpec)
    labels = unbroken.soft_labels(spec) if METHODS[name].needs_soft_labels else None
    weights, epochs = unbroken.training(spec, labels, start and start[0])
    assert unbroken.same(model.state_dict(), weights)
    assert found == [(epoch.loss, epoch.accuracy) for epoch in epochs]
