"""Certificates and predictions over HTTP: pages and files hold what was stored, in full."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests_support.over_http import Service, certificate, prediction

from radii.rs_core.certify.bounds import lower_bound, radius
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.results import codec
from radii.rs_core.results.tsv import read_tsv
from radii.service.api.routes.rows import PARTS
from radii.service.views import row_exports
from radii.worker.kinds import registry
from radii.worker.store import certificate_rows, prediction_rows


def test_pages_hold_every_certificate_once_by_index(either: Service) -> None:
    job_id = either.finished()
    rows, cursor = [], None
    while True:
        query = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = either.client.get(f"/v1/jobs/{job_id}/certificates", params=query).json()
        rows += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [row["index"] for row in rows] == list(range(20))


def test_each_radius_can_be_computed_again_from_its_counts(either: Service) -> None:
    job_id = either.finished()
    rows = either.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"]
    for row in rows:
        selected = max(range(10), key=row["counts0"].__getitem__)
        bound = lower_bound(row["counts"][selected], row["n"], row["alpha"])
        assert row["p_lower"] == bound
        if bound < 0.5:
            assert (row["prediction"], row["radius"], row["correct"]) == (None, 0.0, False)
        else:
            assert (row["prediction"], row["radius"]) == (selected, radius(bound, row["sigma"]))
    assert sum(row["prediction"] is None for row in rows) == 4


def test_files_hold_the_same_rows_in_full(either: Service, tmp_path: Path) -> None:
    job_id = either.finished()
    items = either.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"]
    lines = either.client.get(f"/v1/jobs/{job_id}/certificates.ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == items
    sheet = either.client.get(f"/v1/jobs/{job_id}/certificates.csv")
    assert sheet.headers["content-type"].startswith("text/csv")
    assert f'filename="{job_id}-certificates.csv"' in sheet.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [float(row["radius"]) for row in table] == [item["radius"] for item in items]
    assert [row["counts"] for row in table] == [" ".join(map(str, item["counts"])) for item in items]
    assert table[4]["prediction"] == "-1"
    field = either.client.get(f"/v1/jobs/{job_id}/certificates.tsv")
    (tmp_path / "job.tsv").write_text(field.text)
    read = read_tsv(tmp_path / "job.tsv")
    assert [row.correct for row in read] == [item["correct"] for item in items]
    assert all(0 <= item["radius"] - row.radius < 1e-6 for row, item in zip(read, items, strict=True))


def test_a_file_of_a_job_in_work_holds_what_is_done(service: Service) -> None:
    job_id = service.submitted()
    empty = service.client.get(f"/v1/jobs/{job_id}/certificates.csv")
    assert empty.text == ",".join(codec.csv_columns(Certificate)) + "\n"
    service.work(job_id, most=3)
    changed = service.client.get(
        f"/v1/jobs/{job_id}/certificates.csv", headers={"If-None-Match": empty.headers["ETag"]}
    )
    assert len(changed.text.splitlines()) == 4
    same = service.client.get(f"/v1/jobs/{job_id}/certificates.csv", headers={"If-None-Match": changed.headers["ETag"]})
    assert same.status_code == 304


def test_a_file_of_inputs_that_have_more_samples_now_is_another_one(service: Service) -> None:
    job_id = service.submitted(sampling="anytime")
    url, spec = f"/v1/jobs/{job_id}/certificates.ndjson", service.job(job_id).resolved
    etags = []
    for n in (100, 400):
        with service.database.write() as session:
            certificate_rows.store(session, job_id, [certificate(0, spec, n)])
        answer = service.client.get(url, headers={"If-None-Match": etags[-1]} if etags else {})
        assert answer.status_code == 200 and json.loads(answer.text)["n"] == n
        etags.append(answer.headers["ETag"])


def test_a_large_file_is_read_in_batches(service: Service) -> None:
    job_id = service.submitted(dataset=service.dataset(count=5000), inputs={"count": 2500}, n=100)
    spec = service.job(job_id).resolved
    with service.database.write() as session:
        certificate_rows.store(session, job_id, [certificate(index, replace(spec, n=10_000)) for index in range(2500)])
    lines = service.client.get(f"/v1/jobs/{job_id}/certificates.ndjson").text.splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(2500))
    pieces = list(PARTS["certificates"].pieces(service.database, job_id, "ndjson"))
    assert max(map(len, pieces)) < 2 * row_exports.PIECE


def test_an_input_that_failed_is_shown_with_its_error(service: Service) -> None:
    job_id = service.submitted()
    with service.database.write() as session:
        registry.store_failure(session, job_id, 3, 7, "It ended its process, 3 times.")
    (row,) = service.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"]
    assert (row["index"], row["label"], row["prediction"], row["radius"]) == (3, 7, None, 0.0)
    assert row["error"] == "It ended its process, 3 times."
    summary = service.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    assert (summary["errors"], summary["abstained"], summary["correct"]) == (1, 1, 0)


def test_predictions_are_told_likewise(either: Service) -> None:
    body = {"kind": "predict", "dataset": either.dataset(), "checkpoint": either.checkpoint(), "inputs": {"count": 10}}
    job_id = either.client.post("/v1/jobs", json=body).json()["id"]
    spec = either.job(job_id).resolved
    with either.database.write() as session:
        prediction_rows.store(session, job_id, [prediction(index, spec) for index in range(10)])
    items = either.client.get(f"/v1/jobs/{job_id}/predictions").json()["items"]
    assert [item["prediction"] for item in items] == [0, 1, 2, 3, None, 5, 6, 7, 8, None]
    lines = either.client.get(f"/v1/jobs/{job_id}/predictions.ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == items
    sheet = either.client.get(f"/v1/jobs/{job_id}/predictions.csv").text
    assert sheet.splitlines()[0] == ",".join(codec.csv_columns(Prediction))
    assert len(sheet.splitlines()) == 11
    summary = either.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    assert (summary["accuracy"], summary["accuracy_over_done"], summary["abstained"]) == (0.8, 0.8, 2)
    assert either.client.get(f"/v1/jobs/{job_id}/predictions.tsv").status_code == 422


@pytest.mark.parametrize("kind", ["certify", "predict"])
def test_an_answer_shows_each_field_that_was_stored(either: Service, kind: str) -> None:
    """The radii of the procedure and the batch size that memory forced, too."""
    body = {"kind": kind, "dataset": either.dataset(), "checkpoint": either.checkpoint(), "n": 1000}
    if kind == "certify":
        body |= {"sampling": "at_radii", "radii": [0.1, 0.25]}
    job_id = either.client.post("/v1/jobs", json=body).json()["id"]
    spec = either.job(job_id).resolved
    made, store = (
        (replace(certificate(3, spec), radii=(0.1, 0.25), standard=(0.1,) * 10), certificate_rows.store)
        if kind == "certify"
        else (prediction(3, spec), prediction_rows.store)
    )
    stored = replace(made, batch_size=64, seconds=0.25)
    with either.database.write() as session:
        store(session, job_id, [stored])
    noun = "certificates" if kind == "certify" else "predictions"
    (item,) = either.client.get(f"/v1/jobs/{job_id}/{noun}").json()["items"]
    assert item == codec.to_json(stored)
    assert json.loads(either.client.get(f"/v1/jobs/{job_id}/{noun}.ndjson").text) == item
    assert list(getattr(either.connected().job(job_id), noun)()) == [stored]
