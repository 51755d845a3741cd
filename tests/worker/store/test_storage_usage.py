"""What a tenant has stored: each kind counts, each distinct blob once, and nothing that was let go of."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select
from tests_support import things

from radii.rs_core.errors import BeyondStorage, StorageUsedUp
from radii.worker import commit
from radii.worker.kinds.registry import KINDS
from radii.worker.settings import Settings
from radii.worker.store import jobs, resources, storage_usage
from radii.worker.store.blobs import multipart_uploads
from radii.worker.store.database import Database
from radii.worker.store.models.column_types import json_size
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Blob, Checkpoint, Dataset, Idempotency, Job, Shard
from radii.worker.store.specifications import dump_spec

MIB = 2**20


@pytest.fixture
def tenant_id(database: Database) -> str:
    return things.tenant(database)


def _blob(session: Any, name: str, size: int) -> str:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    session.add(Blob(sha256=sha256, size=size))
    session.flush()
    return sha256


def _sizes(database: Database, tenant_id: str) -> dict[str, tuple[int, int]]:
    with database.read() as session:
        return {each.kind: (each.count, each.size) for each in storage_usage.usage(session, tenant_id).kinds}


def _job(session: Any, tenant_id: str, kind: str, **more: Any) -> Job:
    new = jobs.NewJob(
        tenant_id=tenant_id, spec=things.spec(kind), shards=[(0, 1)], work_total=1, **({"total": 1} | more)
    )
    return jobs.submit(session, new)


def test_everything_that_a_tenant_stores_counts(database: Database, tenant_id: str) -> None:
    with database.write() as session:
        resources.put_upload(session, tenant_id, "a", _blob(session, "a", 1))
        multipart_uploads.begin(session, tenant_id, "parts", 10, None)
        session.add(
            Dataset(id="d", tenant_id=tenant_id, name="d", state="ready", source={}, sha256=_blob(session, "d", 100))
        )
        ready = {"state": "ready", "source": {}, "sha256": _blob(session, "c", 1_000), "num_classes": 10}
        session.add(Checkpoint(id="c", tenant_id=tenant_id, name="c", **ready))
        resources.attach(session, tenant_id, {"sha256": _blob(session, "p", 10_000)})
        votes = _job(session, tenant_id, "soft_labels")
        votes.output = {"sha256": _blob(session, "v", 100_000)}
        train = _job(session, tenant_id, "train")
        session.get_one(Shard, (train.id, 0)).resume = {"sha256": _blob(session, "s", 1_000_000)}
        _job(session, tenant_id, "certify", total=7, checkpoint_id="c")
        source = {"files": [{"name": "a", "sha256": "a" * 64}], "class_names": ["cat", "dog"]}
        made, conversion = resources.create(session, Dataset, tenant_id, "made", source, output_bytes=2**40)
        session.add(Idempotency(tenant_id=tenant_id, key="k", body_hash="", resource_id="x"))
        stored = int(session.scalar(select(func.sum(Job.stored))) or 0)
    assert conversion.stored == json_size(dump_spec(conversion.spec), dump_spec(conversion.plan))
    found = _sizes(database, tenant_id)
    names, origin = json_size(source["class_names"]), json_size({"files": source["files"]})
    assert (
        made.stored == names + origin and storage_usage.conversion_of(source) >= made.stored + storage_usage.JOB_BYTES
    )
    rows = (
        stored
        + 4 * storage_usage.JOB_BYTES
        + 10 * storage_usage.ROW_BYTES
        + 7 * 10 * storage_usage.CLASS_BYTES
        + storage_usage.KEY_BYTES
    )
    assert found == {
        "uploads": (1, 1),
        "part_uploads": (1, 10),
        "datasets": (1, 100 + names + origin),
        "checkpoints": (1, 1_000),
        "predictions": (1, 10_000),
        "soft_labels": (1, 100_000),
        "snapshots": (1, 1_000_000),
        "results": (4, rows),
        "expected_outputs": (1, 2**40),
    }
    with database.read() as session:
        assert storage_usage.usage(session, tenant_id).size == 1_111_101 + 10 + names + origin + rows + 2**40
        assert storage_usage.usage(session, things.tenant_in(session, "other")).size == 0


def test_a_blob_that_several_things_of_a_tenant_rest_on_is_charged_once_and_to_each_tenant(
    database: Database, tenant_id: str
) -> None:
    other = things.tenant(database, "other")
    with database.write() as session:
        sha256 = _blob(session, "shared", 5)
        for name in ("a", "b"):
            resources.put_upload(session, tenant_id, name, sha256)
        resources.put_upload(session, other, "a", sha256)
        row = Dataset(id="d", tenant_id=tenant_id, name="d", state="ready", source={}, sha256=sha256)
        session.add(row)
    with database.read() as session:
        assert storage_usage.usage(session, tenant_id).size == storage_usage.usage(session, other).size == 5
    assert _sizes(database, tenant_id)["datasets"] == (1, 5)
    assert _sizes(database, tenant_id)["uploads"] == (2, 0)
    with database.write() as session:
        resources.remove(session, session.get_one(Dataset, "d"))
    assert _sizes(database, tenant_id)["uploads"] == (2, 5), "still there by the uploads"


def test_what_is_let_go_of_is_free_at_once(database: Database, tenant_id: str) -> None:
    with database.write() as session:
        row = Dataset(id="d", tenant_id=tenant_id, name="d", state="ready", source={}, sha256=_blob(session, "d", MIB))
        session.add(row)
        job = _job(session, tenant_id, "certify", total=1_000)
        job_id, kept = job.id, job.stored + storage_usage.JOB_BYTES
    with database.write() as session:
        assert storage_usage.usage(session, tenant_id).size == MIB + kept + 1_000 * storage_usage.ROW_BYTES
        resources.remove(session, session.get_one(Dataset, "d"))
        assert storage_usage.usage(session, tenant_id).size == kept + 1_000 * storage_usage.ROW_BYTES
        jobs.cancel(session, job_id)
        session.get_one(JobSummary, job_id).done = 3
        session.flush()
        assert storage_usage.usage(session, tenant_id).size == kept + 3 * storage_usage.ROW_BYTES
        jobs.delete(session, job_id)
        assert storage_usage.usage(session, tenant_id).size == 0


def test_what_does_not_fit_is_refused_with_the_figures_and_the_way_out(database: Database, tenant_id: str) -> None:
    settings = Settings(tenant_bytes=1_000)
    with database.write() as session:
        resources.put_upload(session, tenant_id, "a", _blob(session, "a", 800))
        storage_usage.require(session, tenant_id, settings, 200)
        with pytest.raises(StorageUsedUp) as caught:
            storage_usage.require(session, tenant_id, settings, 201)
        assert caught.value.status == 507
        assert caught.value.detail == (
            "Your storage quota is used up (storage): expected at most 1,000 bytes of yours in storage (RADII_TENANT_BYTES), "
            "got 800 bytes and 201 more; delete what you do not need (`radii delete ID`); `radii usage` shows what there is."
        )
        with pytest.raises(BeyondStorage, match=r"at most 1,000 bytes of yours in storage .*, got 1,001 bytes at once"):
            storage_usage.require(session, tenant_id, settings, 1_001)
        with pytest.raises(StorageUsedUp, match="got 950 bytes and 100 more"):
            storage_usage.require(session, tenant_id, settings, 100, in_flight=150)


def test_the_number_of_things_is_limited_by_kind(database: Database, tenant_id: str) -> None:
    settings = Settings(tenant_items=2)
    with database.write() as session:
        for kind in storage_usage.COUNTED:
            storage_usage.require_count(session, tenant_id, settings, kind, 2)
            with pytest.raises(
                StorageUsedUp, match=rf"at most 2 {storage_usage.WORDS[kind]} of yours .*, got 0 and 3 more"
            ):
                storage_usage.require_count(session, tenant_id, settings, kind, 3)
        for name in ("a", "b"):
            session.add(Dataset(id=name, tenant_id=tenant_id, name=name, state="ready", source={}))
        session.flush()
        resources.attach(session, tenant_id, {})
        with pytest.raises(StorageUsedUp, match="got 2 and 1 more"):
            storage_usage.require_count(session, tenant_id, settings, storage_usage.DATASETS)
        resources.remove(session, session.get_one(Dataset, "a"))
        storage_usage.require_count(session, tenant_id, settings, storage_usage.DATASETS)


def test_usage_is_added_up_anew_where_the_quota_is_nearly_used_up(database: Database, tenant_id: str) -> None:
    settings = Settings(tenant_bytes=1_000)
    with database.write() as session:
        storage_usage.require(session, tenant_id, settings, 895)
        resources.put_upload(session, tenant_id, "a", _blob(session, "a", 895))
        assert storage_usage.RECENT.surely_fits(tenant_id, settings, 5, 0)
        assert not storage_usage.RECENT.surely_fits(tenant_id, settings, 1, 0), "895 + 5 + 1 are more than nine tenths"
        storage_usage.require(session, tenant_id, settings, 105)
        with pytest.raises(StorageUsedUp):
            storage_usage.require(session, tenant_id, settings, 106)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Continues the test as process 0, 1, ...; each has its own cache of totals."""
    caches = [storage_usage.RecentUsage() for _ in range(3)]
    return lambda number: monkeypatch.setattr(storage_usage, "RECENT", caches[number])


Check = Callable[[Any, str, Settings, int], None]


def _named(session: Any, tenant_id: str, settings: Settings, size: int) -> None:
    storage_usage.require_within(session, tenant_id, settings, size)


def _made(session: Any, tenant_id: str, settings: Settings, size: int) -> None:
    """As a worker that commits a file; it is checked before its row is written."""
    claim = SimpleNamespace(tenant_id=tenant_id, job_id="j")
    commit._check_quota(session, settings, claim, size, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("check", [_named, _made])
def test_several_processes_do_not_exceed_the_quota_with_files(
    database: Database, tenant_id: str, processes: Callable[[int], None], check: Check
) -> None:
    """Each process has seen an empty storage a moment ago."""
    settings, admitted = Settings(tenant_bytes=1_000), []
    for process in range(3):
        processes(process)
        storage_usage.RECENT.note(tenant_id, 0)
    for process, size in [(0, 600), (1, 600), (2, 399), (0, 2)]:
        processes(process)
        with suppress(StorageUsedUp), database.write() as session:
            name, before = f"{process}-{size}", storage_usage.usage(session, tenant_id).size
            if check is _named:
                resources.put_upload(session, tenant_id, name, _blob(session, name, size))
            check(session, tenant_id, settings, size)
            if check is _made:
                resources.put_upload(session, tenant_id, name, _blob(session, name, size))
            admitted.append(before + size)
    assert admitted == [600, 999]


def test_several_processes_exceed_the_quota_by_little_with_small_additions(
    database: Database, tenant_id: str, processes: Callable[[int], None]
) -> None:
    """Rows of jobs are checked against a total of some seconds ago, up to a hundredth of the quota in each process."""
    settings = Settings(tenant_bytes=100_000)
    with database.write() as session:
        resources.put_upload(session, tenant_id, "a", _blob(session, "a", 50_000))
        for process in range(3):
            processes(process)
            storage_usage.require(session, tenant_id, settings, 0)
        processes(0)
        resources.put_upload(session, tenant_id, "b", _blob(session, "b", 49_500))
        storage_usage.require_within(session, tenant_id, settings, 49_500)
        for process in range(3):
            processes(process)
            with suppress(StorageUsedUp):
                for number in range(100):
                    storage_usage.require(session, tenant_id, settings, 100)
                    name = f"{process}-{number}"
                    resources.put_upload(session, tenant_id, name, _blob(session, name, 100))
        assert 100_000 < storage_usage.usage(session, tenant_id).size <= 100_000 + 2 * 1_000


def test_what_a_deleted_dataset_still_holds_is_charged_and_goes_with_the_last_job_that_it_describes(
    database: Database, tenant_id: str
) -> None:
    names = ["cat", "dog"]
    with database.write() as session:
        dataset, conversion = resources.create(session, Dataset, tenant_id, "d", {"class_names": names, "files": []})
        checkpoint, _ = resources.create(session, Checkpoint, tenant_id, "c", {"files": []})
        resources.make_ready(session, checkpoint, {"info": {"class_names": names, "sigma": 1.0}})
        jobs.cancel(session, conversion.id)
        dataset.state = "ready"
        job = _job(session, tenant_id, "certify", dataset_id=dataset.id, checkpoint_id=checkpoint.id)
        jobs.cancel(session, job.id)
        for row in (dataset, checkpoint):
            resources.remove(session, row)
        assert (dataset.class_names, checkpoint.class_names) == (names, names), "a report still describes them"
        assert dataset.stored and checkpoint.stored
        jobs.delete(session, job.id)
        for row in (dataset, checkpoint):
            session.refresh(row)
            assert (row.class_names, row.stored, row.source) == (None, 0, {"sha256": None})
        assert checkpoint.info is None


def test_an_upload_in_parts_is_charged_and_counted_until_it_is_completed(database: Database, tenant_id: str) -> None:
    settings = Settings(tenant_items=1)
    with database.write() as session:
        row, _ = multipart_uploads.begin(session, tenant_id, "parts", 10, None)
        session.flush()
        with pytest.raises(StorageUsedUp, match=r"at most 1 unfinished uploads of yours .*, got 1 and 1 more"):
            storage_usage.require_count(session, tenant_id, settings, storage_usage.PARTS)
        assert storage_usage.usage(session, tenant_id).size == 10
        row.upload_id = resources.put_upload(session, tenant_id, "parts", _blob(session, "parts", 7)).id
        session.flush()
        storage_usage.require_count(session, tenant_id, settings, storage_usage.PARTS)
    assert _sizes(database, tenant_id)["part_uploads"] == (0, 0) and _sizes(database, tenant_id)["uploads"] == (1, 7)


def test_rows_of_a_training_have_no_votes(database: Database, tenant_id: str) -> None:
    with database.write() as session:
        ready = {"state": "ready", "source": {}, "num_classes": 1_000}
        session.add(Checkpoint(id="c", tenant_id=tenant_id, name="c", **ready))
        session.flush()
        stored = _job(session, tenant_id, "train", total=3, checkpoint_id="c").stored
    assert _sizes(database, tenant_id)["results"] == (1, stored + storage_usage.JOB_BYTES + 3 * storage_usage.ROW_BYTES)
    assert KINDS["train"].rows is None
    assert storage_usage.rows_of(3, 0) == storage_usage.JOB_BYTES + 3 * storage_usage.ROW_BYTES
    assert storage_usage.rows_of(3, 10) == storage_usage.JOB_BYTES + 3 * (
        storage_usage.ROW_BYTES + 10 * storage_usage.CLASS_BYTES
    )


def test_the_output_of_a_conversion_is_expected_until_it_ends_and_not_twice_as_it_is_stored(
    database: Database, tenant_id: str
) -> None:
    settings = Settings(tenant_bytes=100_000)
    with database.write() as session:
        _, job = resources.create(session, Dataset, tenant_id, "made", {"files": []}, output_bytes=60_000)
        with pytest.raises(StorageUsedUp):
            storage_usage.require(session, tenant_id, settings, 60_000)
        storage_usage.require(session, tenant_id, settings, 60_000, without_output_of=job.id)
        jobs.cancel(session, job.id)
    assert _sizes(database, tenant_id)["expected_outputs"] == (0, 0)


def test_the_last_look_counts_what_follows_and_what_others_have_announced(database: Database, tenant_id: str) -> None:
    settings = Settings(tenant_bytes=1_000)
    with database.write() as session:
        resources.put_upload(session, tenant_id, "a", _blob(session, "a", 950))
        storage_usage.require_within(session, tenant_id, settings, 950, more=50)
        with pytest.raises(StorageUsedUp, match="got 0 bytes and 1,001 more"):
            storage_usage.require_within(session, tenant_id, settings, 950, more=51)
        with pytest.raises(StorageUsedUp, match="got 51 bytes and 950 more"):
            storage_usage.require_within(session, tenant_id, settings, 950, in_flight=51)


def test_the_number_of_things_is_each_tenants_own(database: Database, tenant_id: str) -> None:
    other = things.tenant(database, "other")
    with database.write() as session:
        resources.put_upload(session, other, "a", _blob(session, "a", 1))
        storage_usage.require_count(session, tenant_id, Settings(tenant_items=1), storage_usage.UPLOADS)
        with pytest.raises(StorageUsedUp):
            storage_usage.require_count(session, other, Settings(tenant_items=1), storage_usage.UPLOADS)


def test_what_was_added_up_is_forgotten_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    recent, settings = storage_usage.RecentUsage(), Settings(tenant_bytes=1_000)
    assert not recent.surely_fits("t", settings, 1, 0), "nothing is known yet"
    recent.note("t", 100)
    clock[0] += recent.LASTS
    assert recent.surely_fits("t", settings, 1, 0)
    assert not recent.surely_fits("t", settings, 100, 700), (
        "700 are on their way: with 101 that is more than nine tenths"
    )
    clock[0] += 0.1
    assert not recent.surely_fits("t", settings, 1, 0), "counting on does not make it newer"
