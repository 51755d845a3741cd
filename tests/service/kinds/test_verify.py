"""Audits as jobs of the service: what may be audited, and what a plan says."""

import dataclasses

import pytest
from tests_support.over_http import Service, certificate, serving

from radii.worker import audits
from radii.worker.store import certificate_rows
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job


@pytest.fixture(autouse=True)
def labels(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Those of the made-up data set, whose file holds none."""
    found = [index % 10 for index in range(200)]
    monkeypatch.setattr(audits, "read_labels", lambda path: found)
    return found


def _audit(service: Service, job_id: str, **more: object) -> tuple[int, dict[str, object]]:
    answer = service.client.post("/v1/jobs", json={"kind": "verify", "job": job_id, **more})
    return answer.status_code, answer.json()


def test_an_audit_says_which_inputs_it_draws_again(service: Service) -> None:
    job_id = service.finished()
    status, audit = _audit(service, job_id, inputs=5, seed=7)
    assert (status, audit["kind"]) == (202, "verify")
    again = _audit(service, job_id, inputs=5, seed=7, validate_only=True)[1]
    other = _audit(service, job_id, inputs=5, seed=8, validate_only=True)[1]
    assert audit["spec"]["chosen"] == again["spec"]["chosen"] != other["spec"]["chosen"]  # type: ignore[index]
    assert len(audit["spec"]["chosen"]) == again["inputs"] == 5  # type: ignore[index]
    assert again["work"] == 5 * 1_100
    secret = [_audit(service, job_id, validate_only=True)[1]["spec"]["seed"] for _ in "ab"]  # type: ignore[index]
    assert secret[0] != secret[1], "nobody can know it beforehand"


def test_what_cannot_be_audited_is_refused(service: Service) -> None:
    finished = service.finished()
    for job_id, words in (
        ("job_" + "0" * 28, "the identifier of a certify job of yours"),
        (_audit(service, finished)[1]["id"], "expected a certify job"),
        (service.submitted(), "which has none yet"),
    ):
        status, problem = _audit(service, str(job_id))
        assert status == 422
        assert words in str(problem["detail"])
    assert _audit(service, finished, inputs=0)[0] == 422


def test_a_job_whose_model_was_deleted_cannot_be_drawn_again(service: Service) -> None:
    job_id = service.finished()
    checkpoint = service.client.get(f"/v1/jobs/{job_id}").json()["checkpoint"]
    service.client.delete(f"/v1/checkpoints/{checkpoint}")
    status, problem = _audit(service, job_id)
    assert (status, "whose model and data are still there" in str(problem["detail"])) == (422, True)


def test_sums_that_are_not_those_of_the_rows_are_told(service: Service) -> None:
    job_id = service.finished()
    audit = service.job(str(_audit(service, job_id, inputs=2)[1]["id"]))
    assert audits.recomputed(service.database, service.settings.blobs, audit, lambda: None)["wrong"] == 0
    with service.database.write() as session:
        session.get_one(JobSummary, job_id).radius_sum += 0.01
    found = audits.recomputed(service.database, service.settings.blobs, audit, lambda: None)
    assert (found["looked_at"], found["wrong"], found["faults"][0]["index"]) == (20, 1, None)
    assert "the sums that its reports are made of" in found["faults"][0]["what"]


def test_labels_that_are_not_those_of_the_data_set_are_told(service: Service, labels: list[int]) -> None:
    audit = service.job(str(_audit(service, service.finished(), inputs=2)[1]["id"]))
    labels[3] = 9
    found = audits.recomputed(service.database, service.settings.blobs, audit, lambda: None)
    assert [(fault["index"], fault["what"]) for fault in found["faults"]] == [
        (3, "its label is 3, the data set's is 9")
    ]


def test_an_audit_of_more_than_a_job_may_bring_is_refused(service: Service) -> None:
    job_id = service.finished()
    few = service.settings.model_copy(update={"max_job_seconds": 1e-6})
    with serving(service.database, few) as strict:
        status, problem = _audit(strict, job_id, inputs=20)
    assert (status, "expected a job of at most" in str(problem["detail"])) == (422, True)


def test_the_outcome_tells_a_changed_row_and_counts_that_are_not_drawn_again(service: Service) -> None:
    """As a worker would: all rows are computed again, the chosen ones compared with what the child has drawn."""
    job_id = service.submitted()
    spec = service.job(job_id).resolved
    good, bad = certificate(0, spec), dataclasses.replace(certificate(1, spec), radius=9.0)
    with service.database.write() as session:
        certificate_rows.store(session, job_id, [good, bad])
    audit_id = str(_audit(service, job_id, inputs=2)[1]["id"])
    audit = service.job(audit_id)
    assert audit.audit.execution == {}
    beats: list[int] = []
    first = audits.recomputed(service.database, service.settings.blobs, audit, lambda: beats.append(1))
    assert (first["looked_at"], first["wrong"], len(beats)) == (2, 1, 1)
    assert first["faults"][0]["index"] == 1
    counts = list(good.counts)
    counts[0] -= 500
    counts[1] += 500
    with service.database.write() as session:
        rows = audits.evidence(session, session.get_one(Job, audit_id))
        assert [(row["index"], row["n0"], row["n"]) for row in rows] == [(0, 100, 1000), (1, 100, 1000)]
        redrawn = [dataclasses.replace(good, counts=tuple(counts)), certificate(1, spec)]
        certificate_rows.store(session, audit_id, redrawn)
        outcome = audits.outcome(session, session.get_one(Job, audit_id), first)
    assert not outcome["sound"]
    assert outcome["redrawn"]["wrong"] == 1
    assert outcome["redrawn"]["faults"][0]["index"] == 0
