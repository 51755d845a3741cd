"""Uploads, data sets and checkpoints, and the blobs that nothing refers to any more."""

from pathlib import Path

import pytest
from tests_support import things

from radii.worker.store import jobs, resources
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Blob, Checkpoint, Dataset, Job


def _upload(database: Database, root: Path, tenant_id: str, name: str, content: bytes) -> str:
    with blob_files.writing(root) as writer:
        writer.write(content)
        sealed = writer.seal()
    with database.write() as session:
        resources.put_blob(session, root, sealed)
        resources.put_upload(session, tenant_id, name, sealed.sha256)
    return sealed.sha256


@pytest.fixture
def tenant_id(database: Database) -> str:
    return things.tenant(database)


def test_an_upload_is_found_by_name_identifier_and_hash_and_by_its_tenant_alone(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    sha256 = _upload(database, tmp_path, tenant_id, "a.npz", b"a")
    other = things.tenant(database, "other")
    with database.read() as session:
        upload = resources.find_upload(session, tenant_id, "a.npz")
        assert upload is not None
        assert resources.find_upload(session, tenant_id, upload.id) is upload
        assert resources.find_upload(session, tenant_id, sha256) is upload
        assert resources.find_upload(session, other, "a.npz") is None


def test_a_name_that_is_uploaded_again_names_the_new_content(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    _upload(database, tmp_path, tenant_id, "a.npz", b"a")
    newer = _upload(database, tmp_path, tenant_id, "a.npz", b"b")
    with database.read() as session:
        found = resources.find_upload(session, tenant_id, "a.npz")
    assert found is not None and found.sha256 == newer


def test_blobs_are_collected_when_nothing_refers_to_them_and_they_are_old(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    first = _upload(database, tmp_path, tenant_id, "a", b"a")
    second = _upload(database, tmp_path, tenant_id, "a", b"b")
    with database.write() as session:
        assert resources.collect(session, tmp_path, grace=60.0) == 0, "young ones may be about to be used"
        assert resources.collect(session, tmp_path, grace=-60.0) == 1
        assert session.get(Blob, first) is None
    assert not blob_files.path_of(tmp_path, first).exists()
    assert blob_files.path_of(tmp_path, second).exists()


def test_what_a_data_set_a_checkpoint_or_a_training_rests_on_is_never_collected(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    things.dataset(database, tmp_path, tenant_id)
    things.checkpoint_of(database, tmp_path, tenant_id)
    with database.write() as session:
        assert resources.collect(session, tmp_path, grace=-60.0) == 0


def test_a_removed_data_set_lets_go_of_its_blob(database: Database, tmp_path: Path, tenant_id: str) -> None:
    dataset_id = things.dataset(database, tmp_path, tenant_id)
    with database.write() as session:
        resources.remove(session, session.get_one(Dataset, dataset_id))
        assert resources.collect(session, tmp_path, grace=-60.0) == 1


def test_a_composition_that_waits_keeps_the_blobs_of_its_parts_though_they_are_removed(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    part_id = things.checkpoint_of(database, tmp_path, tenant_id)
    with database.write() as session:
        part = session.get_one(Checkpoint, part_id)
        sha256 = str(part.sha256)
        source = {"compose": {"kind": "ensemble"}, "parts": [{"id": part_id, "sha256": sha256}] * 2}
        _, job = resources.create(session, Checkpoint, tenant_id, "both", source)
        resources.remove(session, part)
        resources.discard(session, tmp_path, sha256)
        assert resources.collect(session, tmp_path, grace=-60.0) == 0
    assert blob_files.path_of(tmp_path, sha256).exists()
    with database.write() as session:
        jobs.cancel(session, job.id)
        assert resources.collect(session, tmp_path, grace=-60.0) == 1


def test_jobs_that_have_not_ended_are_users_of_what_they_need(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    dataset_id = things.dataset(database, tmp_path, tenant_id)
    checkpoint_id = things.checkpoint_of(database, tmp_path, tenant_id)
    body = {"kind": "certify", "dataset": dataset_id, "checkpoint": checkpoint_id, "n": 100}
    job_id = things.submit(database, tenant_id, body)
    with database.write() as session:
        dataset, checkpoint = session.get_one(Dataset, dataset_id), session.get_one(Checkpoint, checkpoint_id)
        assert resources.users_of(session, dataset) == resources.users_of(session, checkpoint) == [job_id]
        jobs.cancel(session, job_id)
        assert resources.users_of(session, dataset) == resources.users_of(session, checkpoint) == []


def test_the_checkpoint_of_a_training_is_its_jobs(database: Database, tmp_path: Path, tenant_id: str) -> None:
    dataset_id = things.dataset(database, tmp_path, tenant_id)
    body = {"kind": "train", "dataset": dataset_id, "architecture": "digits_cnn", "sigma": 0.25, "epochs": 1}
    job_id = things.submit(database, tenant_id, body)
    with database.write() as session:
        row = session.get_one(Checkpoint, session.get_one(Job, job_id).checkpoint_id)
        assert (row.state, resources.users_of(session, row)) == ("pending", [job_id])
        jobs.cancel(session, job_id)
        assert session.get_one(Checkpoint, row.id, populate_existing=True).state == "rejected"


def test_files_that_no_row_knows_of_are_deleted_when_they_are_old(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    kept = _upload(database, tmp_path, tenant_id, "a", b"a")
    with blob_files.writing(tmp_path) as writer:
        writer.write(b"its commit failed")
        orphan = writer.seal()
    blob_files.place(tmp_path, orphan)
    assert resources.collect_orphans(database, tmp_path, older_than=60.0) == 0
    assert resources.collect_orphans(database, tmp_path, older_than=-60.0) == 1
    assert blob_files.path_of(tmp_path, kept).exists() and not blob_files.path_of(tmp_path, orphan.sha256).exists()


def test_an_active_conversion_keeps_the_uploads_that_it_reads_and_no_others(
    database: Database, tmp_path: Path, tenant_id: str
) -> None:
    other = things.tenant(database, "other")
    read = _upload(database, tmp_path, tenant_id, "read.npz", b"read")
    _upload(database, tmp_path, tenant_id, "left.npz", b"left")
    _upload(database, tmp_path, other, "left.npz", b"left")
    _upload(database, tmp_path, other, "read.npz", b"read")
    with database.write() as session:
        source = {"files": [{"name": "read.npz", "sha256": read}]}
        _, job = resources.create(session, Dataset, tenant_id, "pending", source)
        job_id = job.id
    with database.write() as session:
        assert resources.expire_uploads(session, ttl=-1.0) == 3
        assert resources.find_upload(session, tenant_id, "read.npz") is not None
        assert resources.find_upload(session, other, "read.npz") is None
    with database.write() as session:
        jobs.cancel(session, job_id)
        assert resources.expire_uploads(session, ttl=-1.0) == 1
