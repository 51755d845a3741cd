"""Room for requests for predictions: in the queue, in memory, on the disk, and how long they stay."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from sqlalchemy import update
from tests_support import pictures
from tests_support.asking import URL, ask, claimed, end
from tests_support.over_http import Service, serving

from radii.service.api.routes import predictions as route
from radii.service.jobs import predict_images
from radii.service.limits.concurrency import FairThreads, TenantLimit
from radii.worker.housekeeping import delete_expired_once
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Dataset, Job


def test_a_tenant_has_so_many_requests_in_work_and_no_more(tmp_path: Path, fresh: Database) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_predictions=2), require_key=True) as service:
        greedy, patient = service.key("greedy"), service.key("patient")
        checkpoint = service.checkpoint(tenant="greedy")
        answers = [ask(service, headers=greedy, checkpoint=checkpoint) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert answers[2].headers["Retry-After"] == "1" and "RADII_TENANT_PREDICTIONS" in answers[2].json()["detail"]
        assert ask(service, headers=patient, checkpoint=service.checkpoint(tenant="patient")).status_code == 202
        service.client.post(f"/v1/jobs/{answers[0].json()['job']}/cancel", headers=greedy)
        assert ask(service, headers=greedy, checkpoint=checkpoint).status_code == 202


def test_a_request_counts_against_the_tenants_jobs(tmp_path: Path, fresh: Database) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_jobs=1)) as service:
        assert [ask(service).status_code for _ in range(2)] == [202, 429]


def test_a_request_that_the_queue_has_no_room_for_is_refused_before_its_images_are_read(
    tmp_path: Path, fresh: Database
) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_predictions=1)) as service:
        checkpoint, key = service.checkpoint(), {"Idempotency-Key": "a"}
        job = ask(service, headers=key, checkpoint=checkpoint).json()["job"]
        assert ask(service, b"no image", checkpoint=checkpoint).status_code == 429
        assert ask(service, headers=key, checkpoint=checkpoint).json()["job"] == job, "it makes nothing new"


def test_a_tenant_has_so_many_requests_whose_images_are_read_and_no_more(service: Service) -> None:
    service.app.state.decoding = TenantLimit(0, "requests for predictions whose images are read"), FairThreads()
    answer = ask(service)
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "1"
    assert "whose images are read" in answer.json()["detail"]


def test_images_leave_free_on_the_disk_what_uploads_leave_free(tmp_path: Path, fresh: Database) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=2**60)) as service:
        answer = ask(service)
        assert answer.status_code == 507 and f"the {2**60} bytes that stay free" in answer.json()["detail"]
        assert not list((service.settings.blobs / "new").iterdir())


@pytest.mark.parametrize("limits", [{"tenant_kept_predictions": 2}, {"tenant_prediction_bytes": 1_000}])
def test_of_requests_that_have_ended_the_oldest_make_room(
    tmp_path: Path, fresh: Database, limits: dict[str, int]
) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, **limits)) as service:  # type: ignore[arg-type]
        checkpoint, asked, files = service.checkpoint(), [], []
        for number in range(4):
            asked.append(ask(service, pictures.png(pictures.RAMP // (number + 1)), checkpoint=checkpoint).json()["job"])
            with service.database.read() as session:
                row = session.get_one(Dataset, session.get_one(Job, asked[-1]).dataset_id)
            files.append(blob_files.path_of(service.settings.blobs, row.sha256 or ""))
            if number < 3:
                end(service, claimed(service))
        assert 333 < files[1].stat().st_size <= 500, "two of them have room"
        answers = [service.client.get(f"{URL}/{job}").status_code for job in asked]
        assert answers == [404, 200, 200, 202] and [file.exists() for file in files] == [False, True, True, True]


def test_what_a_request_finds_again_is_not_deleted_to_make_room_for_it(tmp_path: Path, fresh: Database) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, tenant_kept_predictions=1)) as service:
        checkpoint, keys = service.checkpoint(), [{"Idempotency-Key": key} for key in "aba"]
        jobs = []
        for key in keys[:2]:
            jobs.append(ask(service, headers=key, checkpoint=checkpoint).json()["job"])
            end(service, claimed(service))
        again = ask(service, headers=keys[2], checkpoint=checkpoint)
        assert (again.json()["job"], again.headers.get("Idempotency-Replayed")) == (jobs[0], "true")


def test_while_a_request_waits_nothing_holds_its_images(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[Any]] = []
    submit = predict_images.submit

    def watched(database: Database, settings: Settings, tenant_id: str, images: Any, key: str | None) -> Any:
        held.append(weakref.ref(images.pixels))
        return submit(database, settings, tenant_id, images, key)

    async def waiting(request: Request, *_: object) -> None:
        gc.collect()
        assert [one() for one in held] == [None] and not hasattr(request, "_body")
        held.clear()

    monkeypatch.setattr(predict_images, "submit", watched)
    monkeypatch.setattr(route, "_wait", waiting)
    assert ask(service, wait="1").status_code == 202 and not held


def test_old_requests_are_deleted_with_their_images(service: Service) -> None:
    job = ask(service).json()["job"]
    end(service, claimed(service))
    settings = service.settings.model_copy(update={"prediction_ttl": 100.0})
    delete_expired_once(service.database, settings)
    assert service.client.get(f"{URL}/{job}").status_code == 200
    with service.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(finished=Job.finished - 200))
    delete_expired_once(service.database, settings)
    assert service.client.get(f"{URL}/{job}").status_code == 404
    with service.database.read() as session:
        assert session.query(Dataset).filter(Dataset.state == "attached").count() == 0
