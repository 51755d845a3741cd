"""A file that is missing ends its job with a sentence of its own; a data folder that is away ends none."""

import logging
from pathlib import Path

import pytest
from tests_support.slots import START, SlotMaker, job_of, submit, work

from radii.worker import housekeeping
from radii.worker.housekeeping import WorkerHeartbeat
from radii.worker.loop import WorkerSlot
from radii.worker.store import jobs, resources
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder.folder_identity import FILE, WrongFolder
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Shard, Worker


def _shard(database: Database, job_id: str) -> Shard:
    with database.read() as session:
        return session.get_one(Shard, (job_id, 0))


def _started(made: WorkerSlot) -> WorkerSlot:
    made.start()
    return made


@pytest.mark.parametrize(("kind", "word"), [(Dataset, "dataset"), (Checkpoint, "checkpoint")])
def test_a_job_whose_file_was_deleted_fails_at_once_and_names_the_resource(
    kind: type[Dataset] | type[Checkpoint], word: str, database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    job_id = submit(database, tmp_path, 2)
    with database.read() as session:
        job = session.get_one(Job, job_id)
        row = session.get_one(kind, job.dataset_id if kind is Dataset else job.checkpoint_id)
    blob_files.path_of(tmp_path / "blobs", str(row.sha256)).unlink()
    work(_started(slot()))
    job = job_of(database, job_id)
    assert (job.state, job.problem["type"]) == (jobs.FAILED, "urn:radii:problem:missing-file")
    assert f"the file of the {word} 'digits' ({row.id})" in job.problem["detail"]
    assert _shard(database, job_id).attempt == 1


def test_a_file_that_goes_during_the_work_is_told_in_place_of_what_the_child_makes_of_it(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 2)
    worker = _started(slot(f"{START}:busy"))
    send = worker.child.send  # type: ignore[union-attr]

    def gone_before(message: dict[str, object]) -> None:
        for path in (tmp_path / "blobs").glob("??/*"):
            path.unlink()
        send(message)

    monkeypatch.setattr(worker.child, "send", gone_before)
    work(worker)
    job = job_of(database, job_id)
    assert (job.state, job.problem["type"]) == (jobs.FAILED, "urn:radii:problem:missing-file")
    assert _shard(database, job_id).attempt == 1


def test_while_the_data_folder_is_away_nothing_is_claimed_and_afterwards_work_goes_on(
    database: Database, tmp_path: Path, slot: SlotMaker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "radii")
    worker = _started(slot())
    job_id = submit(database, tmp_path, 2)
    away = (tmp_path / FILE).rename(tmp_path / "unmounted")
    for _ in range(100):
        assert not worker.work_once()
    assert _shard(database, job_id).attempt == 0
    said = [record for record in caplog.records if "is not there" in record.getMessage()]
    assert len(said) == 7, "the 1st, 2nd, 4th, ... of a hundred times"
    worker.register()
    assert "is not there" in str(_paused(database))
    away.rename(tmp_path / FILE)
    work(worker)
    assert job_of(database, job_id).state == jobs.SUCCEEDED
    worker.register()
    assert _paused(database) is None


@pytest.mark.parametrize("act", ["busy", "fail", "die"])
def test_a_data_folder_that_goes_away_during_the_work_costs_the_job_nothing(
    act: str, database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(database, tmp_path, 3)
    worker = _started(slot(f"{START}:{act}"))
    send = worker.child.send  # type: ignore[union-attr]

    def away_before(message: dict[str, object]) -> None:
        (tmp_path / FILE).rename(tmp_path / "unmounted")
        send(message)

    monkeypatch.setattr(worker.child, "send", away_before)
    for _ in range(20):
        worker.work_once()
    shard = _shard(database, job_id)
    assert (job_of(database, job_id).state, shard.state, shard.attempt, shard.lost) == (jobs.RUNNING, "ready", 1, 0)
    (tmp_path / "unmounted").rename(tmp_path / FILE)
    monkeypatch.setenv("FAKE_CHILD", "")
    work(worker)
    assert job_of(database, job_id).state == jobs.SUCCEEDED


def test_a_worker_that_finds_another_folder_in_place_of_its_own_stops(
    database: Database, tmp_path: Path, slot: SlotMaker
) -> None:
    worker = _started(slot())
    job_id = submit(database, tmp_path, 1)
    (tmp_path / FILE).write_text('{"folder": "folder_of_somebody_else"}')
    assert not worker.work_once() and _shard(database, job_id).attempt == 0
    rounds = WorkerHeartbeat(worker)
    rounds.go_if_due()
    assert isinstance(rounds.refused, WrongFolder) and worker.stop.is_set()


def test_nothing_is_cleaned_in_a_folder_of_another_database(
    database: Database, tmp_path: Path, slot: SlotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "BLOB_GRACE", 0.0)
    monkeypatch.setattr(housekeeping, "UNFINISHED", -1.0)
    worker = _started(slot())
    strange = tmp_path / "blobs" / "ab" / ("ab" * 32)
    strange.parent.mkdir(parents=True)
    strange.write_bytes(b"somebody else's")
    ours = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text('{"folder": "folder_of_somebody_else"}')
    with pytest.raises(WrongFolder):
        housekeeping.delete_expired_once(database, worker.settings)
    assert strange.exists()
    (tmp_path / FILE).write_text(ours)
    housekeeping.delete_expired_once(database, worker.settings)
    assert not strange.exists(), "what no row names goes, where the folder is the right one"


def test_what_goes_wrong_in_a_child_is_one_line_of_the_log_with_kind_sentence_and_attempt(
    database: Database, tmp_path: Path, slot: SlotMaker, caplog: pytest.LogCaptureFixture
) -> None:
    submit(database, tmp_path, 1)
    work(slot(f"{START}:fail"))
    (record,) = [each for each in caplog.records if each.getMessage() == "the work failed"]
    known = {name: vars(record)[name] for name in ("kind", "error", "attempt", "tried_again")}
    assert known == {"kind": "test", "error": "It does not work.", "attempt": 1, "tried_again": False}


def test_a_child_that_dies_is_told_with_its_signal_and_the_last_lines_that_it_wrote(
    database: Database, tmp_path: Path, slot: SlotMaker, caplog: pytest.LogCaptureFixture
) -> None:
    submit(database, tmp_path, 1)
    slot(f"{START}:die-loud").work_once()
    (record,) = [each for each in caplog.records if each.getMessage() == "child died"]
    assert vars(record)["how"] == "was ended by signal 11 (SIGSEGV)"
    assert "the last thing that it wrote" in vars(record)["stderr"]


def _paused(database: Database) -> object:
    with database.read() as session:
        (row,) = session.query(Worker).all()
        return row.info.get("paused")
