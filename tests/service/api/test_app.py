"""The application as a whole: what it imports, how it is seen by operators, and its OpenAPI document."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy import text, update
from tests_support import servers
from tests_support.over_http import Service, serving

from radii.service.api import openapi
from radii.worker.isolation import availability
from radii.worker.isolation.confine import MissingRestriction
from radii.worker.settings import Settings
from radii.worker.store import counters
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Shard, Worker

CODE = """
import sys, radii.service.api.app
print([name for name in ("torch", "torchvision", "matplotlib", "sklearn", "scipy.stats", "scipy.optimize") if name in sys.modules])
import radii.service.views.report_page, radii.rs_core.models.registry
print([name for name in ("torch", "torchvision") if name in sys.modules])
"""


def test_neither_the_service_nor_its_reports_import_torch() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n") == ["[]", "[]", ""]


def test_readiness_tells_what_is_missing(service: Service) -> None:
    assert service.client.get("/healthz").json() == {"status": "ok"}
    ready = service.client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"], ready.json()["workers"]) == (200, True, [])
    service.settings.blobs.mkdir(exist_ok=True)
    (service.settings.blobs / "new").rmdir()
    (service.settings.blobs / "new").write_text("in the way")
    missing = service.client.get("/readyz")
    assert missing.status_code == 503
    assert missing.json()["checks"]["database"]["ok"] is True
    assert missing.json()["checks"]["blobs"]["ok"] is False
    assert str(service.settings.data) not in missing.text


def test_metrics_tell_requests_and_the_queue(service: Service) -> None:
    job_id = service.submitted()
    service.work(job_id, most=3)
    service.client.get(f"/v1/jobs/{job_id}")
    service.client.get("/v1/jobs/nothing")
    text = service.client.get("/metrics").text
    assert 'radii_jobs{kind="certify",state="running"} 1.0' in text
    assert 'radii_results_total{kind="certify"} 3.0' in text
    assert "radii_shards_leased 1.0" in text
    assert "radii_oldest_ready_shard_seconds" in text
    assert 'radii_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 1.0' in text
    assert 'radii_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in text
    assert 'radii_http_request_seconds_count{method="POST",route="/v1/jobs"} 1.0' in text
    assert job_id not in text


def test_metrics_tell_of_losses_memory_and_work(service: Service) -> None:
    job_id = service.submitted()
    service.work(job_id, most=3)
    with service.database.write() as session:
        counters.add(session, counters.LEASES_EXPIRED, 2)
        counters.add(session, counters.LEASES_EXPIRED)
        session.add(Worker(id="w", host="gpu1", pid=7, info={"memory": {"resident": 5_000, "device": 9_000}}))
        session.execute(update(Shard).where(Shard.state == "leased").values(lease_until=1.0))
    text = service.client.get("/metrics").text
    assert "radii_leases_expired_total 3.0" in text
    assert "radii_writes_refused_total 0.0" in text
    assert "radii_leases_overdue 1.0" in text
    assert 'radii_worker_memory_bytes{kind="device",worker="gpu1:7"} 9000.0' in text
    assert f'radii_work_total{{kind="certify"}} {3 * 1100.0}' in text
    assert 'radii_device_seconds_total{kind="certify"} 1.5' in text
    assert "radii_database_up 1.0" in text


def test_what_was_done_stays_counted_when_its_job_is_deleted(service: Service) -> None:
    job_id = service.finished()

    def done() -> list[str]:
        lines = service.client.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith(("radii_results_", "radii_work_", "radii_device_"))]

    before = done()
    assert 'radii_results_total{kind="certify"} 20.0' in before
    assert service.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert done() == before


def test_a_worker_that_has_no_child_has_no_memory_to_tell_of(service: Service) -> None:
    with service.database.write() as session:
        session.add(Worker(id="w", host="gpu1", pid=7, info={}))
        session.add(Worker(id="x", host="gpu2", pid=8, info={"memory": None}))
    text = service.client.get("/metrics").text
    assert "radii_workers 2.0" in text and "radii_worker_memory_bytes{" not in text


def test_metrics_are_told_while_the_database_is_away(service: Service) -> None:
    service.client.get("/v1/jobs")
    with service.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE shard RENAME TO gone"))
    answer = service.client.get("/metrics")
    assert answer.status_code == 200
    assert "radii_database_up 0.0" in answer.text
    assert "radii_http_requests_total" in answer.text


def test_readiness_tells_of_workers_and_broker_and_does_not_depend_on_them(fresh: Database, tmp_path: Path) -> None:
    nobody = f"redis://127.0.0.1:{servers.free_port()}/0"
    with serving(fresh, Settings(data=tmp_path, min_free=0, broker_url=nobody)) as service:
        body = service.client.get("/readyz").json()
        assert body["ready"] is True
        assert {name: check["ok"] for name, check in body["checks"].items() if not check["needed"]} == {
            "isolation": not availability.missing(65534),
            "room": True,
            "workers": False,
            "broker": False,
        }
        assert "jobs wait" in body["checks"]["workers"]["detail"]
        with fresh.write() as session:
            session.add(Worker(id="w", host="gpu1", pid=7, info={"device_type": "cuda"}))
        body = service.client.get("/readyz").json()
        assert body["checks"]["workers"]["ok"] is True
        assert [worker["device_type"] for worker in body["workers"]] == ["cuda"]


def test_readiness_names_each_restriction_that_is_missing_and_does_not_depend_on_it(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = [
        MissingRestriction(restriction=name, reason="", consequence="") for name in ("Landlock", "network namespace")
    ]
    with serving(fresh, Settings(data=tmp_path, min_free=0)) as service:
        monkeypatch.setattr(availability, "missing", lambda uid: lacking)
        body = service.client.get("/readyz").json()
        assert (body["ready"], body["checks"]["isolation"]["ok"]) == (True, False)
        told = "files from outside are opened without: Landlock, network namespace"
        assert body["checks"]["isolation"]["detail"] == told
        monkeypatch.setattr(availability, "missing", lambda uid: ())
        assert service.client.get("/readyz").json()["checks"]["isolation"]["ok"] is True


def test_readiness_tells_that_uploads_find_no_room(fresh: Database, tmp_path: Path) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=2**60)) as service:
        assert service.client.put("/v1/uploads/a", content=b"a").status_code == 507
        body = service.client.get("/readyz").json()
        assert (body["ready"], body["checks"]["room"]["ok"]) == (True, False)
        assert "takes no files" in body["checks"]["room"]["detail"] and "507" in body["checks"]["room"]["detail"]


@pytest.mark.parametrize(("interval", "seen"), [(0.5, 45.0), (10.0, 45.0), (60.0, 270.0)])
def test_workers_are_there_for_some_sweeps_after_they_were_seen(
    fresh: Database, tmp_path: Path, interval: float, seen: float
) -> None:
    with serving(fresh, Settings(data=tmp_path, min_free=0, housekeeping_seconds=interval)) as service:
        for ago, there in ((seen - 10.0, True), (seen + 10.0, False)):
            with fresh.write() as session:
                session.merge(Worker(id="w", host="gpu1", pid=7, info={}, seen=clock() - ago))
            checks = service.client.get("/readyz").json()["checks"]
            assert checks["workers"]["ok"] is there and f"in the last {seen:.0f} s" in checks["workers"]["detail"]
            assert f"radii_workers {there:.1f}" in service.client.get("/metrics").text


def test_readiness_tells_of_workers_of_another_version(service: Service) -> None:
    with service.database.write() as session:
        session.add(Worker(id="w", host="gpu1", pid=7, info={"schema": "0003"}))
    body = service.client.get("/readyz").json()
    assert body["ready"] is True and body["workers"][0]["schema_revision"] == "0003"
    assert body["checks"]["workers"]["ok"] is False
    assert "1 of 1 seen in the last 45 s work with another schema (0003)" in body["checks"]["workers"]["detail"]


def test_version_names_code_and_schema(service: Service) -> None:
    body = service.client.get("/version").json()
    assert body["version"]
    assert body["schema_revision"]


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = service.client.get("/openapi.json").json()
    return found


def test_the_document_is_made_once_and_not_by_the_thread_that_answers_everybody(
    fresh: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make = [], openapi.get_openapi

    def noted(**given: Any) -> dict[str, Any]:
        made.append(threading.current_thread().name)
        return make(**given)

    monkeypatch.setattr(openapi, "get_openapi", noted)
    with serving(fresh, Settings(data=tmp_path, min_free=0)) as service:
        answers = {service.client.get("/openapi.json").content for _ in range(3)}
    assert len(answers) == 1 and len(made) == 1
    assert made[0].startswith("AnyIO worker thread")


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every operation with its name."""
    found = [operation for path in document["paths"].values() for operation in path.values()]
    return [(operation["operationId"], operation) for operation in found]


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that stands alone."""
    return {**schema, "components": document["components"]}


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    names = [name for name, _ in operations(document)]
    assert sorted(names) == sorted(
        [
            "put_upload",
            "begin_upload",
            "get_part_upload",
            "put_part",
            "complete_upload",
            "abort_upload",
            "list_uploads",
            "get_upload",
            "delete_upload",
            "get_blob",
            "create_dataset",
            "list_datasets",
            "get_dataset",
            "list_dataset_class_names",
            "delete_dataset",
            "create_checkpoint",
            "list_checkpoints",
            "get_checkpoint",
            "list_checkpoint_class_names",
            "delete_checkpoint",
            "list_architectures",
            "list_methods",
            "list_presets",
            "get_preset",
            "list_published",
            "get_published",
            "create_job",
            "list_jobs",
            "get_job",
            "cancel_job",
            "delete_job",
            "list_epochs",
            "stream_events",
            "list_certificates",
            "download_certificates",
            "list_predictions",
            "download_predictions",
            "list_evaluations",
            "download_evaluations",
            "get_report",
            "download_report",
            "create_predictions",
            "get_predictions",
            "get_plot",
            "compare",
            "download_comparison",
            "get_comparison_plot",
            "get_health",
            "get_readiness",
            "get_metrics",
            "get_usage",
            "get_version",
        ]
    )


def test_every_operation_has_an_example_that_its_schema_accepts(document: dict[str, Any]) -> None:
    seen = 0
    for name, operation in operations(document):
        parts = [("request", operation.get("requestBody", {}))]
        parts += [(status, answer) for status, answer in operation["responses"].items() if status < "300"]
        for part, value in parts:
            for media_type, content in value.get("content", {}).items():
                examples = [example["value"] for example in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                assert examples or (part == "request" and media_type != "application/json"), (name, part, media_type)
                for example in examples:
                    schema = resolved(document, content.get("schema", {}))
                    errors = list(jsonschema_rs.validator_for(schema).iter_errors(example))
                    assert not errors, (name, part, errors[:2])
                    seen += 1
    assert seen > 40


def test_errors_are_documented_as_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "health" in operation["tags"]:
            continue
        assert {"401", "422", "503"} <= operation["responses"].keys(), name
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"], (name, status)


def test_a_jobs_body_is_documented_as_a_choice_by_kind(document: dict[str, Any]) -> None:
    schema = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["discriminator"]["propertyName"] == "kind"
    assert set(schema["discriminator"]["mapping"]) == {
        *("train", "certify", "predict", "soft_labels", "verify", "evaluate")
    }
