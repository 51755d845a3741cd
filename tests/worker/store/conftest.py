"""A certify job of eight inputs, for tests of what is stored with it."""

import pytest
from tests_support import things

from radii.worker.store import jobs
from radii.worker.store.database import Database
from radii.worker.store.jobs import NewJob

SPEC = things.spec("certify", n0=10, n=100, sigma=0.25, alpha=0.001, seed=3)


@pytest.fixture
def job_id(database: Database) -> str:
    tenant_id = things.tenant(database)
    with database.write() as session:
        new = NewJob(
            tenant_id=tenant_id,
            spec=SPEC,
            shards=[(0, 8)],
            total=8,
            work_total=880,
            radii=(0.0, 0.25, 0.5),
        )
        return jobs.submit(session, new).id
