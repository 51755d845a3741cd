"""What says which inputs of a results file show the same photograph, and what a comparison of files over HTTP is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support.over_http import Service, certificate
from tests_support.runs import row

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.results.photographs import share_interval
from radii.service.cli.photographs import KnownPhotographs, shown_by, shown_in, unknown_notes
from radii.service.console import CommandError
from radii.worker.store import certificate_rows, evaluation_rows, row_statistics
from radii.worker.store.models.tables import Dataset, Job

CORRUPTED = {
    "groups": [
        {"corruption": "snow", "severities": [1, 5], "start": 100, "count": 100},
        {"corruption": "fog", "severities": [1, 5], "start": 0, "count": 100},
    ]
}
ROWS = [row(index, 0.5) for index in range(200)]


def fetched(folder: Path, **data: Any) -> Path:
    """A folder that `radii fetch` wrote."""
    dataset = {"count": 200, "content_hash": "a" * 64, "selection": {"start": 0, "step": 2, "count": None}, **data}
    (folder / "report.json").write_text(json.dumps({"dataset": dataset}))
    return folder / "certificates.tsv"


def test_a_fetched_report_says_it(tmp_path: Path) -> None:
    found = shown_in(fetched(tmp_path, corrupted=CORRUPTED), {}, ROWS)
    assert found.photographs is not None and found.photographs.starts == (0, 50, 100, 150)
    assert (found.photographs.chosen, found.known, found.data) == (range(0, 200, 2), True, "a" * 64)
    clean = shown_in(fetched(tmp_path), {}, ROWS)
    assert (clean.photographs, clean.known) == (None, True)


def test_another_file_in_that_folder_is_not_taken_for_one_of_it(tmp_path: Path) -> None:
    fetched(tmp_path, corrupted=CORRUPTED)
    assert shown_in(tmp_path / "theirs.tsv", {}, ROWS) == (None, False, None)


def test_a_flag_says_it_where_nothing_else_does(tmp_path: Path) -> None:
    found = shown_in(tmp_path / "theirs.tsv", {}, ROWS, repeating=80)
    assert found.known and found.photographs is not None and found.photographs.starts == (0, 80, 160)
    marks = {"groups": [{"corruption": "fog", "severity": 1, "start": 0, "stop": 200}], "constants": "ImageNet-C"}
    run = {"corrupted": marks, "count": 200, "spec": {"inputs": {}}}
    with pytest.raises(CommandError, match="Expected no --photographs"):
        shown_in(tmp_path / "mine.tsv", run, ROWS, repeating=80)


def test_a_flag_says_it_where_the_record_knows_of_no_corruptions(tmp_path: Path) -> None:
    """As of an npz of corrupted images, which does not say what it holds."""
    run = {"corrupted": None, "count": 200, "dataset": "b" * 64}
    found = shown_in(tmp_path / "mine.tsv", run, ROWS, repeating=80)
    assert found.known and found.photographs is not None and found.data == "b" * 64


def test_labels_that_repeat_are_noted_where_the_record_knows_of_no_corruptions(tmp_path: Path) -> None:
    labels = np.tile(np.random.default_rng(0).integers(0, 10, 100), 2).tolist()
    (note,) = unknown_notes(KnownPhotographs(None, known=True), labels)
    assert "come again every 100 images" in note and "--photographs 100" in note
    assert unknown_notes(KnownPhotographs(None, known=True), range(200)) == ()
    assert len(unknown_notes(KnownPhotographs(None, known=False), range(200))) == 1
    assert unknown_notes(shown_in(tmp_path / "theirs.tsv", {}, ROWS, repeating=80), labels) == ()


def test_a_fetched_report_has_the_declared_photographs(tmp_path: Path) -> None:
    found = shown_in(fetched(tmp_path, photographs=80), {}, ROWS)
    assert found.photographs is not None and found.photographs.starts == (0, 80, 160)
    assert found.photographs.chosen == range(0, 200, 2)


def test_a_dataset_of_clean_images_has_no_groups() -> None:
    assert shown_by(None) is None and shown_by({}) is None


def test_files_of_corrupted_images_are_compared_by_photograph_where_that_is_said(service: Service) -> None:
    text = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    for name, step in (("a.tsv", 2), ("b.tsv", 3)):
        certified = [i % 20 % step > 0 for i in range(100)]
        lines = [
            f"{i}\t{i % 10}\t{i % 10 if yes else -1}\t{0.5 * yes}\t{int(yes)}\t0:00:01"
            for i, yes in enumerate(certified)
        ]
        body = (text + "\n".join(lines) + "\n").encode()
        assert service.client.put(f"/v1/uploads/{name}", content=body).status_code == 201

    def asked(**more: Any) -> dict[str, Any]:
        answer = service.client.get("/v1/compare", params={"file": ["a.tsv", "b.tsv"], **more})
        assert answer.status_code == 200, answer.text
        results: dict[str, Any] = answer.json()["results"]
        return results

    unknown, known = asked(), asked(photographs=20)
    assert unknown["unit"] == "input" and any("Nothing says which inputs" in note for note in unknown["notes"])
    assert (known["unit"], known["units"]) == ("photograph", 20)
    assert known["pairs"][0]["tests"][0]["p_value"] > unknown["pairs"][0]["tests"][0]["p_value"]
    assert service.client.get("/v1/compare", params={"file": "a.tsv", "photographs": 0}).status_code == 422


def registered(service: Service, **source: Any) -> str:
    """A ready dataset of 200 images, of which this is known."""
    identifier = service.dataset()
    with service.database.write() as session:
        row = session.get_one(Dataset, identifier)
        row.source = row.source | source
    return identifier


def certified(service: Service, dataset: str, **fields: Any) -> str:
    """A certification of every 4th image from the second on."""
    job_id = service.submitted(dataset=dataset, inputs={"start": 1, "step": 4, "count": None}, **fields)
    while (claim := service.claim()) is not None:
        for position in range(claim.first, claim.stop):
            with service.database.write() as session:
                certificate_rows.store(session, job_id, [certificate(1 + 4 * position, claim.spec)])
    return job_id


def report(service: Service, job_id: str) -> dict[str, Any]:
    body: dict[str, Any] = service.client.get(f"/v1/jobs/{job_id}/report").json()
    return body


@pytest.mark.parametrize("large", [False, True], ids=["from rows", "from statistics"])
def test_a_report_resamples_the_declared_photographs(
    either: Service, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Images 1, 5, 9, ... of 200 that show 50 photographs: 50 images of 25."""
    if large:
        monkeypatch.setattr(row_statistics, "LARGE", 1)
    job_id = certified(either, registered(either, photographs=50))
    body = report(either, job_id)
    found = body["results"]
    assert (found["unit"], found["units"], found["inputs"]) == ("photograph", 25, 50)
    rows = either.client.get(f"/v1/jobs/{job_id}/certificates?limit=1000").json()["items"]
    sizes = np.bincount([row["index"] % 50 for row in rows], minlength=50)
    right = np.bincount([row["index"] % 50 for row in rows], [row["correct"] for row in rows], minlength=50)
    low, high = share_interval(right.astype(np.int64), sizes, 0.95)
    assert (found["accuracy_at_0"]["low"], found["accuracy_at_0"]["high"]) == (low, high)
    assert found["corruptions"] is None and body["dataset"]["photographs"] == 50
    assert "25 photographs (50 images)" in either.client.get(f"/v1/jobs/{job_id}/plots/certified-accuracy.svg").text


def test_comparisons_resample_the_declared_photographs(either: Service) -> None:
    data = registered(either, photographs=50)
    ids = [certified(either, data, seed=seed) for seed in (0, 1)]
    body = either.client.get("/v1/compare", params={"job": ids}).json()["results"]
    assert (body["unit"], body["units"], body["shared"]) == ("photograph", 25, 50)


def test_evaluations_resample_the_declared_photographs(either: Service) -> None:
    body = {
        "kind": "evaluate",
        "dataset": registered(either, photographs=5),
        "checkpoint": either.checkpoint(),
        "inputs": {"count": 20},
        "evaluation": {"name": "attack", "epsilons": [0.0], "steps": 4, "m": 2, "n": 100},
    }
    job_id = either.client.post("/v1/jobs", json=body).json()["id"]
    counts = (100, *[0] * 9)
    rows = [
        EvaluationRecord(
            index=index,
            label=0,
            found=(PointResult(point=0.0, distance=0.0, prediction=index % 5 % 2, counts=counts),),
            seed=0,
            seconds=0.1,
        )
        for index in range(20)
    ]
    with either.database.write() as session:
        evaluation_rows.store(session, job_id, rows)
    found = report(either, job_id)["results"]
    assert (found["unit"], found["units"]) == ("photograph", 5)


def test_reports_and_comparisons_of_a_dataset_whose_labels_repeat_say_so(service: Service) -> None:
    data = registered(service, label_period=50)
    ids = [certified(service, data, seed=seed) for seed in (0, 1)]
    said = "The labels of the dataset come again every 50 images"
    notes = report(service, ids[0])["results"]["notes"]
    assert [note for note in notes if said in note and "radii add-dataset --photographs 50" in note]
    assert said in service.client.get(f"/v1/jobs/{ids[0]}/report.html").text
    declared = certified(service, registered(service, label_period=50, photographs=50))
    assert not [note for note in report(service, declared)["results"]["notes"] if said in note]


class TestRegistration:
    def asked(self, service: Service, **more: Any) -> Any:
        service.client.put("/v1/uploads/some.npz", content=b"bytes")
        body = {"name": "x", "files": ["some.npz"], "photographs": 50} | more
        return service.client.post(
            "/v1/datasets", json={key: value for key, value in body.items() if value is not None}
        )

    def test_the_number_of_photographs_is_kept(self, service: Service) -> None:
        made = self.asked(service).json()
        assert (made["photographs"], made["source"]["photographs"]) == (50, 50)
        with service.database.read() as session:
            assert session.get_one(Job, made["job"]).spec.source.photographs == 50
        assert service.client.get(f"/v1/datasets/{service.dataset()}").json()["photographs"] is None

    @pytest.mark.parametrize("photographs", [1, 0, -5, 2**31 + 1, 1.5, "ten"])
    def test_what_is_no_number_of_photographs_is_refused(self, service: Service, photographs: Any) -> None:
        answer = self.asked(service, photographs=photographs)
        assert answer.status_code == 422 and "photographs" in answer.text

    def test_it_goes_with_files_alone(self, service: Service) -> None:
        for source in ({"builtin": "digits"}, {"corrupt": {"dataset": service.dataset()}}):
            answer = self.asked(service, files=None, **source)
            assert answer.status_code == 422 and "photographs" in answer.text
