"""No room in an upload, in a commit, in the log of the database: scenario 11."""

import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from radii.rs_core.specs.jobs import TrainSpec
from radii.worker.store import jobs
from radii.worker.store.models.column_types import Base
from tests_support import system, things, unbroken
from tests_support.durability.everything import place, trained
from tests_support.durability.house import LEASE, House, house, light
from tests_support.durability.outcome import Figures
from tests_support.durability.waiting import until

MIB = 2**20
FULL = LEASE + 1.0
"""Seconds for which a disk is full: longer than a lease."""
BOUNDED = ("file size", "pages")
"""Ways to give SQLite no room that anybody may take; a small file system may be mounted by root alone."""
ROOM = {"sqlite on tmpfs": "24m", "postgresql on tmpfs": "160m"}


def full_disks(*, ways: tuple[str, ...] = (*BOUNDED, *ROOM), training: bool = True) -> Figures:
    """11. A clear error or a pause, nothing corrupt, and it goes on when there is room. ``training``: also one whose
    snapshots find none, and which ends with the weights of an unbroken run."""
    total: Figures = {
        "cases": 0,
        "not_mounted": 0,
        "uploads_507": 0,
        "paused": 0,
        "servers_ended": 0,
        "unclear_answers": 0,
        "failed_jobs": 0,
    }
    total |= {"corrupt": 0, "lost": 0, "doubled": 0, "differing": 0}
    with house("sqlite") as here, here.api() as address:
        total["uploads_507"] += _upload_without_room(here, address)
        total["cases"] += 1
    if training:
        with house("sqlite", snapshot=0.5) as here:
            _training_without_room(here, total)
            total["cases"] += 1
    for how in ways:
        with _small_file_system(ROOM.get(how)) as folder:
            if folder is None and how in ROOM:
                total["not_mounted"] += 1
                continue
            if how.startswith("postgresql"):
                assert folder is not None
                with house("postgresql", servers=folder) as here:
                    _postgres_without_room(here, folder, total)
            else:
                with house("sqlite", **({"data": folder} if folder else {})) as here:
                    _sqlite_without_room(here, how, total)
            total["cases"] += 1
    bad = ("unclear_answers", "failed_jobs", "corrupt", "lost", "doubled", "differing")
    stopped = total["paused"] + total["servers_ended"]
    kept = (total["uploads_507"], stopped) == (1, total["cases"] - 1) and not any(total[name] for name in bad)
    return total | {"passed": kept}


def _upload_without_room(here: House, address: str) -> int:
    """A file larger than the process may write is a 507 that says so; with room it is taken."""
    assert here.api_pid is not None
    unlimited = resource.prlimit(here.api_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(here.api_pid, resource.RLIMIT_FSIZE, (MIB, unlimited[1]))
    refused = httpx.put(f"{address}/v1/uploads/x", content=b"x" * 4 * MIB, timeout=60)
    resource.prlimit(here.api_pid, resource.RLIMIT_FSIZE, unlimited)
    taken = httpx.put(f"{address}/v1/uploads/x", content=b"x" * 4 * MIB, timeout=60)
    left = [path for path in (here.settings.blobs / "new").glob("*")]
    return int(refused.status_code == 507 and "disk is full" in refused.text and taken.status_code == 201 and not left)


def _sqlite_without_room(here: House, how: str, total: Figures) -> None:
    """The worker's file size, the pages of the database or the file system end in the middle of a job."""
    inputs, flag = 300, here.folder / "full"
    job_id = here.light_job(inputs, 10)
    worker = here.worker(PROOF_CHILD="light", PROOF_PACE="0.02", PROOF_FULL=str(flag))
    here.until_more(job_id, 10, 60.0)
    limits = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    filler = here.settings.data / "filler"
    if how == "file size":
        log = Path(f"{here.settings.url.removeprefix('sqlite:///')}-wal")
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (max(4096, log.stat().st_size - 4096), limits[1]))
    elif how == "pages":
        flag.touch()
    else:
        _fill(filler)
    time.sleep(1.0)
    before = here.stored(job_id)
    time.sleep(FULL)
    total["paused"] += here.stored(job_id) == before < inputs
    total["failed_jobs"] += here.state(job_id) == jobs.FAILED
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, limits)
    flag.unlink(missing_ok=True)
    filler.unlink(missing_ok=True)
    _see_it_end(here, job_id, inputs, total)
    with sqlite3.connect(here.settings.url.removeprefix("sqlite:///")) as connection:
        total["corrupt"] += connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)


def _training_without_room(here: House, total: Figures) -> None:
    """Longer than a lease, no snapshot of a training can be written."""
    expected, _ = unbroken.training(TrainSpec(dataset="digits", **unbroken.REQUEST))  # type: ignore[arg-type]
    tenant_id = things.tenant(here.database)
    dataset = things.dataset(here.database, here.settings.blobs, tenant_id)
    job_id = things.submit(here.database, tenant_id, unbroken.REQUEST | {"dataset": dataset})
    worker = here.worker()
    assert until(lambda: place(here, job_id) is not None, 60.0)
    _limit_children(worker, 4096)
    time.sleep(1.0)  # for a snapshot that was being written
    before, end = place(here, job_id), time.monotonic() + FULL
    while time.monotonic() < end:
        _limit_children(worker, 4096)
        time.sleep(0.05)
    total["paused"] += place(here, job_id) == before and here.told(job_id, "no_room") > 0
    _limit_children(worker, resource.RLIM_INFINITY)
    here.until_ended(job_id, 120.0)
    total["failed_jobs"] += here.state(job_id) == jobs.FAILED
    total["differing"] += not trained(here, job_id, expected)


def _limit_children(worker: "subprocess.Popen[bytes]", size: int) -> None:
    """The size that a file of the processes that work for this one may have, those included that it starts meanwhile."""
    for child in system.children(worker.pid):
        with suppress(ProcessLookupError):
            resource.prlimit(child, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _postgres_without_room(here: House, folder: Path, total: Figures) -> None:
    """The file system of Postgres is full, and then its log needs another segment, which ends the server."""
    postgres = here.postgres
    assert postgres is not None
    inputs = 300
    job_id = here.light_job(inputs, 10)
    with here.api() as address:
        body = here.certify_body()
        here.worker(PROOF_CHILD="light", PROOF_PACE="0.02")
        here.until_more(job_id, 10, 60.0)
        _fill(folder / "filler")
        time.sleep(FULL)
        with suppress(psycopg.Error), psycopg.connect(here.settings.url, autocommit=True) as connection:
            for _ in range(20):
                connection.execute("SELECT pg_switch_wal(), txid_current()")
        total["servers_ended"] += until(lambda: not postgres.running(), 10.0)
        answer = httpx.post(f"{address}/v1/jobs", json=body, timeout=60)
        total["unclear_answers"] += answer.status_code not in (202, 503, 507)
        total["failed_jobs"] += here.state(job_id) == jobs.FAILED
        (folder / "filler").unlink()
        postgres.end(signal.SIGQUIT)
        postgres.start()
        _see_it_end(here, job_id, inputs, total)
    with psycopg.connect(here.settings.url, autocommit=True) as connection:
        with suppress(psycopg.errors.FeatureNotSupported):  # a server without its contributed modules
            connection.execute("CREATE EXTENSION amcheck")
        try:
            for table in Base.metadata.tables:
                connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            if connection.execute("SELECT FROM pg_extension WHERE extname = 'amcheck'").rowcount:
                connection.execute(
                    "SELECT bt_index_check(indexrelid, true) FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
                    "JOIN pg_am am ON am.oid = c.relam WHERE amname = 'btree'"
                )
        except psycopg.DatabaseError:
            total["corrupt"] += 1


def _see_it_end(here: House, job_id: str, inputs: int, total: Figures) -> None:
    here.until_ended(job_id, 120.0)
    outcome = here.compared(job_id, inputs, light(0))
    for name in ("lost", "doubled", "differing"):
        total[name] += getattr(outcome, name)
    total["failed_jobs"] += outcome.state != jobs.SUCCEEDED


def _fill(path: Path) -> None:
    """Writes until there is no room."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


@contextmanager
def _small_file_system(size: str | None) -> Iterator[Path | None]:
    """A file system in memory of that size; None where none is wanted, or none may be mounted."""
    if size is None:
        yield None
        return
    folder = Path("/tmp") / f"radii-proof-full-{os.getpid()}"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
    mounted = os.getuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        with suppress(OSError):
            folder.rmdir()
