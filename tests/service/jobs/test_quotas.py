"""How much a tenant may have in the queue, in which order it is worked on, and until when."""

import threading
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests_support import things
from tests_support.over_http import Service, serving

from radii.service.errors import QuotaExceeded
from radii.service.jobs import quotas
from radii.worker.settings import Settings
from radii.worker.store import jobs
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job


def test_a_tenant_has_at_most_so_many_jobs_that_have_not_ended(fresh: Database, tmp_path: Path) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_jobs=2)) as service:
        body = service.certify()
        first = service.client.post("/v1/jobs", json=body).json()["id"]
        assert service.client.post("/v1/jobs", json=body).status_code == 202
        refused = service.client.post("/v1/jobs", json=body)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "expected at most 2 jobs of yours" in refused.json()["detail"]
        assert "got 2 and 1 more" in refused.json()["detail"]
        converting = service.client.post("/v1/datasets", json={"name": "digits", "builtin": "digits"})
        assert converting.status_code == 429, "a conversion is a job, too"
        service.client.post(f"/v1/jobs/{first}/cancel")
        assert service.client.post("/v1/jobs", json=body).status_code == 202


def test_a_tenant_has_at_most_so_much_estimated_work_before_it(fresh: Database, tmp_path: Path) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0)) as service:
        plan = service.client.post("/v1/jobs", json=service.certify(validate_only=True)).json()
    seconds = plan["estimated_seconds"]
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_seconds=2.5 * seconds)) as service:
        body = service.certify()
        made = [service.client.post("/v1/jobs", json=body) for _ in range(3)]
        assert [answer.status_code for answer in made] == [202, 202, 429]
        assert "estimated work" in made[-1].json()["detail"]
        with service.database.write() as session:
            summary = session.get_one(JobSummary, made[0].json()["id"])
            summary.work_done = summary.work_total // 2 + 1
        assert service.client.post("/v1/jobs", json=body).status_code == 202, "what is done counts no more"


def test_what_would_never_fit_into_the_queue_is_refused_for_good(fresh: Database, tmp_path: Path) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_seconds=0.001)) as service:
        for validate_only in (False, True):
            refused = service.client.post("/v1/jobs", json=service.certify(validate_only=validate_only))
            assert refused.status_code == 422 and "Retry-After" not in refused.headers
            assert refused.json()["type"] == "urn:radii:problem:beyond-quota"
            assert "RADII_TENANT_SECONDS" in refused.json()["detail"] and "in one request" in refused.json()["detail"]
        assert service.client.get("/v1/jobs").json()["items"] == []


def test_a_job_that_needs_more_jobs_than_a_tenant_may_have_is_refused_for_good(fresh: Database, tmp_path: Path) -> None:
    body = {"kind": "train", "architecture": "digits_cnn", "sigma": 0.5, "epochs": 1}
    body |= {"method": {"name": "cat_rs", "soft_label_n": 10}}
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_jobs=2)) as service:
        refused = service.client.post("/v1/jobs", json=body | {"dataset": service.dataset()})
        assert refused.status_code == 422
        assert "at most 2 jobs of yours" in refused.json()["detail"] and "got 3 at once" in refused.json()["detail"]


def test_submissions_at_once_do_not_get_past_the_quota_together(either: Service) -> None:
    tenant_id = things.tenant(either.database)
    settings = either.settings.model_copy(update={"tenant_jobs": 3})

    def submit() -> None:
        try:
            with either.database.write() as session:
                quotas.require(session, tenant_id, settings)
                new = jobs.NewJob(tenant_id=tenant_id, spec=things.spec("certify"), shards=[], total=1, work_total=1)
                jobs.submit(session, new)
        except QuotaExceeded:
            pass

    threads = [threading.Thread(target=submit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with either.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 3


def test_of_ones_own_jobs_the_one_of_the_highest_priority_is_worked_on_first(service: Service) -> None:
    body = service.certify()
    ids = [service.client.post("/v1/jobs", json=body | {"priority": priority}).json()["id"] for priority in (0, -5, 7)]
    begun = []
    while (claim := service.claim()) is not None:
        begun += [claim.job_id] if claim.job_id not in begun else []
    assert begun == [ids[2], ids[0], ids[1]]
    assert service.client.get(f"/v1/jobs/{ids[2]}").json()["priority"] == 7


def test_a_job_says_when_its_deadline_is(either: Service) -> None:
    job = either.client.post("/v1/jobs", json=either.certify(deadline_seconds=90)).json()
    deadline, created = (datetime.fromisoformat(job[name]) for name in ("deadline", "created"))
    assert (deadline - created).total_seconds() == pytest.approx(90, abs=5)
    assert "deadline_seconds" not in job["spec"]


def test_jobs_that_another_one_needs_have_its_priority_and_stop_when_its_deadline_has_passed(service: Service) -> None:
    body = {"kind": "train", "dataset": service.dataset(), "architecture": "digits_cnn", "sigma": 0.5, "epochs": 1}
    body |= {"method": {"name": "cat_rs", "soft_label_n": 10}, "priority": 3, "deadline_seconds": 60}
    job = service.client.post("/v1/jobs", json=body).json()
    needed = service.client.get(f"/v1/jobs/{job['needs']['id']}").json()
    assert (needed["priority"], needed["deadline"]) == (3, None)
    with service.database.write() as session:
        session.get_one(Job, job["id"]).deadline = 1.0
        session.flush()
        jobs.expire(session)
    states = {found["id"]: found["state"] for found in service.client.get("/v1/jobs").json()["items"]}
    assert states.pop(job["id"]) == "expired"
    assert set(states.values()) == {"cancelled"}


@pytest.mark.parametrize("wish", [{"priority": 101}, {"priority": 0.5}, {"deadline_seconds": 0}, {"deadline": 5}])
def test_wishes_out_of_bounds_are_refused(service: Service, wish: dict[str, object]) -> None:
    answer = service.client.post("/v1/jobs", json=service.certify(**wish))
    assert answer.status_code == 422
    assert next(iter(wish)) in answer.json()["detail"]
