"""An answer about a job is made again when anything of the job has changed, and not before."""

import pytest
from sqlalchemy import event
from tests_support import things
from tests_support.over_http import Service

from radii.service.api.job_cache import KEPT, JobAnswers
from radii.service.errors import NotFound
from radii.worker.store import jobs


def test_an_answer_is_kept_until_something_changes(either: Service) -> None:
    answers, tenant_id = JobAnswers(either.database), either.tenant()
    job_id = either.submitted()
    first = answers.read(tenant_id, job_id)
    queries: list[str] = []
    event.listen(either.database.engine, "before_cursor_execute", lambda *given: queries.append(given[2]))
    assert answers.read(tenant_id, job_id) is first
    assert len([query for query in queries if query != "BEGIN"]) == 1
    either.work(job_id, most=1)
    running = answers.read(tenant_id, job_id)
    assert running != first and b'"done":1' in running.body
    either.work(job_id)
    with either.database.write() as session:
        jobs.cancel(session, job_id)
    assert answers.read(tenant_id, job_id).body != running.body


def test_a_cancel_shows_in_the_very_next_answer(service: Service) -> None:
    job_id = service.submitted()
    service.claim()
    assert service.client.get(f"/v1/jobs/{job_id}").json()["state"] == "running"
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert service.client.get(f"/v1/jobs/{job_id}").json()["state"] == "cancelling"


def test_a_kept_answer_is_its_tenants_alone_and_goes_with_the_job(service: Service) -> None:
    answers, job_id = JobAnswers(service.database), service.finished()
    answers.read(service.tenant(), job_id)
    with pytest.raises(NotFound):
        answers.read(things.tenant(service.database, "other"), job_id)
    service.client.delete(f"/v1/jobs/{job_id}")
    with pytest.raises(NotFound):
        answers.read(service.tenant(), job_id)


def test_so_many_answers_are_kept_and_no_more(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.service.api.job_cache.KEPT", 2)
    assert KEPT > 2
    answers, job_ids = JobAnswers(service.database), [service.submitted() for _ in range(3)]
    first = [answers.read(service.tenant(), job_id) for job_id in job_ids]
    again = [answers.read(service.tenant(), job_id) for job_id in reversed(job_ids)]
    assert [one is other for one, other in zip(first, reversed(again), strict=True)] == [False, True, True]
