"""Reports and plots over HTTP: numbers that follow from the rows, beside everything needed to compute them again."""

import csv
import io
import re
from math import fsum

import pytest
from tests_support.over_http import Service

from radii.rs_core.results.tsv import rounded_down
from radii.worker.store import jobs


def test_the_reports_numbers_follow_from_the_rows_and_equal_the_stored_sums(either: Service) -> None:
    job_id = either.finished()
    rows = either.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"]
    report = either.client.get(f"/v1/jobs/{job_id}/report").json()
    summary = either.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    acr = fsum(row["radius"] for row in rows if row["correct"]) / 20
    assert report["results"]["acr"] == acr
    assert summary["acr"] == pytest.approx(acr, rel=1e-12)
    assert report["complete"] is True
    for point, running in zip(report["results"]["certified_accuracy"], summary["certified_accuracy"], strict=True):
        assert point["count"] == sum(row["correct"] and row["radius"] >= point["radius"] for row in rows)
        assert (point["radius"], point["count"]) == (running["radius"], running["count"])
    assert report["results"]["abstained"] == summary["abstained"] == 4
    assert report["results"]["at_cap"] == summary["at_cap"]


def test_the_report_carries_what_is_needed_to_compute_it_again(service: Service) -> None:
    job_id = service.finished(seed=7)
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    report = service.client.get(f"/v1/jobs/{job_id}/report").json()
    checkpoint = service.client.get(f"/v1/checkpoints/{job['checkpoint']}").json()
    assert report["model"]["sha256"] == checkpoint["sha256"]
    assert report["model"]["architecture"] == "digits_cnn"
    assert report["dataset"]["content_hash"] == "c" * 64
    assert report["dataset"]["selection"] == {"start": 0, "step": 1, "count": 20}
    numbers = {"sigma": 0.25, "n0": 100, "n": 1000, "alpha": 0.001, "seed": 7}
    names = {"sampling": "fixed", "bound": "one_sided", "noise": "gaussian", "precision": "fp32"}
    assert report["procedure"] == numbers | names | {"radii": None, "guarantee": "per_input", "robust_weight": None}
    assert {"threads", "precision", "device_type", "batch_size"} <= report["execution"].keys()
    (machine,) = report["provenance"]["workers"]
    assert (machine["device"], machine["versions"]["torch"]) == ("test CPU", "2.14.1")
    assert report["provenance"]["report"]["radii"]
    assert report["job"]["spec"] == job["spec"]
    assert any("Clopper-Pearson" in sentence for sentence in report["recompute"])


def test_hashes_outlive_the_deletion_of_model_and_data(service: Service) -> None:
    job_id = service.finished()
    before = service.client.get(f"/v1/jobs/{job_id}/report").json()
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    for path in (f"/v1/datasets/{job['dataset']}", f"/v1/checkpoints/{job['checkpoint']}"):
        assert service.client.delete(path).status_code == 204
    after = service.client.get(f"/v1/jobs/{job_id}/report").json()
    for part in ("model", "dataset"):
        assert after[part]["sha256"] == before[part]["sha256"] is not None
    assert service.client.get(f"/v1/jobs/{job_id}/report.html").status_code == 200


def test_a_partial_report_says_so_and_keeps_the_denominator(service: Service) -> None:
    job_id = service.submitted()
    service.work(job_id, most=4)
    report = service.client.get(f"/v1/jobs/{job_id}/report").json()
    assert report["complete"] is False
    assert (report["results"]["inputs"], report["results"]["evaluated"]) == (20, 4)
    assert report["results"]["accuracy_at_0"]["certified_accuracy"] == 4 / 20
    html = service.client.get(f"/v1/jobs/{job_id}/report.html").text
    assert "Partial." in html
    assert "4 of 20 inputs are done" in html


def test_a_report_before_the_first_result_is_all_zero(service: Service) -> None:
    job_id = service.submitted()
    report = service.client.get(f"/v1/jobs/{job_id}/report").json()
    assert (report["results"]["acr"], report["results"]["evaluated"], report["complete"]) == (0.0, 0, False)
    for form in ("html", "csv"):
        assert service.client.get(f"/v1/jobs/{job_id}/report.{form}").status_code == 200
    for plot in ("certified-accuracy.svg", "radius-histogram.png"):
        assert service.client.get(f"/v1/jobs/{job_id}/plots/{plot}").status_code == 200


def test_the_page_stands_alone_and_rounds_radii_down(service: Service) -> None:
    job_id = service.finished()
    results = service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]
    answer = service.client.get(f"/v1/jobs/{job_id}/report.html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    html = answer.text
    assert f"<b>{rounded_down(results['acr'], 4)}</b>" in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert "<script" not in html
    assert html.count("data:image/svg+xml;base64,") == 2
    assert "digit 3" in html
    for section in (
        "Certified accuracy",
        "Radii and lower bounds",
        "By class",
        "What was certified",
        "compute it again",
    ):
        assert section in html


def test_names_from_outside_are_only_text_in_the_page(service: Service) -> None:
    body = service.certify(dataset=service.dataset(class_names=["<script>alert(1)</script>", *"abcdefghi"]))
    job_id = service.client.post("/v1/jobs", json=body).json()["id"]
    service.work(job_id)
    html = service.client.get(f"/v1/jobs/{job_id}/report.html").text
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_csv_form_has_one_number_per_line(service: Service) -> None:
    job_id = service.finished()
    text = service.client.get(f"/v1/jobs/{job_id}/report.csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    acr = next(row for row in rows if row["measure"] == "acr")
    assert float(acr["value"]) == service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]["acr"]


@pytest.mark.parametrize("name", ["certified-accuracy", "radius-histogram"])
@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_plots_are_pictures(service: Service, name: str, form: str, start: bytes) -> None:
    answer = service.client.get(f"/v1/jobs/{service.finished()}/plots/{name}.{form}")
    assert answer.status_code == 200
    assert answer.content.startswith(start)
    assert answer.headers["content-type"].startswith("image/")


@pytest.mark.parametrize("part", ["report", "report.html", "report.csv", "plots/certified-accuracy.png"])
def test_what_has_not_changed_is_304(service: Service, part: str) -> None:
    job_id = service.submitted()
    service.work(job_id, most=1)
    url = f"/v1/jobs/{job_id}/{part}"
    etag = service.client.get(url).headers["ETag"]
    assert service.client.get(url, headers={"If-None-Match": etag}).status_code == 304
    with service.database.write() as session:
        jobs.cancel(session, job_id)
    assert service.client.get(url, headers={"If-None-Match": etag}).status_code == 200


def test_only_certify_and_evaluate_jobs_have_reports(service: Service) -> None:
    body = {"kind": "predict", "dataset": service.dataset(), "checkpoint": service.checkpoint()}
    job_id = service.client.post("/v1/jobs", json=body).json()["id"]
    answer = service.client.get(f"/v1/jobs/{job_id}/report")
    assert (answer.status_code, "of kind certify or evaluate" in answer.json()["detail"]) == (404, True)
