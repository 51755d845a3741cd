"""A job that cannot find anything says so before it runs; one whose results are implausible says so where they are shown."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests_support.over_http import Service, certificate
from tests_support.over_http import prediction as _prediction

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.worker.store import certificate_rows, evaluation_rows, prediction_rows, shards

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
                certificate_rows.store(session, job, [_at(row, position)])
            shards.finish(session, claim)
    (said,) = service.client.get(f"/v1/jobs/{job}").json()["warnings"]
    assert said.startswith("Implausible: accuracy is at chance level. 0 of ")
    assert said[:60] in page(service, job)
    report = service.client.get(f"/v1/jobs/{job}/report").json()
    assert any("at chance level" in note for note in report["results"]["notes"])


def _at(row: Any, index: int) -> Any:
    return replace(row, index=index)


def worked(service: Service, job: str, row: Callable[[int, dict[str, Any]], Any], most: int | None = None) -> list[str]:
    """The warnings of a job whose inputs got ``row(index, spec)``, ``most`` of them."""
    claim = service.claim()
    while claim is not None:
        with service.database.write() as session:
            rows = [row(index, claim.spec) for index in range(claim.first, min(claim.stop, most or claim.stop))]
            if claim.spec.kind == "certify":
                certificate_rows.store(session, job, rows)
            elif claim.spec.kind == "evaluate":
                evaluation_rows.store(session, job, rows)
            else:
                prediction_rows.store(session, job, rows)
            if most is None:
                shards.finish(session, claim)
        claim = service.claim() if most is None else None
    found: list[str] = service.client.get(f"/v1/jobs/{job}").json()["warnings"]
    return found


def test_the_maximum_radius_for_all_inputs_is_named(service: Service) -> None:
    job = service.submitted(inputs={"count": 100})
    (said,) = worked(service, job, lambda index, spec: _at(certificate(0, spec), index))
    assert said.startswith("All 100 certified inputs have the maximum radius")
    assert said[:60] in page(service, job)


def test_inputs_that_still_grow_are_not_judged(service: Service) -> None:
    """Of 100 inputs 20 have all of their samples, and the others abstain until now."""
    job = service.submitted(inputs={"count": 100}, sampling="anytime")

    def row(index: int, spec: dict[str, Any]) -> Any:
        return certificate(index, spec) if index < 20 else _at(certificate(4, spec, 200), index)

    assert worked(service, job, row, most=100) == []


def test_predictions_and_soft_labels_at_chance_are_named(service: Service) -> None:
    for kind in ("predict", "soft_labels"):
        body = {
            "kind": kind,
            "dataset": service.dataset(),
            "checkpoint": service.checkpoint(),
            "inputs": {"count": 100},
        }
        job = service.client.post("/v1/jobs", json=body | {"n": 100}).json()["id"]
        (said,) = worked(service, job, lambda index, spec: replace(_prediction(index, spec), prediction=3))
        assert "accuracy is at chance level. 10 of 100 answers" in said, kind


def test_an_evaluation_at_chance_is_named_while_it_is_attacked_results_are_not(service: Service) -> None:
    body = {
        "kind": "evaluate",
        "dataset": service.dataset(),
        "checkpoint": service.checkpoint(),
        "inputs": {"count": 100},
    }

    def warned(answer: Callable[[int], int], *epsilons: float) -> list[str]:
        asked = {"name": "attack", "epsilons": epsilons, "steps": 2, "m": 1, "n": 100}
        job = service.client.post("/v1/jobs", json=body | {"evaluation": asked}).json()["id"]

        def row(index: int, spec: dict[str, Any]) -> EvaluationRecord:
            at = [PointResult(point=e, distance=e, prediction=answer(index), counts=(100, *[0] * 9)) for e in epsilons]
            return EvaluationRecord(index=index, label=index % 10, found=tuple(at), seed=0)

        return worked(service, job, row)

    (said,) = warned(lambda index: 3, 0.0, 1.0)
    assert "accuracy is at chance level. 10 of 100 inputs" in said
    assert warned(lambda index: 3, 1.0) == [], "under an attack that is a result"
    assert warned(lambda index: index % 10, 0.0, 1.0) == []
