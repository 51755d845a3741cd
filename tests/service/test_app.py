"""The application as a whole: what it imports, how it is seen by operators, and its OpenAPI document."""

import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest
from tests_support.over_http import Service

CODE = """
import sys, service.app
print([name for name in ("torch", "torchvision", "matplotlib", "sklearn") if name in sys.modules])
import service.report_page, rs_core.models.table
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
    assert "radii_certificates_stored 3.0" in text
    assert "radii_shards_leased 1.0" in text
    assert "radii_oldest_ready_shard_seconds" in text
    assert 'radii_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 1.0' in text
    assert 'radii_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in text
    assert 'radii_http_request_seconds_count{method="POST",route="/v1/jobs"} 1.0' in text
    assert job_id not in text


def test_version_names_code_and_schema(service: Service) -> None:
    body = service.client.get("/version").json()
    assert body["version"]
    assert body["schema_revision"]


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = service.client.get("/openapi.json").json()
    return found


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
            "list_uploads",
            "get_upload",
            "delete_upload",
            "get_blob",
            "create_dataset",
            "list_datasets",
            "get_dataset",
            "delete_dataset",
            "create_checkpoint",
            "list_checkpoints",
            "get_checkpoint",
            "delete_checkpoint",
            "list_architectures",
            "list_methods",
            "list_presets",
            "get_preset",
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
            "get_report",
            "download_report",
            "get_plot",
            "get_health",
            "get_readiness",
            "get_metrics",
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
    assert set(schema["discriminator"]["mapping"]) == {"train", "certify", "predict", "soft_labels", "verify"}
