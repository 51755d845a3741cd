"""Results as arrays: the same rows as the certificates, without their votes."""

from pathlib import Path

import numpy as np
import pytest
from tests_support import things
from tests_support.over_http import certificate

from radii.rs_core.results.aggregate import columns
from radii.worker.kinds import registry
from radii.worker.store import certificate_rows, result_arrays
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Job


@pytest.fixture
def job_id(database: Database, tmp_path: Path) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, tmp_path, tenant_id),
        "checkpoint": things.checkpoint_of(database, tmp_path, tenant_id),
        "inputs": {"count": 100},
        "n": 1_000,
    }
    return things.submit(database, tenant_id, body)


def test_they_are_those_of_the_certificates(database: Database, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_arrays, "AT_ONCE", 7)  # several parts, and one that is not full
    with database.write() as session:
        spec = session.get_one(Job, job_id).resolved
        rows = [certificate(index, spec) for index in range(50, -1, -1)]
        certificate_rows.store(session, job_id, rows)
        registry.store_failure(session, job_id, 60, 3, "an error")
    with database.read() as session:
        found = result_arrays.columns(session, job_id)
        wanted = columns(list(certificate_rows.read(session, job_id)))
    for name in ("index", "label", "prediction", "radius", "failed"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert np.isnan(found.p_lower).all() and (found.full == -1).all()
    assert found.correct.tolist() == wanted.correct.tolist()


def test_of_a_job_without_results_there_are_none(database: Database, job_id: str) -> None:
    with database.read() as session:
        assert len(result_arrays.columns(session, job_id).index) == 0


def test_a_row_takes_some_forty_bytes(database: Database, job_id: str) -> None:
    with database.write() as session:
        spec = session.get_one(Job, job_id).resolved
        certificate_rows.store(session, job_id, [certificate(index, spec) for index in range(20)])
    with database.read() as session:
        found = result_arrays.columns(session, job_id)
    owned = [array for array in vars(found).values() if array.strides != (0,)]
    assert sum(array.nbytes for array in owned) == 20 * (4 * 8 + 1)
