"""With ten thousand jobs in the database, every statement of the service and of a worker finds its rows by an index, and
does a bounded amount of work: on SQLite with and without statistics, and on Postgres.

No clock is read. Work is instructions of SQLite's virtual machine, of which it does some twenty million a second, or rows
that Postgres reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests_support import all_queries, crowded, statements, things
from tests_support.over_http import serving
from tests_support.statements import Plan, Statement

from radii.worker.settings import Settings

pytestmark = pytest.mark.long

JOBS = 10_000
LARGE = {
    *("job", "job_summary", "shard", "event", "idempotency", "certificate", "prediction", "evaluation"),
    *(
        "epoch_metric",
        "sample_progress",
        "job_digest",
        "blob",
        "upload",
        "dataset",
        "checkpoint",
        "conversion_file",
        "part",
        "part_upload",
    ),
}
"""Tables that grow with what tenants do. Tenants, keys, workers, counters and slices of device time are few."""
MOST = {"sqlite": 60_000, "postgresql": 8_000}
"""Instructions or rows of one statement: less than a pass over all jobs takes."""

WHOLE = {
    "worker/store/counters:done": "a scrape adds up what all jobs have done, in one pass",
    "service/api/metrics:_counts": "a scrape counts jobs by state and kind in an index, and shards that are not done",
    "worker/store/resources:collect": "ten minutes apart, a worker looks for blobs that no row of any table names",
    "worker/store/resources:collect_orphans": "ten minutes apart, a worker looks for files that no blob's row names",
    "worker/store/blobs/multipart_uploads:clean": "ten minutes apart, a worker looks for folders that no upload in parts has",
}
"""Functions that read a large table from end to end, and why they may."""
MUCH = {
    "worker/store/queue_stats:longest_wait": "a scrape looks at each job in the queue once",
    "worker/store/tenants:outstanding": "a submission adds up the tenant's jobs in the queue, RADII_TENANT_JOBS at most",
    "worker/store/storage_usage:usage": "what is stored for a tenant is added up, from its rows alone",
    "worker/store/storage_usage:_rows": "the same of its results, by the totals of its jobs",
    "worker/store/storage_usage:_outputs": "the same of what its unfinished jobs will make",
    "worker/store/resources:expire_uploads": "a worker compares old uploads with the files of active conversions",
    "worker/store/urgent_jobs:kept": "a request for predictions adds up those that are kept",
    "worker/store/urgent_jobs:forget_beyond": "the same where there are too many",
} | WHOLE
"""Functions that do more than most, and why they may: never more than a few instructions or rows for each job."""
MOST_OF_MUCH = {"sqlite": 40 * JOBS, "postgresql": 10 * JOBS}

COMMANDS = (
    "worker/doctor/diagnosis",
    "worker/doctor/database_diagnosis",
    "worker/store/backup/create",
    "worker/store/folder/folder_identity",
    "worker/store/backup/restore",
    "worker/store/schema_version",
    "worker/store/start_failures",
    "worker/store/backup/restore_marker",
)
"""What only commands and processes that start ask."""
NOT_ASKED = {
    "service/kinds/prerequisites:_check_same_data": "the session has the row already",
    "worker/task_message:require_files": "it asks where a file is missing, to name what it was",
    "worker/store/database:_on_sqlite_connect": "settings of a connection",
    "worker/store/tenants:any_key": "asked once, when the service starts",
    "worker/store/tenants:keys": "a command's",
    "worker/store/tenants:revoke_key": "a command's",
}
"""Functions that send nothing here, and why."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was sent to one kind of database, and the plans of that."""

    kind: str
    asked: set[str]
    plans: dict[str, list[tuple[Statement, Plan]]]

    def __iter__(self) -> Iterator[tuple[Statement, Plan]]:
        for plans in self.plans.values():
            yield from plans


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """Everything, asked once."""
    folder = tmp_path_factory.mktemp("crowded")
    if request.param == "sqlite":
        yield _found(f"sqlite:///{folder / 'radii.db'}", folder)
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield _found(url, folder)


def _found(url: str, folder: Path) -> Found:
    database = things.migrated(url)
    crowd = crowded.fill(database, JOBS)
    roomy: dict[str, Any] = {"min_free": 0, "tenant_jobs": JOBS, "tenant_predictions": JOBS, "tenant_seconds": 1e12}
    with (
        statements.collected(database) as sent,
        serving(database, Settings(data=folder, database_url=url, **roomy)) as service,
    ):
        all_queries.all_of_it(service, crowd)
    plans = {"as it is": [(one, statements.plan_of(database, one)) for one in sent]}
    if database.engine.dialect.name == "sqlite":
        statements.analyzed(database)
        plans["analyzed"] = [(one, statements.plan_of(database, one)) for one in sent]
    kind = database.engine.dialect.name
    database.close()
    return Found(kind=kind, asked=sent.seen, plans=plans)


def _among(allowed: dict[str, str], one: Statement) -> bool:
    return any(name in allowed for name in one.by[:2])


def test_every_function_that_asks_the_database_was_run(found: Found) -> None:
    silent = {name for name in statements.asking() - found.asked if not name.startswith(COMMANDS)}
    assert silent == NOT_ASKED.keys(), f"run it in all_queries, or say why not: {silent ^ NOT_ASKED.keys()}"


def test_no_large_table_is_read_from_end_to_end(found: Found) -> None:
    allowed = WHOLE if found.kind == "sqlite" else MUCH  # of so many rows, Postgres makes a hash table
    read = [(one, plan) for one, plan in found if plan.scanned & LARGE and not _among(allowed, one)]
    assert not read, "\n".join(f"{one}\n    {plan.lines}" for one, plan in read)


def test_no_statement_does_more_than_a_little_work(found: Found) -> None:
    much = [(plan.work, one, plan) for one, plan in found if plan.work > MOST[found.kind]]
    unknown = [row for row in much if not _among(MUCH, row[1])]
    assert not unknown, "\n".join(f"{work:,} {one}\n    {plan.lines}" for work, one, plan in unknown)
    assert max(row[0] for row in much) <= MOST_OF_MUCH[found.kind], "linear in the number of jobs, and no more"


def test_no_sort_of_many_rows_stands_before_the_first_row_of_a_page(found: Found) -> None:
    pages = [(one, plan) for one, plan in found if one.by[:1] == ("service/api/resource_routes:page",)]
    assert len(pages) >= 9
    sorting = [one for one, plan in pages if any("TEMP B-TREE" in line or "Sort" in line for line in plan.lines)]
    assert not sorting, "\n".join(map(str, sorting))
