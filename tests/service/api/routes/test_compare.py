"""Comparisons over HTTP: jobs and files on the inputs they share, beside published figures."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from tests_support.cli import printed, refused
from tests_support.over_http import Service, certificate
from tests_support.runs import row

from radii.rs_core.literature import published_results
from radii.rs_core.reports.certification import summarize
from radii.rs_core.results.tsv import write_tsv
from radii.service.client.client import ApiError, Client
from radii.service.schemas.comparisons import Comparison
from radii.service.views import comparison, results_files
from radii.worker.store import certificate_rows

CAT_RS = "cifar10/cat_rs/0.25"


@pytest.fixture
def client(service: Service) -> Client:
    made = Client("http://127.0.0.1", retries=0)
    made.http._client.close()
    made.http._client = service.client
    return made


def pair(service: Service, **second: Any) -> tuple[str, str]:
    """Two jobs on one data set."""
    data = service.dataset()
    return service.finished(dataset=data), service.finished(dataset=data, **second)


def upload(service: Service, name: str, radii: list[float | None], labels: list[int] | None = None) -> None:
    """A results file under a name."""
    text = io.StringIO()
    labels = labels or [index % 10 for index in range(len(radii))]
    rows = [row(index, radius, label=label) for index, (radius, label) in enumerate(zip(radii, labels, strict=True))]
    write_tsv(rows, text)
    assert service.client.put(f"/v1/uploads/{name}", content=text.getvalue().encode()).status_code == 201


def asked(service: Service, **query: Any) -> dict[str, Any]:
    answer = service.client.get("/v1/compare", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refusal(service: Service, status: int = 422, **query: Any) -> str:
    answer = service.client.get("/v1/compare", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    return str(answer.json()["detail"])


def test_figures_of_each_job_are_those_of_its_report(either: Service) -> None:
    first, second = pair(either, n=10_000)
    radii = [0.0, 0.1, 0.25, 0.5]
    found = asked(either, job=[first, second], radius=radii)["results"]
    for line, job_id in zip(found["runs"], (first, second), strict=True):
        report = either.client.get(f"/v1/jobs/{job_id}/report").json()["results"]
        assert line["own"]["acr"] == line["shared"]["acr"] == report["acr"]
        assert line["cap"] == report["cap"]
        for name in ("abstained", "abstention_rate", "at_cap", "share_at_cap", "accuracy_at_0", "evaluated"):
            assert line["own"][name] == report[name], name
        rows = either.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"]
        counts = [sum(row["correct"] and row["radius"] >= radius for row in rows) for radius in radii]
        assert [point["count"] for point in line["own"]["certified_accuracy"]] == counts
    assert found["shared"] == 20
    assert "different numbers of samples" in " ".join(found["notes"])


def test_names_are_those_of_models_made_unique_and_the_baseline_is_a_job_or_a_name(service: Service) -> None:
    first, second = pair(service)
    found = asked(service, job=[first, second])
    names = [run["name"] for run in found["results"]["runs"]]
    assert names == [f"a checkpoint ({first})", f"a checkpoint ({second})"]
    for baseline in (second, names[1]):
        results_of = asked(service, job=[first, second], baseline=baseline)["results"]
        assert (results_of["baseline"], results_of["pairs"][0]["run"]) == (names[1], names[0])
    assert [one["job"] for one in found["sources"]] == [first, second]
    assert found["sources"][0]["dataset"]["content_hash"] == "c" * 64
    assert found["sources"][0]["procedure"]["n"] == 1000


def test_one_job_is_laid_beside_published_figures(service: Service) -> None:
    found = asked(service, job=service.finished(), published=[CAT_RS, "cifar10/macer/0.25"])["results"]
    assert [one["name"] for one in found["published"]] == [CAT_RS, "cifar10/macer/0.25"]
    assert {0.0, 0.25, 0.5} <= set(found["radii"])
    assert (found["pairs"], found["runs"][0]["name"]) == ([], "a checkpoint")


def test_a_file_of_anybody_is_compared_with_a_job(service: Service) -> None:
    job_id = service.finished()
    upload(service, "theirs.tsv", [0.5] * 20)
    found = asked(service, job=job_id, file="theirs.tsv", radius=[0.25, 0.5])
    theirs = found["results"]["runs"][1]
    assert (theirs["name"], theirs["procedure"], theirs["shared"]["acr"]) == (
        "theirs.tsv",
        "procedure unknown",
        0.5 * 0.1,
    )
    assert found["sources"][1]["file"] == "theirs.tsv" and len(found["sources"][1]["sha256"]) == 64
    assert [test["radius"] for test in found["results"]["pairs"][0]["tests"]] == [0.25, 0.5]
    assert asked(service, job=job_id, file="theirs.tsv", baseline="theirs.tsv")["results"]["baseline"] == "theirs.tsv"


def test_our_own_files_are_compared_with_their_votes(service: Service) -> None:
    job_id = service.finished()
    text = service.client.get(f"/v1/jobs/{job_id}/certificates.ndjson").content
    service.client.put("/v1/uploads/ours.ndjson", content=text)
    found = asked(service, job=job_id, file="ours.ndjson")["results"]
    assert found["runs"][0]["own"] == found["runs"][1]["own"]
    assert found["pairs"][0]["acr"]["difference"] == 0.0


def test_a_job_that_is_not_done_is_compared_on_what_it_has(service: Service) -> None:
    data = service.dataset()
    whole, part = service.finished(dataset=data), service.submitted(dataset=data)
    service.work(part, most=5)
    found = asked(service, job=[whole, part])["results"]
    assert (found["shared"], found["runs"][1]["own"]["evaluated"], found["runs"][1]["own"]["inputs"]) == (5, 5, 20)
    assert any("is partial: 5 of 20" in note for note in found["notes"])
    assert "Partial." in service.client.get("/v1/compare.html", params={"job": [whole, part]}).text


def test_inputs_that_count_with_their_present_bound_are_told(service: Service) -> None:
    job_id = service.submitted(sampling="anytime")
    with service.database.write() as session:
        spec = service.job(job_id).resolved
        certificate_rows.store(session, job_id, [certificate(index, spec, 200) for index in range(10)])
    found = asked(service, job=job_id)["results"]
    assert found["runs"][0]["complete"] is False
    assert any("10 of its inputs count with their present bound" in note for note in found["notes"])


def test_every_two_are_tested_on_request(service: Service) -> None:
    first, second = pair(service)
    upload(service, "theirs.tsv", [0.5] * 20)
    query = {"job": [first, second], "file": "theirs.tsv"}
    assert len(asked(service, **query)["results"]["pairs"]) == 2
    assert len(asked(service, **query, pairs="all")["results"]["pairs"]) == 3


class TestRefusals:
    def test_nothing_to_compare(self, service: Service) -> None:
        assert "at least one job or file" in refusal(service)
        assert "at least one job or file" in refusal(service, job="", file="", published=CAT_RS)

    def test_what_is_not_there_or_somebody_elses(self, locked: Service) -> None:
        mine, theirs = (locked.key(name) for name in ("mine", "theirs"))
        body = {"kind": "certify", "n": 1000, "inputs": {"count": 20}, "dataset": locked.dataset(tenant="theirs")}
        body["checkpoint"] = locked.checkpoint(tenant="theirs")
        answer = locked.client.post("/v1/jobs", json=body, headers=theirs)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["id"]
        locked.work(job_id)
        locked.client.put("/v1/uploads/x.tsv", content=b"x", headers=theirs)
        assert locked.client.get("/v1/compare", params={"job": job_id}, headers=theirs).status_code == 200
        for query in ({"job": job_id}, {"file": "x.tsv"}):
            for form in ("", ".csv", ".html", "/plots/certified-accuracy.png"):
                assert locked.client.get(f"/v1/compare{form}", params=query, headers=mine).status_code == 404
        assert locked.client.get("/v1/compare", params={"job": job_id}).status_code == 401

    def test_other_kinds_of_jobs(self, service: Service) -> None:
        body = {"kind": "predict", "dataset": service.dataset(), "checkpoint": service.checkpoint()}
        job_id = service.client.post("/v1/jobs", json=body).json()["id"]
        assert "of kind certify, since only these have certificates to compare" in refusal(service, 404, job=job_id)

    def test_unknown_names(self, service: Service) -> None:
        job_id = service.finished()
        assert "a method out of" in refusal(service, job=job_id, published="cifar10/x/0.25")
        assert "a job or file of the comparison" in refusal(service, job=job_id, baseline="job_x")
        assert "the name of an upload" in refusal(service, 404, file="none.tsv")
        assert refusal(service, job=job_id, radius="-1")

    def test_other_data(self, service: Service) -> None:
        job_id = service.finished()
        upload(service, "other.tsv", [0.5] * 20, labels=[3] * 20)
        assert "one label for each input" in refusal(service, job=job_id, file="other.tsv")

    def test_no_shared_input(self, service: Service) -> None:
        data = service.dataset()
        first = service.finished(dataset=data)
        second = service.submitted(dataset=data, inputs={"start": 50, "count": 20})
        with service.database.write() as session:
            spec = service.job(second).resolved
            certificate_rows.store(session, second, [certificate(index, spec) for index in range(50, 70)])
        assert "runs that share inputs" in refusal(service, job=[first, second])

    def test_a_file_that_cannot_be_read_is_called_by_its_name(self, service: Service) -> None:
        service.client.put("/v1/uploads/bad.tsv", content=b"a\tb\n1\t2\n")
        assert "(bad.tsv, line 1)" in refusal(service, file="bad.tsv")
        service.client.put("/v1/uploads/bad.ndjson", content=b"[]\n")
        assert "(bad.ndjson, line 1)" in refusal(service, file="bad.ndjson")

    @pytest.mark.parametrize("line", [b'{"found": 1}', b"[" * 200_000, b'{"found": [1]}'])
    def test_lines_of_no_record_are_no_fault_of_the_service(self, service: Service, line: bytes) -> None:
        service.client.put("/v1/uploads/odd.ndjson", content=line)
        assert "odd.ndjson, line 1" in refusal(service, file="odd.ndjson")

    def test_predictions_have_no_radii(self, service: Service) -> None:
        body = b'{"index": 0, "label": 0, "prediction": 0, "p_value": 0.0, "counts": [9], "n": 9, "sigma": 1, "alpha": 0.1, "seed": 0}\n'
        service.client.put("/v1/uploads/p.ndjson", content=body)
        assert "predictions, which have no radii" in refusal(service, file="p.ndjson")

    def test_too_large_a_file_and_too_many_rows_or_runs(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = service.finished()
        upload(service, "theirs.tsv", [0.5] * 20)
        monkeypatch.setattr(comparison, "MOST_RUNS", 1)
        assert "at most 1 jobs and files" in refusal(service, job=job_id, file="theirs.tsv")
        monkeypatch.setattr(comparison, "MOST_BYTES", 100)
        assert "results files of at most 100 bytes together" in refusal(service, file="theirs.tsv")
        monkeypatch.setattr(comparison, "MOST_ROWS", 19)
        assert "jobs of at most 19 inputs together" in refusal(service, job=job_id)
        assert refusal(service, job=["job_x"] * 11)

    def test_files_are_counted_together(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a.tsv", "b.tsv"):
            upload(service, name, [0.5] * 20)
        size = service.client.get("/v1/uploads").json()["items"][0]["size"]
        monkeypatch.setattr(comparison, "MOST_BYTES", 2 * size - 1)
        assert asked(service, file="a.tsv")
        assert f"{2 * size:,} bytes" in refusal(service, file=["a.tsv", "b.tsv"])

    def test_a_tenant_has_so_many_comparisons_with_files_at_a_time(self, service: Service) -> None:
        upload(service, "theirs.tsv", [0.5] * 20)
        tenant, places = service.tenant(), service.app.state.comparing
        with places.taken(tenant), places.taken(tenant):
            answer = service.client.get("/v1/compare", params={"file": "theirs.tsv"})
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
            assert asked(service, job=service.finished()), "jobs alone need no place"
        assert asked(service, file="theirs.tsv")

    def test_no_session_is_held_while_files_are_read(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        upload(service, "theirs.tsv", [0.5] * 20)
        read, held = results_files.read_results, []

        def watched(*args: Any, **named: Any) -> Any:
            held.append(service.database.engine.pool.checkedout())  # type: ignore[attr-defined]
            return read(*args, **named)

        monkeypatch.setattr(results_files, "read_results", watched)
        assert asked(service, file="theirs.tsv") and held == [0]


class TestForms:
    def test_the_page_stands_alone(self, service: Service) -> None:
        first, second = pair(service)
        answer = service.client.get("/v1/compare.html", params={"job": [first, second], "published": CAT_RS})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        html = answer.text
        assert not re.search(r'(src|href)="(?!data:|#)', html)
        assert "<script" not in html and html.count("data:image/svg+xml;base64,") == 1
        for words in (
            "Comparison of certifications",
            "on the 20 shared inputs",
            "less a checkpoint",
            "Holm",
            "Notes",
            CAT_RS,
        ):
            assert words in html

    def test_names_from_outside_are_only_text_in_the_page(self, service: Service) -> None:
        name = "<script>alert(1)<script>.tsv"
        text = io.StringIO()
        write_tsv([row(0, 0.5)], text)
        url = "/v1/uploads/%3Cscript%3Ealert(1)%3Cscript%3E.tsv"
        assert service.client.put(url, content=text.getvalue().encode()).status_code == 201
        html = service.client.get("/v1/compare.html", params={"file": name}).text
        assert "<script" not in html and "&lt;script&gt;alert(1)" in html

    def test_csv_and_json_are_files(self, service: Service) -> None:
        query = {"job": [*pair(service)]}
        answer = service.client.get("/v1/compare.csv", params=query)
        assert 'filename="comparison.csv"' in answer.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        body = service.client.get("/v1/compare.json", params=query).json()
        assert body == asked(service, **query)
        acrs = [float(row["value"]) for row in rows if row["measure"] == "acr"]
        assert acrs == [run["own"]["acr"] for run in body["results"]["runs"]]

    @pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
    def test_the_plot_is_a_picture(self, service: Service, form: str, start: bytes) -> None:
        query = {"job": [*pair(service)], "published": CAT_RS}
        answer = service.client.get(f"/v1/compare/plots/certified-accuracy.{form}", params=query)
        assert answer.status_code == 200 and answer.content.startswith(start)
        assert answer.headers["content-type"].startswith("image/")

    @pytest.mark.parametrize("form", ["", ".csv", ".html", "/plots/certified-accuracy.svg"])
    def test_what_has_not_changed_is_304(self, service: Service, form: str) -> None:
        job_id = service.submitted()
        service.work(job_id, most=3)
        upload(service, "theirs.tsv", [0.5] * 20)
        query = {"job": job_id, "file": "theirs.tsv"}

        def status(etag: str, **more: Any) -> int:
            headers = {"If-None-Match": etag}
            return service.client.get(f"/v1/compare{form}", params=query | more, headers=headers).status_code

        etag = service.client.get(f"/v1/compare{form}", params=query).headers["ETag"]
        assert status(etag) == 304
        assert status(etag, published=CAT_RS) == status(etag, radius=0.1) == status(etag, baseline="theirs.tsv") == 200
        with service.database.write() as session:
            certificate_rows.store(session, job_id, [certificate(10, service.job(job_id).resolved)])
        assert status(etag) == 200
        etag = service.client.get(f"/v1/compare{form}", params=query).headers["ETag"]
        upload(service, "theirs.tsv", [0.25] * 20)
        assert status(etag) == 200, "the name has other bytes now"

    def test_a_certify_jobs_page_leads_to_it(self, service: Service) -> None:
        job_id = service.finished()
        html = service.client.get(f"/jobs/{job_id}").text
        assert 'action="/v1/compare.html"' in html and f"<option>{CAT_RS}</option>" in html
        assert "cifar10/cat_rs/0.5" not in html, "of another noise level"
        link = service.client.get(f"/v1/jobs/{job_id}").json()["links"]["compare"]
        assert service.client.get(link).status_code == 200
        form = f"/v1/compare.html?job={job_id}&job=&published="
        assert service.client.get(form).status_code == 200, "what a form sends where nothing was chosen"


class TestPublished:
    def test_every_result_is_listed_and_one_is_found_by_its_name(self, service: Service) -> None:
        page = service.client.get("/v1/published").json()
        assert [item["name"] for item in page["items"]] == list(published_results.names())
        found = service.client.get("/v1/published/imagenet/smoothadv/1.0").json()
        assert (found["acr"], "1.003" in found["note"]) == (1.04, True)
        assert found == next(item for item in page["items"] if item["name"] == "imagenet/smoothadv/1.0")

    def test_an_unknown_one_is_404_and_names_what_there_is(self, service: Service) -> None:
        answer = service.client.get("/v1/published/cifar10/cat-rs/0.25")
        assert answer.status_code == 404
        assert "a method out of gaussian" in answer.json()["detail"]
        assert answer.json()["nearest"][0] == CAT_RS


class TestClient:
    def test_it_compares_jobs_and_files(self, service: Service, client: Client) -> None:
        first, second = pair(service)
        upload(service, "theirs.tsv", [0.5] * 20)
        file = next(iter(client.http.items("/v1/uploads")))["name"]
        found = client.compare(
            client.job(first), second, files=[file], published=[CAT_RS], baseline=second, radii=[0.25], all_pairs=True
        )
        assert found.results["baseline"] == f"a checkpoint ({second})"
        assert (len(found.results["pairs"]), found.results["radii"]) == (3, [0.25])
        assert [source.job for source in found.sources] == [first, second, None]
        with pytest.raises(ApiError) as caught:
            client.compare(first, baseline="nobody")
        assert caught.value.status == 422

    @pytest.mark.parametrize(("ending", "start"), [("html", b"<!doctype"), ("csv", b"measure"), ("png", b"\x89PNG")])
    def test_it_brings_the_page_the_table_and_the_plot(
        self, service: Service, client: Client, tmp_path: Path, ending: str, start: bytes
    ) -> None:
        client.compare_file(tmp_path / f"x.{ending}", service.finished(), published=[CAT_RS])
        assert (tmp_path / f"x.{ending}").read_bytes().startswith(start)

    def test_a_file_is_asked_for_like_an_answer(self, service: Service, client: Client, tmp_path: Path) -> None:
        first, second = pair(service)
        upload(service, "theirs.tsv", [0.5] * 20)
        asked = {"files": ["theirs.tsv"], "baseline": second, "radii": [0.25], "all_pairs": True}
        client.compare_file(tmp_path / "x.json", first, second, **asked)
        written = Comparison.model_validate_json((tmp_path / "x.json").read_bytes())
        assert written == client.compare(first, second, **asked)

    def test_it_lists_published_results(self, client: Client) -> None:
        assert [found.name for found in client.published()] == list(published_results.names())


class TestCommand:
    @pytest.fixture(autouse=True)
    def connected(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("radii.service.cli.compare.connect", lambda *_: client)

    def test_jobs_of_a_service_are_compared_with_files(self, service: Service, client: Client, tmp_path: Path) -> None:
        job_id = service.finished()
        rows = list(client.job(job_id).certificates())
        with (tmp_path / "copy.tsv").open("w") as file:
            write_tsv(rows, file)
        text = printed("compare", f"theirs={job_id}", tmp_path / "copy.tsv", "--radii", "0.25")
        acr = summarize(rows).acr
        assert re.search(rf"theirs +{int(acr * 10_000) / 10_000:.4f}", text)
        assert "copy less theirs" in text

    def test_other_kinds_are_refused(self, service: Service) -> None:
        body = {"kind": "predict", "dataset": service.dataset(), "checkpoint": service.checkpoint()}
        job_id = service.client.post("/v1/jobs", json=body).json()["id"]
        assert "only certify jobs have certificates to compare" in refused("compare", job_id)
