"""Certificates are stored once, and the summary is the sum of the rows, on SQLite and on Postgres."""

import dataclasses
from pathlib import Path

import pytest
from tests_support import things

from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.certification import summarize
from radii.worker.kinds import registry
from radii.worker.kinds.certify import CERTIFY
from radii.worker.store import certificate_rows, result_rows, results, shards
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import CertificateRow

SPEC = things.spec("certify", n0=10, n=100, sigma=0.25, alpha=0.001, seed=3)


def _certificate(index: int, **changes: object) -> Certificate:
    base = Certificate(
        index=index,
        label=1,
        prediction=1,
        radius=0.125 * index,
        p_lower=0.9,
        counts0=(1, 9),
        counts=(5, 95),
        n0=10,
        n=100,
        sigma=0.25,
        alpha=0.001,
        seed=3,
        seconds=0.5,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def _store(database: Database, job_id: str, *certificates: Certificate) -> int:
    with database.write() as session:
        return certificate_rows.store(session, job_id, certificates)


def test_certificates_come_back_as_they_went_in_by_index(database: Database, job_id: str) -> None:
    stored = [_certificate(index) for index in (4, 0, 2)]
    _store(database, job_id, *stored)
    with database.read() as session:
        assert list(certificate_rows.read(session, job_id)) == sorted(stored, key=lambda c: c.index)
        assert [c.index for c in certificate_rows.read(session, job_id, after=0, limit=1)] == [2]


def test_a_certificate_that_comes_twice_is_counted_once(database: Database, job_id: str) -> None:
    assert _store(database, job_id, _certificate(1), _certificate(2)) == 2
    assert _store(database, job_id, _certificate(2), _certificate(3)) == 1
    summary = things.summary_of(database, job_id)
    assert (summary.done, summary.work_done, summary.correct) == (3, 330, 3)


def test_the_summary_equals_the_report_of_the_rows(database: Database, job_id: str) -> None:
    rows = [
        _certificate(0),
        _certificate(1, prediction=0),
        _certificate(2, prediction=ABSTAIN, radius=0.0),
        _certificate(3, counts=(0, 100)),
        _certificate(4),
    ]
    for row in rows:
        _store(database, job_id, row)
    with database.write() as session:
        registry.store_failure(session, job_id, 5, 1, "It ended three times.")
    with database.read() as session:
        report = summarize(list(certificate_rows.read(session, job_id)), radii=(0.0, 0.25, 0.5))
    summary = things.summary_of(database, job_id)
    assert summary.radius_sum / summary.done == pytest.approx(report.acr, rel=1e-12)
    assert summary.correct_at == [point.count for point in report.certified_accuracy]
    assert (
        (summary.abstained, summary.at_cap, summary.errors)
        == (report.abstained, report.at_cap, report.errors)
        == (2, 1, 1)
    )


@pytest.fixture
def anytime_id(database: Database, tmp_path: Path) -> str:
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, tmp_path, tenant_id),
        "checkpoint": things.checkpoint_of(database, tmp_path, tenant_id),
        "inputs": {"count": 3},
        "sampling": "anytime",
        "n0": 10,
        "n": 400,
        "seed": 3,
    }
    return things.submit(database, tenant_id, body)


def _growing(index: int, n: int, radius: float, **changes: object) -> Certificate:
    counts = (n // 20, n - n // 20)
    return _certificate(index, sampling="anytime", n=n, counts=counts, radius=radius, **changes)


def test_a_certificate_of_more_samples_takes_the_place_of_one_of_fewer(database: Database, anytime_id: str) -> None:
    first = [_growing(0, 100, 0.1), _growing(1, 100, 0.3), _growing(2, 100, 0.0, prediction=ABSTAIN)]
    later = [_growing(0, 400, 0.5), _growing(1, 200, 0.2), _growing(2, 400, 0.6, prediction=0)]
    assert _store(database, anytime_id, *first) == 3
    assert things.summary_of(database, anytime_id).done == 0, "none of them is final"
    assert _store(database, anytime_id, *later) == 3
    assert _store(database, anytime_id, *first) == 0, "what knows less is late"
    with database.read() as session:
        rows = list(certificate_rows.read(session, anytime_id))
    summary = things.summary_of(database, anytime_id)
    report = summarize(rows, radii=summary.radii, total=3)
    assert rows == later
    assert (summary.done, summary.work_done) == (2, 410 + 210 + 410)
    assert summary.radius_sum / 3 == pytest.approx(report.acr, rel=1e-12)
    assert summary.correct_at == [point.count for point in report.certified_accuracy]
    assert summary.correct_at[0] == 2
    assert (summary.correct, summary.abstained) == (2, 0)


def test_a_turn_goes_on_from_the_votes_of_the_one_before(database: Database, anytime_id: str) -> None:
    _store(database, anytime_id, _growing(0, 100, 0.1), _growing(1, 200, 0.3), _growing(2, 100, 0.1))
    votes = {"0": {"drawn": 10, "counts": [1, 9]}, "1": {"drawn": 150, "counts": [0, 150]}}
    with database.write() as session:
        results.store_progress(session, anytime_id, 2, votes, 0.7)
        assert results.progress_of(session, anytime_id, [2])[0].drawn == 50, "beyond what its certificate counts"
        claim = shards.claim(session, lease=60.0, device_type="cpu", execution={}, provenance={})
        assert claim is not None
        whole = dataclasses.replace(claim, first=0, stop=3, turn=1)
        done, begun = CERTIFY.standing(session, whole)
        assert (done, [part["index"] for part in begun]) == ({1}, [0, 2])
        assert begun[0]["votes"] == {"0": {"drawn": 10, "counts": [1, 9]}, "1": {"drawn": 100, "counts": [5, 95]}}
        assert begun[1]["votes"] == votes
        assert CERTIFY.standing(session, dataclasses.replace(whole, turn=0))[0] == {0, 1, 2}


def test_done_inputs_are_found_within_a_range(database: Database, job_id: str) -> None:
    _store(database, job_id, *[_certificate(index) for index in (0, 3, 6, 9)])
    with database.read() as session:
        assert result_rows.done_among(session, CertificateRow, job_id, range(3, 9, 3)) == {3, 6}
        assert result_rows.done_among(session, CertificateRow, job_id, range(0)) == set()
