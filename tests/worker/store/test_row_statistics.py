"""The statistics of a large job is that of its rows, whatever way they came."""

import dataclasses
from pathlib import Path

import pytest
from tests_support import things
from tests_support.over_http import certificate

from radii.rs_core.results.row_statistics import STEPS, statistics_of
from radii.rs_core.specs.fields import Sampling
from radii.worker.store import certificate_rows, row_statistics
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job


def _job(database: Database, root: Path, sampling: Sampling) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, root, tenant_id),
        "checkpoint": things.checkpoint_of(database, root, tenant_id),
        "inputs": {"count": 200},
        "sampling": sampling,
        "n": 1_000,
    }
    return things.submit(database, tenant_id, body)


@pytest.mark.parametrize("sampling", ["fixed", "anytime"])
def test_it_is_that_of_the_rows_after_every_commit(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    monkeypatch.setattr(row_statistics, "LARGE", 100)
    job_id = _job(database, tmp_path, sampling)
    with database.read() as session:
        spec, radii = session.get_one(Job, job_id).resolved, session.get_one(JobSummary, job_id).radii
    sizes = (100, 400, 1_000) if sampling == "anytime" else (1_000,)
    for n in sizes:
        for first in range(0, 150, 50):
            rows = [certificate(index, spec, n) for index in range(first, first + 60)]  # ten come twice
            with database.write() as session:
                certificate_rows.store(session, job_id, rows)
            with database.read() as session:
                kept = row_statistics.kept(session, job_id)
                stored = list(certificate_rows.read(session, job_id))
            assert kept is not None
            wanted = statistics_of(stored, radii, cap=kept.step * STEPS, steps=STEPS)
            assert dataclasses.replace(kept.sums, radius_sum=0) == dataclasses.replace(wanted.sums, radius_sum=0)
            assert kept.sums.radius_sum == pytest.approx(wanted.sums.radius_sum)
            assert kept.correct_radii.counts.tolist() == wanted.correct_radii.counts.tolist()
            assert kept.correct_radii.values == pytest.approx(wanted.correct_radii.values)
            assert {label: row.inputs for label, row in kept.classes.items()} == {
                label: row.inputs for label, row in wanted.classes.items()
            }
            assert (kept.drawn, kept.drawn_rows) == (wanted.drawn, wanted.drawn_rows)


def test_of_a_small_job_none_is_kept(database: Database, tmp_path: Path) -> None:
    job_id = _job(database, tmp_path, "fixed")
    with database.read() as session:
        spec = session.get_one(Job, job_id).resolved
    with database.write() as session:
        certificate_rows.store(session, job_id, [certificate(0, spec)])
    with database.read() as session:
        assert row_statistics.kept(session, job_id) is None
