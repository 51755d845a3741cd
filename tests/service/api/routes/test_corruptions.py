"""Data sets of corrupted images over HTTP: what is asked for is checked at once, and reports have rows by corruption."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.cli import done
from tests_support.over_http import Service, certificate

from radii.rs_core.data.corruption_info import Corrupted, in_a_row, to_json
from radii.rs_core.results.photographs import share_interval
from radii.rs_core.results.row_statistics import from_bytes, to_bytes
from radii.rs_core.results.tsv import rounded_down
from radii.service.views import certification_report
from radii.worker.store import certificate_rows, jobs, resources, results, row_statistics
from radii.worker.store.models.result_tables import JobDigest, JobSummary
from radii.worker.store.models.tables import Dataset, Job

KINDS = [("fog", 1), ("fog", 5), ("snow", 1), ("snow", 5)]
MARKS = Corrupted(
    groups=in_a_row(KINDS, 50), constants="ImageNet-C", library="a-library", version="9.8", seed=4, clean_hash="d" * 64
)
CIFAR = {"shape": [3, 32, 32], "count": 10_000}


def asked(service: Service, **corrupt: Any) -> Any:
    """The answer to a request for corrupted images of a ready data set of 200."""
    body = {"dataset": corrupt.pop("dataset", None) or service.dataset()} | corrupt
    return service.client.post("/v1/datasets", json={"name": "corrupted", "corrupt": body})


def corrupted(service: Service, **columns: Any) -> str:
    """A ready data set of 200 corrupted images."""
    identifier = service.dataset(**columns)
    with service.database.write() as session:
        row = session.get_one(Dataset, identifier)
        row.source = row.source | {"corrupted": to_json(MARKS)}
    return identifier


def test_a_registration_is_pending_and_its_job_counts_images(either: Service) -> None:
    answer = asked(either, corruptions=["fog"], severities=[1, 3], inputs={"start": 10, "count": 5})
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert (made["state"], made["corrupted"], made["source"]["format"]) == ("pending", None, "corrupted")
    assert made["source"]["corrupt"]["corruptions"] == ["fog"]
    job = either.client.get(f"/v1/jobs/{made['job']}").json()
    assert (job["kind"], job["progress"]["work_total"], job["progress"]["work_unit"]) == ("convert", 10, "images")
    with either.database.write() as session:
        results.set_work(session, made["job"], 4)
    assert either.client.get(f"/v1/jobs/{made['job']}").json()["progress"]["fraction"] == 0.4


def test_the_clean_images_are_kept_until_the_corrupted_ones_are_made(service: Service) -> None:
    """The clean data set may be deleted meanwhile: its file stays."""
    clean = service.dataset()
    made = asked(service, dataset=clean).json()
    file = made["source"]["files"][0]["sha256"]
    assert service.client.delete(f"/v1/datasets/{clean}").status_code == 204
    with service.database.write() as session:
        resources.collect(session, service.settings.blobs, grace=-1.0)
    assert (service.settings.blobs / file[:2] / file).exists()
    with service.database.write() as session:
        jobs.cancel(session, made["job"])
        resources.collect(session, service.settings.blobs, grace=-1.0)
    assert not (service.settings.blobs / file[:2] / file).exists()
    assert service.client.get(f"/v1/datasets/{made['id']}").json()["state"] == "rejected"


def test_all_fifteen_at_all_severities_are_what_is_made_without_a_choice(service: Service) -> None:
    made = asked(service, inputs={"count": 2}).json()
    job = service.client.get(f"/v1/jobs/{made['job']}").json()
    assert job["progress"]["work_total"] == 15 * 5 * 2


@pytest.mark.parametrize(
    ("columns", "corrupt", "status", "said"),
    [
        ({}, {"dataset": "ds_0193c1a5d2f04b7f6a1c9e3d5b82"}, 422, "the identifier of a data set of yours"),
        ({"state": "pending"}, {}, 409, "which is pending"),
        ({"state": "rejected"}, {}, 422, "it is empty"),
        ({"shape": [2, 8, 8]}, {}, 422, "images of 1 or 3 channels to corrupt, got 2 channels"),
        ({}, {"inputs": {"start": 200}}, 422, "none from index 200 on"),
        ({"shape": [3, 4000, 4000]}, {}, 422, "at most 10,000,000 images of side 4,096, 16,384 MiB together"),
        (CIFAR, {}, 422, "within 600 s (RADII_CONVERT_LIMIT), got 750,000, which take about 988 s"),
        ({}, {"corruptions": ["rain"]}, 422, "'gaussian_noise', "),
        ({}, {"severities": [6]}, 422, "less than or equal to 5"),
        ({}, {"severities": []}, 422, "at least one, each once"),
        ({}, {"strange": 1}, 422, "strange"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(
    service: Service, columns: dict[str, Any], corrupt: dict[str, Any], status: int, said: str
) -> None:
    answer = asked(service, **{"dataset": service.dataset(**columns)} | corrupt)
    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_as_many_as_there_is_time_for_are_taken(service: Service) -> None:
    clean = service.dataset(**CIFAR)
    assert asked(service, dataset=clean, inputs={"step": 2}).status_code == 202
    assert asked(service, dataset=clean, corruptions=["fog", "snow"]).status_code == 202


def test_corrupted_images_are_not_corrupted_again_nor_those_of_others(service: Service, locked: Service) -> None:
    assert "one that is corrupted already" in asked(service, dataset=corrupted(service)).text
    headers = locked.key(locked.tenant("other"))
    body = {"name": "theirs", "corrupt": {"dataset": locked.dataset()}}
    assert locked.client.post("/v1/datasets", json=body, headers=headers).status_code == 422


@pytest.mark.parametrize("more", [{"builtin": "digits"}, {"format": "npz"}, {"class_names": ["a", "b"]}, {"resize": 8}])
def test_what_belongs_to_files_does_not_go_with_corrupt(service: Service, more: dict[str, Any]) -> None:
    body = {"name": "x", "corrupt": {"dataset": service.dataset()}} | more
    assert service.client.post("/v1/datasets", json=body).status_code == 422


def test_the_data_set_shows_its_groups_in_short(service: Service) -> None:
    found = service.client.get(f"/v1/datasets/{corrupted(service)}").json()
    assert found["corrupted"]["groups"] == [
        {"corruption": "fog", "severities": [1, 5], "start": 0, "count": 100},
        {"corruption": "snow", "severities": [1, 5], "start": 100, "count": 100},
    ]
    assert (found["corrupted"]["constants"], found["corrupted"]["version"]) == ("ImageNet-C", "9.8")
    assert "corrupted" not in found["source"]
    plain = service.client.get(f"/v1/datasets/{service.dataset()}").json()
    assert plain["corrupted"] is None


def finished(service: Service) -> tuple[str, list[dict[str, Any]]]:
    """A certification of every 4th corrupted image, and its rows."""
    inputs = {"start": 1, "step": 4, "count": None}
    job_id = service.submitted(dataset=corrupted(service), inputs=inputs)
    while (claim := service.claim()) is not None:
        for position in range(claim.first, claim.stop):
            with service.database.write() as session:
                certificate_rows.store(session, job_id, [certificate(1 + 4 * position, claim.spec)])
    rows = service.client.get(f"/v1/jobs/{job_id}/certificates?limit=1000").json()["items"]
    return job_id, rows


@pytest.mark.parametrize("large", [False, True], ids=["from rows", "from statistics"])
def test_the_report_has_rows_by_corruption(either: Service, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(row_statistics, "LARGE", 1)
    job_id, rows = finished(either)
    assert len(rows) == 50
    with either.database.read() as session:
        assert (row_statistics.kept(session, job_id) is not None) == large
    found = either.client.get(f"/v1/jobs/{job_id}/report").json()["results"]["corruptions"]
    assert [(row["corruption"], row["severity"], row["inputs"]) for row in found["severities"]] == [
        (name, severity, inputs) for (name, severity), inputs in zip(KINDS, (13, 12, 13, 12), strict=True)
    ]
    for place, row in enumerate(found["severities"]):
        here = [one for one in rows if 50 * place <= one["index"] < 50 * (place + 1)]
        assert row["acr"] == pytest.approx(sum(one["radius"] * one["correct"] for one in here) / row["inputs"])
        assert row["accuracy"] == pytest.approx(sum(one["correct"] for one in here) / row["inputs"])
    fog, snow = found["corruptions"]
    assert found["means"][0]["macr"] == pytest.approx((fog["acr"] + snow["acr"]) / 2)
    assert (found["means"][0]["corruptions"], found["of"]) == (2, 15)


@pytest.mark.parametrize("large", [False, True], ids=["from rows", "from statistics"])
def test_its_intervals_count_photographs_and_every_form_says_so(
    either: Service, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Every 4th of four groups of 50, from the second: 50 images of 25 photographs."""
    if large:
        monkeypatch.setattr(row_statistics, "LARGE", 1)
    job_id, rows = finished(either)
    found = either.client.get(f"/v1/jobs/{job_id}/report").json()["results"]
    assert (found["unit"], found["units"], found["inputs"]) == ("photograph", 25, 50)
    sizes = np.bincount([row["index"] % 50 for row in rows], minlength=50)
    right = np.bincount([row["index"] % 50 for row in rows], [row["correct"] for row in rows], minlength=50)
    low, high = share_interval(right.astype(np.int64), sizes, 0.95)
    assert (found["accuracy_at_0"]["low"], found["accuracy_at_0"]["high"]) == (low, high)
    said = "25 photographs (50 images)"
    assert said in found["notes"][0]
    assert said in either.client.get(f"/v1/jobs/{job_id}/report.html").text
    csv_text = either.client.get(f"/v1/jobs/{job_id}/report.csv").text
    assert "interval_units,photograph,25,,,,50" in csv_text.splitlines()
    assert said in either.client.get(f"/v1/jobs/{job_id}/plots/certified-accuracy.svg").text


def test_statistics_of_an_older_version_are_counted_by_photograph_all_the_same(
    either: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was kept without the sums of photographs; what is stored next makes them anew."""
    monkeypatch.setattr(row_statistics, "LARGE", 1)
    job_id, rows = finished(either)
    wanted = either.client.get(f"/v1/jobs/{job_id}/report").json()["results"]
    with either.database.write() as session:
        kept = session.get_one(JobDigest, job_id)
        kept.body = to_bytes(replace(from_bytes(kept.body), photographs=None))
    found = either.client.get(f"/v1/jobs/{job_id}/report.json").json()["results"]
    assert (found["units"], found["certified_accuracy"]) == (25, wanted["certified_accuracy"])
    with either.database.write() as session:
        summary, spec = session.get_one(JobSummary, job_id), session.get_one(Job, job_id).resolved
        rows_now = [certificate(row["index"], spec) for row in rows]
        row_statistics.update(session, summary, rows_now[:1], rows_now[:1], everything=lambda: rows_now)
        now = row_statistics.kept(session, job_id)
    assert now is not None and now.photographs is not None
    assert int(now.photographs.evaluated.sum()) == 50


def test_two_certifications_are_compared_by_photograph(either: Service) -> None:
    data = corrupted(either)
    ids = [either.finished(dataset=data, inputs={"count": 200}, seed=seed) for seed in (0, 1)]
    body = either.client.get("/v1/compare", params={"job": ids}).json()["results"]
    assert (body["unit"], body["units"], body["shared"]) == ("photograph", 50, 200)
    assert any("resample 50 photographs (200 images)" in note for note in body["notes"])
    page = either.client.get("/v1/compare.html", params={"job": ids}).text
    assert "which show 50 photographs" in page


@pytest.mark.parametrize("what", ["report.html", "plots/corruptions.svg", "report"])
def test_the_numbers_of_a_report_are_computed_once_for_a_request(
    service: Service, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    job_id, _ = finished(service)
    made, numbers = [], certification_report.numbers
    monkeypatch.setattr(certification_report, "numbers", lambda *asked: made.append(asked) or numbers(*asked))
    assert service.client.get(f"/v1/jobs/{job_id}/{what}").status_code == 200
    assert len(made) == 1


def test_before_the_first_result_all_inputs_are_in_the_denominator(service: Service) -> None:
    job_id = service.submitted(dataset=corrupted(service), inputs={"count": 120})
    found = service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]["corruptions"]
    assert [(row["inputs"], row["evaluated"], row["acr"]) for row in found["corruptions"]] == [(100, 0, 0), (20, 0, 0)]


def test_every_form_of_the_report_shows_them_and_where_they_come_from(service: Service) -> None:
    job_id, _ = finished(service)
    report = service.client.get(f"/v1/jobs/{job_id}/report").json()
    assert report["dataset"]["corrupted"]["seed"] == 4
    assert "corrupted" not in report["dataset"]["source"]
    macr = report["results"]["corruptions"]["means"][0]["macr"]
    html = service.client.get(f"/v1/jobs/{job_id}/report.html").text
    assert "By corruption and severity" in html and f"<b>{rounded_down(macr, 4)}</b><span>mACR" in html
    assert "made by a-library 9.8 with the constants of ImageNet-C" in html and "d" * 64 in html
    assert html.count("data:image/svg+xml;base64,") == 3
    rows = list(csv.DictReader(io.StringIO(service.client.get(f"/v1/jobs/{job_id}/report.csv").text)))
    assert float(next(row["value"] for row in rows if row["measure"] == "macr")) == macr
    plot = service.client.get(f"/v1/jobs/{job_id}/plots/corruptions.png")
    assert (plot.status_code, plot.content[:4]) == (200, b"\x89PNG")


def test_a_job_on_other_images_has_no_rows_by_corruption(service: Service) -> None:
    job_id = service.finished()
    assert service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]["corruptions"] is None
    assert "By corruption" not in service.client.get(f"/v1/jobs/{job_id}/report.html").text
    answer = service.client.get(f"/v1/jobs/{job_id}/plots/corruptions.png")
    assert (answer.status_code, "a job on corrupted images" in answer.text) == (404, True)


def test_only_a_certification_of_corrupted_images_names_their_plot(either: Service) -> None:
    job_id, clean = either.submitted(dataset=corrupted(either)), either.submitted()
    links = {job["id"]: job["links"] for job in either.client.get("/v1/jobs").json()["items"]}
    assert links[job_id]["corruptions"] == f"/v1/jobs/{job_id}/plots/corruptions.svg"
    assert "corruptions" not in links[clean]
    assert either.client.get(links[job_id]["corruptions"]).status_code == 200


def test_fetch_brings_their_plot_where_there_is_one(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radii.service.cli.transfer.connect", lambda *_: service.connected())
    for job_id, there in ((finished(service)[0], True), (service.finished(), False)):
        done("fetch", job_id, "--out", tmp_path / job_id)
        assert (tmp_path / job_id / "certified-accuracy.png").exists()
        assert (tmp_path / job_id / "corruptions.png").exists() == there
