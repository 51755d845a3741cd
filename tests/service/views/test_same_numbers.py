"""A number has one value wherever it stands: in lists, on pages, in reports of every form, on the command line, and as anybody
computes it from the exported rows. What is computed otherwise has another name.
"""

import csv
import io
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from sqlalchemy.orm import Session
from tests_support import over_http
from tests_support.over_http import Service

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.results.tsv import rounded_down
from radii.service.cli.connection import job_text
from radii.service.schemas import responses
from radii.service.views import evaluation_report, report_page
from radii.service.views.rendering import percent
from radii.worker.kinds import registry
from radii.worker.store import certificate_rows, evaluation_rows, jobs, prediction_rows, shards
from radii.worker.store.shards import Claim

TOTAL, DONE = 20, 4
SIGMA = 0.5
"""Of the job; the checkpoint says 0.25."""
STATES = ("queued", "running", "succeeded", "cancelled", "expired", "failed")
PROBLEM = {"type": "urn:radii:problem:x", "title": "It failed.", "status": 500, "detail": "It failed."}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn: the numbers on the pages are what counts here."""
    monkeypatch.setattr(report_page, "plot", lambda *_: b"<svg/>")
    monkeypatch.setattr(evaluation_report, "plot", lambda *_: b"<svg/>")


Store = Callable[[Session, Claim, int], object]


def _certificate(session: Session, claim: Claim, index: int) -> object:
    return certificate_rows.store(session, claim.job_id, [over_http.certificate(index, claim.spec)])


def _prediction(session: Session, claim: Claim, index: int) -> object:
    return prediction_rows.store(session, claim.job_id, [over_http.prediction(index, claim.spec)])


def _evaluated(session: Session, claim: Claim, index: int) -> object:
    found = tuple(
        PointResult(
            point=point, distance=point, prediction=index % 10 if place + index % 5 < 3 else -1, counts=(10,) * 10
        )
        for place, point in enumerate(claim.spec.evaluation.epsilons)
    )
    return evaluation_rows.store(
        session, claim.job_id, [EvaluationRecord(index=index, label=index % 10, seed=0, found=found)]
    )


STORE: dict[str, Store] = {"certify": _certificate, "predict": _prediction, "evaluate": _evaluated}


def reached(service: Service, state: str, kind: str, **fields: Any) -> str:
    """A job that has come to the state; where it was stopped, after ``DONE`` of ``TOTAL`` inputs, the last of them given up."""
    evaluation = {"evaluation": {"name": "attack"}, "n": None} if kind == "evaluate" else {}
    body = service.certify(kind=kind, sigma=SIGMA, inputs={"count": TOTAL}, **evaluation, **fields)
    body = {name: value for name, value in body.items() if value is not None}
    answer = service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id = str(answer.json()["id"])
    if state != "queued":
        _work(service, state, STORE[kind])
    with service.database.read() as session:
        assert session.get_one(over_http.Job, job_id).state == state
    return job_id


def _work(service: Service, state: str, store: Store) -> None:
    most = TOTAL if state == "succeeded" else DONE
    done = 0
    while (claim := service.claim()) is not None:
        for index in range(claim.first, claim.stop):
            done += 1
            with service.database.write() as session:
                if done == DONE:
                    registry.store_failure(session, claim.job_id, index, index % 10, "out of memory")
                else:
                    store(session, claim, index)
            if done == most:
                break
        if done == most and state != "succeeded":
            _stop(service, claim, state)
            return
        with service.database.write() as session:
            shards.finish(session, claim)


def _stop(service: Service, claim: Claim, state: str) -> None:
    with service.database.write() as session:
        if state == "failed":
            shards.fail(session, claim, PROBLEM)
        elif state in ("cancelled", "expired"):
            jobs.cancel(session, claim.job_id, state)
            shards.release(session, claim)


class Shown:
    """What each place says of a job."""

    def __init__(self, service: Service, job_id: str, rows: str) -> None:
        client = service.client
        self.listed = next(item for item in client.get("/v1/jobs").json()["items"] if item["id"] == job_id)
        assert self.listed["summary"] == client.get(f"/v1/jobs/{job_id}").json()["summary"]
        self.summary = self.listed["summary"]
        self.page = client.get(f"/jobs/{job_id}").text
        self.cards = _cards(self.page)
        self.cell = _cell(client.get("/").text, job_id)
        self.text = job_text(responses.Job.model_validate(self.listed))
        self.rows = list(csv.DictReader(io.StringIO(client.get(f"/v1/jobs/{job_id}/{rows}.csv").text)))
        if rows == "predictions":
            return
        self.report = client.get(f"/v1/jobs/{job_id}/report").json()
        self.html = client.get(f"/v1/jobs/{job_id}/report.html").text
        self.csv = list(csv.reader(io.StringIO(client.get(f"/v1/jobs/{job_id}/report.csv").text)))


def _cards(html: str) -> list[tuple[str, str]]:
    """Name and figure of each card of a page."""
    cards = re.findall(r'<div class="card"><b>(.*?)</b><span>(.*?)</span></div>', html, re.DOTALL)
    return [(" ".join(unescape(name).split()), unescape(figure)) for figure, name in cards]


def _cell(html: str, job_id: str) -> str:
    """The job's row of the list, as text."""
    row = next(row for row in html.split("<tr>") if f"/jobs/{job_id}" in row)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split())


def _card(cards: list[tuple[str, str]], beginning: str) -> str:
    """The figure of the one card whose name begins so."""
    (figure,) = [figure for name, figure in cards if name.startswith(beginning)]
    return figure


@pytest.mark.parametrize("sampling", ["fixed", "anytime"])
@pytest.mark.parametrize("state", STATES)
def test_a_certification_has_the_numbers_of_its_report_everywhere(service: Service, state: str, sampling: str) -> None:
    found = Shown(service, reached(service, state, "certify", sampling=sampling), "certificates")
    results_of, summary = found.report["results"], found.summary
    correct = [float(row["radius"]) for row in found.rows if row["correct"] == "1"]
    acr = sum(correct) / TOTAL
    assert (len(found.rows), summary["partial"]) == (
        {"queued": 0, "succeeded": TOTAL}.get(state, DONE),
        state != "succeeded",
    )
    assert found.report["complete"] is not summary["partial"]
    assert summary["acr"] == pytest.approx(acr, abs=1e-12) == results_of["acr"]
    of_csv = {(row[0], row[1]): row for row in found.csv}
    assert float(of_csv["acr", ""][2]) == results_of["acr"]

    shown = rounded_down(results_of["acr"], 4)
    assert _card(found.cards, f"average certified radius (ACR) at sigma {SIGMA}") == shown
    assert _card(_cards(found.html), "average certified radius (ACR)") == shown
    assert f"ACR {shown} at sigma {SIGMA}" in found.text.replace("ACR (lower bound)", "ACR")
    if found.rows:
        assert f"inputs {shown} " in found.cell

    for name in ("abstained", "errors", "at_cap"):
        assert summary[name] == results_of[name], name
    abstained = sum(row["prediction"] == "-1" for row in found.rows)
    assert abstained == results_of["abstained"] == int(of_csv["abstention_rate", ""][5])
    assert _card(found.cards, "abstained") == str(abstained) and f" {abstained} abstained" in found.text
    assert _card(_cards(found.html), "abstained") == percent(abstained / TOTAL)

    for here, there in zip(summary["certified_accuracy"], results_of["certified_accuracy"], strict=True):
        count = sum(radius >= here["radius"] for radius in correct)
        assert (here["radius"], here["count"], here["certified_accuracy"]) == (there["radius"], count, count / TOTAL)
        assert there["certified_accuracy"] == here["certified_accuracy"]
        assert f'<td class="number">{percent(here["certified_accuracy"])}</td>' in found.page.replace("\n", "")
    at_0 = percent(results_of["accuracy_at_0"]["certified_accuracy"])
    assert f"certified accuracy at 0 {at_0}" in found.text
    assert _card(_cards(found.html), "certified accuracy at radius 0") == at_0

    _check_partial(found, "ACR over the", summary["acr_over_done"], lambda value: rounded_down(value, 4))
    assert found.report["procedure"]["sigma"] == SIGMA
    assert f"certified at sigma {SIGMA}" in found.cell and f"certified at sigma {SIGMA}" in found.page


@pytest.mark.parametrize("state", STATES)
def test_predictions_have_one_accuracy_everywhere(service: Service, state: str) -> None:
    found = Shown(service, reached(service, state, "predict"), "predictions")
    correct = sum(row["correct"] == "1" for row in found.rows)
    assert (found.summary["correct"], found.summary["accuracy"]) == (correct, correct / TOTAL)
    shown = percent(correct / TOTAL)
    assert _card(found.cards, f"accuracy at sigma {SIGMA}") == shown
    assert f"Accuracy {shown} at sigma {SIGMA}" in found.text
    if found.rows:
        assert f"inputs {shown} " in found.cell
    abstained = sum(row["prediction"] == "-1" for row in found.rows)
    assert _card(found.cards, "abstained") == str(abstained) and f" {abstained} abstained" in found.text
    _check_partial(found, "accuracy over the", found.summary["accuracy_over_done"], percent)
    assert f"predicted at sigma {SIGMA}" in found.cell


@pytest.mark.parametrize("state", STATES)
def test_an_evaluation_has_the_accuracies_of_its_report_everywhere(service: Service, state: str) -> None:
    found = Shown(service, reached(service, state, "evaluate"), "evaluations")
    points = found.report["results"]["points"]
    for here, there in zip(found.summary["right"], points, strict=True):
        count = sum(row["right"] == "1" and float(row["point"]) == here["point"] for row in found.rows if row["point"])
        assert (here["count"], here["share"]) == (count, count / TOTAL)
        assert there["accuracy"]["share"] == here["share"]
        shown = percent(here["share"])
        assert _card(found.cards, f"accuracy at {here['point']:.4f}") == shown
        assert f"{shown} at {here['point']:g}" in found.text
        assert f'<td class="number">{shown}</td>' in found.html
        over = here["share_over_done"]
        assert over is None or (f"{percent(over)} over the {DONE} inputs done" in found.page) == (state != "succeeded")
    if found.rows:
        assert (
            f"inputs {percent(points[0]['accuracy']['share'])} {percent(points[-1]['accuracy']['share'])} at 1"
            in found.cell
        )
    assert f"evaluated at sigma {SIGMA}" in found.cell


def _check_partial(found: Shown, name: str, value: float | None, shown: Callable[[float], str]) -> None:
    """What is over the inputs done stands only where some are missing, and says over how many."""
    cards = [(label, figure) for label, figure in found.cards if label.startswith(name)]
    if value is None or not found.summary["partial"]:
        assert not cards and "inputs done" not in found.cell
        return
    assert cards == [(f"{name} {DONE} inputs done", shown(value))]
    assert f"{shown(value)} over the {DONE} inputs done" in found.cell


def test_work_that_is_not_done_is_never_said_to_be_100_percent(service: Service) -> None:
    job_id = service.submitted()
    with service.database.write() as session:
        summary = session.get_one(over_http.results.JobSummary, job_id)
        summary.work_done = summary.work_total - 1
    page = service.client.get(f"/jobs/{job_id}").text
    assert "(99.99 %)" in page and "100.00 %" not in page
