"""Evaluations over HTTP: what may be asked, the rows, the report, and certificates held against an attack."""

import csv
import io
import json
from typing import Any

import pytest
from tests_support.cli import printed, refused
from tests_support.over_http import Service

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.worker.store import evaluation_rows, jobs

ATTACK = {"name": "attack", "epsilons": [0.0, 0.25], "steps": 4, "m": 2, "n": 100}


def asked(service: Service, certified: str | None = None, **fields: Any) -> dict[str, Any]:
    """A body about the model and data of a certify job, or about others."""
    if certified is None:
        things = {"dataset": service.dataset(), "checkpoint": service.checkpoint()}
    else:
        job = service.client.get(f"/v1/jobs/{certified}").json()
        things = {"dataset": job["dataset"], "checkpoint": job["checkpoint"]}
    return {"kind": "evaluate", **things, "inputs": {"count": 20}, "evaluation": ATTACK} | fields


def submitted(service: Service, body: dict[str, Any]) -> str:
    answer = service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def row(index: int, *, moved: float = 0.25, wrong: bool = False) -> EvaluationRecord:
    label = index % 10
    clean, attacked = label, (label + 1) % 10 if wrong else label
    counts = tuple(90 if at == label else 10 if at == (label + 1) % 10 else 0 for at in range(10))
    found = (
        PointResult(point=0.0, distance=0.0, prediction=clean, counts=counts),
        PointResult(point=0.25, distance=moved, prediction=attacked, counts=counts),
    )
    return EvaluationRecord(index=index, label=label, found=found, seed=0, seconds=0.1)


def found(service: Service, job_id: str, rows: list[EvaluationRecord]) -> None:
    """As a worker would store them."""
    with service.database.write() as session:
        evaluation_rows.store(session, job_id, rows)


def test_a_plan_says_how_much_work_an_evaluation_is(service: Service) -> None:
    answer = service.client.post("/v1/jobs", json=asked(service, validate_only=True)).json()
    assert (answer["inputs"], answer["work"], answer["work_unit"]) == (20, 20 * (200 + 8), "passes")
    assert answer["spec"]["sigma"] == 0.25, "the checkpoint's"


def test_the_document_says_of_which_norm_points_and_distances_are_and_what_certificates_may_be(
    service: Service,
) -> None:
    schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
    told = [schemas["Found"]["properties"][name] for name in ("point", "distance")]
    told.append(schemas["PointCount"]["properties"]["point"])
    assert all("of AutoAttack in those of its norm (linf by default)" in each["description"] for each in told)
    certificates = schemas["Attack"]["properties"]["certificates"]["description"]
    assert "(of a run on this machine, a file of its results)" in certificates


def test_a_running_evaluation_shows_who_is_right_at_each_point(service: Service) -> None:
    job_id = submitted(service, asked(service))
    found(service, job_id, [row(0), row(1, wrong=True)])
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    assert [at["count"] for at in job["summary"]["right"]] == [2, 1]
    assert job["summary"]["right"][1]["share_over_done"] == 0.5 and job["summary"]["partial"]
    page = service.client.get(job["links"]["page"]).text
    assert "accuracy at 0.25" in page and "evaluations" in page


def test_rows_come_as_pages_and_as_files(service: Service) -> None:
    job_id = submitted(service, asked(service))
    found(service, job_id, [row(index) for index in range(3)])
    first = service.client.get(f"/v1/jobs/{job_id}/evaluations?limit=2").json()
    rest = service.client.get(f"/v1/jobs/{job_id}/evaluations?limit=2&cursor={first['next_cursor']}").json()
    assert [item["index"] for item in first["items"] + rest["items"]] == [0, 1, 2]
    lines = list(csv.DictReader(io.StringIO(service.client.get(f"/v1/jobs/{job_id}/evaluations.csv").text)))
    assert len(lines) == 6 and lines[1]["distance"] == "0.25" and lines[1]["right"] == "1"
    objects = [
        json.loads(line) for line in service.client.get(f"/v1/jobs/{job_id}/evaluations.ndjson").text.splitlines()
    ]
    assert [item["found"][1]["prediction"] for item in objects] == [0, 1, 2]


def test_a_report_comes_in_every_form_and_is_not_sent_twice(service: Service) -> None:
    job_id = submitted(service, asked(service))
    found(service, job_id, [row(0), row(1, wrong=True)])
    answer = service.client.get(f"/v1/jobs/{job_id}/report")
    body = answer.json()
    assert body["results"]["points"][1]["accuracy"]["share"] == pytest.approx(1 / 20)
    assert body["procedure"]["evaluation"]["epsilons"] == [0.0, 0.25] and not body["complete"]
    again = service.client.get(f"/v1/jobs/{job_id}/report", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    page = service.client.get(f"/v1/jobs/{job_id}/report.html")
    assert "Partial." in page.text and "Content-Security-Policy" in page.headers
    table = list(csv.DictReader(io.StringIO(service.client.get(f"/v1/jobs/{job_id}/report.csv").text)))
    assert [line["point"] for line in table] == ["0.0", "0.25"]
    for form, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        assert service.client.get(f"/v1/jobs/{job_id}/plots/evaluation.{form}").content.startswith(start)


@pytest.mark.parametrize(
    "evaluation", [ATTACK, {"name": "over_confidence"}, {"name": "autoattack", "attacks": ["fab-t"]}]
)
def test_a_job_without_rows_has_a_report(service: Service, evaluation: dict[str, Any]) -> None:
    job_id = submitted(service, asked(service, evaluation=evaluation))
    for ending in ("report", "report.html", "report.csv", "plots/evaluation.svg", "evaluations.csv"):
        assert service.client.get(f"/v1/jobs/{job_id}/{ending}").status_code == 200, ending


def test_an_attack_is_held_against_the_certificates_of_a_job(service: Service) -> None:
    """The made-up certificates: input 6 is certified as another class than its label, input 4 abstains."""
    certified = service.finished()
    radius = {row["index"]: row for row in service.client.get(f"/v1/jobs/{certified}/certificates").json()["items"]}
    job_id = submitted(service, asked(service, certified, evaluation=ATTACK | {"certificates": certified}))
    within = [
        row(0, moved=radius[0]["radius"] - 0.001, wrong=True),
        row(1, moved=radius[1]["radius"] + 0.001, wrong=True),
    ]
    found(service, job_id, [*within, row(4, moved=0.0, wrong=True)])
    held = service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]["held"]
    assert [(one["index"], one["certified"], one["answered"]) for one in held["violations"]] == [(0, 0, 1)]
    assert (held["checked"], held["count"], held["loud"]) == (3, 1, True)
    page = service.client.get(f"/v1/jobs/{job_id}/report.html").text
    assert "Certificates contradicted." in page and "CERTIFICATES CONTRADICTED" in page
    assert "Certificates contradicted." not in service.client.get(f"/jobs/{job_id}").text, "it goes on"
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert "Certificates contradicted." in service.client.get(f"/jobs/{job_id}").text


def test_noise_where_the_classifier_is_asked_without_is_refused(service: Service) -> None:
    answer = service.client.post("/v1/jobs", json=asked(service, evaluation={"name": "autoattack"}, sigma=0.25))
    assert (answer.status_code, "none with autoattack, which adds no noise" in answer.json()["detail"]) == (422, True)


def test_a_report_changes_with_the_certificates_that_it_holds_its_answers_against(service: Service) -> None:
    certified = service.finished()
    job_id = submitted(service, asked(service, certified, evaluation=ATTACK | {"certificates": certified}))
    found(service, job_id, [row(0)])
    with service.database.write() as session:
        jobs.settle(session, certified)
    refused = service.client.delete(f"/v1/jobs/{certified}")
    assert (refused.status_code, refused.json()["jobs"]) == (409, [job_id]), refused.text
    before = service.client.get(f"/v1/jobs/{job_id}/report")
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert service.client.delete(f"/v1/jobs/{certified}").status_code == 204
    unchanged = {"If-None-Match": service.client.get(f"/v1/jobs/{job_id}/report").headers["ETag"]}
    after = service.client.get(f"/v1/jobs/{job_id}/report", headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200 and after.json()["results"]["held"] is None
    assert "was deleted" in after.json()["results"]["notes"][0]
    assert service.client.get(f"/v1/jobs/{job_id}/report", headers=unchanged).status_code == 304


def test_certificates_of_something_else_are_refused(service: Service) -> None:
    certified, other = service.finished(), service.finished()
    for body, words in (
        (asked(service, certified, evaluation=ATTACK | {"certificates": "job_" + "0" * 28}), "a certify job of yours"),
        (asked(service, evaluation=ATTACK | {"certificates": certified}, sigma=0.5), "of sigma = 0.5"),
        (asked(service, evaluation=ATTACK | {"certificates": submitted(service, asked(service))}), "a certify job"),
    ):
        answer = service.client.post("/v1/jobs", json=body)
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text
    apart = asked(service, certified, evaluation=ATTACK | {"certificates": certified}) | {"inputs": {"start": 1_700}}
    answer = service.client.post("/v1/jobs", json=apart)
    assert (answer.status_code, "of inputs that are attacked" in answer.json()["detail"]) == (422, True), answer.text
    fine = service.client.post("/v1/jobs", json=asked(service, certified, evaluation=ATTACK | {"certificates": other}))
    assert fine.status_code == 202, "made-up models and data are equal by content"


def test_certificates_of_another_model_are_refused(service: Service) -> None:
    certified = service.finished()
    body = asked(service, certified, evaluation=ATTACK | {"certificates": certified})
    body["checkpoint"] = service.checkpoint(sigma=0.25, method="smoothmix")
    answer = service.client.post("/v1/jobs", json=body)
    assert (answer.status_code, "the same model and data set" in answer.json()["detail"]) == (422, True)


def test_another_tenant_sees_nothing_of_it(locked: Service) -> None:
    mine, theirs = locked.key("mine"), locked.key("theirs")
    things = {"dataset": locked.dataset(tenant="mine"), "checkpoint": locked.checkpoint(tenant="mine")}
    body = {"kind": "evaluate", **things, "evaluation": ATTACK}
    job_id = locked.client.post("/v1/jobs", json=body, headers=mine).json()["id"]
    for ending in ("evaluations", "evaluations.csv", "report", "plots/evaluation.png"):
        assert locked.client.get(f"/v1/jobs/{job_id}/{ending}", headers=mine).status_code == 200
        assert locked.client.get(f"/v1/jobs/{job_id}/{ending}", headers=theirs).status_code == 404


def test_a_certification_has_no_evaluations_and_an_evaluation_no_certificates(service: Service) -> None:
    certified, evaluated = service.submitted(), submitted(service, asked(service))
    assert service.client.get(f"/v1/jobs/{certified}/evaluations").status_code == 404
    assert service.client.get(f"/v1/jobs/{certified}/plots/evaluation.svg").status_code == 404
    assert service.client.get(f"/v1/jobs/{evaluated}/certificates").status_code == 404
    assert service.client.get(f"/v1/jobs/{evaluated}/plots/certified-accuracy.svg").status_code == 404


def test_the_command_submits_an_evaluation_by_its_name(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.service.cli.jobs.connect_patiently", lambda *_: service.connected())
    things = ["--checkpoint", service.checkpoint(), "--dataset", service.dataset(), "--count", "20"]
    flags = ["--evaluation", "over-confidence", "--set", "evaluation.lengths=[0,1]", "--seed", "3"]
    job_id = printed("submit", "--kind", "evaluate", *things, *flags).strip()
    spec = service.client.get(f"/v1/jobs/{job_id}").json()["spec"]
    assert (spec["evaluation"]["name"], spec["evaluation"]["lengths"]) == ("over_confidence", [0.0, 1.0])
    assert (spec["seed"], spec["inputs"]["count"]) == (3, 20)
    assert "attack" in refused("submit", "--kind", "evaluate", *things, "--evaluation", "accuracy")
