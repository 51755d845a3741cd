"""A job that cannot find anything says so before it runs; one whose results are implausible says so where they are shown."""

from typing import Any

import pytest
from tests_support.over_http import Service, certificate

from worker.store import results, shards

FEW = "n = 9 noise samples cannot certify any input at alpha = 0.001"


def page(service: Service, job: str) -> str:
    return str(service.client.get(f"/jobs/{job}", headers={"Accept": "text/html"}).text)


def test_too_few_samples_are_named_at_submission_in_the_plan_and_on_the_page(service: Service) -> None:
    body = service.certify(n=9)
    (planned,) = service.client.post("/v1/jobs", json=body | {"validate_only": True}).json()["warnings"]
    assert planned.startswith(FEW) and planned.endswith("The least n that can certify is 10.")
    job = service.client.post("/v1/jobs", json=body).json()
    assert job["warnings"] == [planned] and job["state"] == "queued", "it is a warning, not a refusal"
    assert service.client.get(f"/v1/jobs/{job['id']}").json()["warnings"] == [planned]
    assert FEW in page(service, job["id"])
    assert all(one["warnings"] == [] for one in service.client.get("/v1/jobs").json()["items"]), "lists are short"


@pytest.mark.parametrize(
    "body",
    [
        {"n": 9, "guarantee": "dataset"},
        {"n": 9, "bound": "two_class"},
        {"n": 9, "sampling": "pilot"},
        {"n": 9, "sampling": "anytime"},
        {"n": 9, "sampling": "at_radii", "radii": [0.0]},
        {"kind": "predict", "n": 9},
    ],
)
def test_every_procedure_is_looked_at(service: Service, body: dict[str, Any]) -> None:
    asked = service.certify(**body) | {"validate_only": True}
    (said,) = service.client.post("/v1/jobs", json=asked).json()["warnings"]
    assert said.startswith("n = 9 noise samples cannot ")
    assert service.client.post("/v1/jobs", json=asked | {"n": 1000}).json()["warnings"] == []


def test_a_sound_job_has_no_warning(service: Service) -> None:
    job = service.finished()
    assert service.client.get(f"/v1/jobs/{job}").json()["warnings"] == []
    assert "Implausible" not in page(service, job)


def test_wrong_answers_throughout_are_named_on_the_page_and_in_the_report(service: Service) -> None:
    job = service.submitted(inputs={"count": 100})
    while (claim := service.claim()) is not None:
        with service.database.write() as session:
            for position in range(claim.first, claim.stop):
                row = certificate(7 * position + 6, claim.spec, 1000)  # of the next class
                results.store_certificates(session, job, [_at(row, position)])
            shards.finish(session, claim)
    (said,) = service.client.get(f"/v1/jobs/{job}").json()["warnings"]
    assert said.startswith("Implausible: accuracy is at chance level. 0 of ")
    assert said[:60] in page(service, job)
    report = service.client.get(f"/v1/jobs/{job}/report").json()
    assert any("at chance level" in note for note in report["results"]["notes"])


def _at(row: Any, index: int) -> Any:
    from dataclasses import replace

    return replace(row, index=index)
