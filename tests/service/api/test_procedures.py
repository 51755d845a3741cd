"""Jobs of other procedures than Cohen's, seen from outside: what they say of themselves, before and after they end."""

import pytest
from tests_support.over_http import Service, certificate

from radii.rs_core.noise.discrete_distribution import neglected
from radii.rs_core.specs.fields import Sampling
from radii.worker.kinds import registry
from radii.worker.store import certificate_rows, results, shards
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job


def _advance(service: Service, job_id: str, n: int) -> None:
    """Every input of an anytime job has come to ``n`` samples."""
    spec = service.job(job_id).resolved
    with service.database.write() as session:
        certificate_rows.store(session, job_id, [certificate(index, spec, n) for index in range(20)])


def test_a_report_of_a_running_anytime_job_is_valid_and_says_so(service: Service) -> None:
    job_id = service.submitted(sampling="anytime")
    service.claim()
    _advance(service, job_id, 100)
    first = service.client.get(f"/v1/jobs/{job_id}/report")
    body = first.json()
    assert (body["complete"], body["results"]["evaluated"], body["results"]["inputs"]) == (False, 20, 20)
    assert body["results"]["acr"] > 0, "the inputs count with their present bound"
    assert any(
        note.startswith("Valid as it stands: 20 inputs have not come to n samples") for note in body["results"]["notes"]
    )
    assert "Valid as it stands." in service.client.get(f"/v1/jobs/{job_id}/report.html").text
    _advance(service, job_id, 400)
    later = service.client.get(f"/v1/jobs/{job_id}/report")
    assert later.headers["etag"] != first.headers["etag"]
    assert later.json()["results"]["acr"] > body["results"]["acr"]
    summary = service.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    assert (summary["sampling"], summary["inputs_done"], summary["acr_over_done"]) == ("anytime", 0, None)
    assert summary["acr"] == pytest.approx(later.json()["results"]["acr"])
    _advance(service, job_id, 1000)
    last = service.client.get(f"/v1/jobs/{job_id}").json()
    assert last["summary"]["inputs_done"] == 20
    assert service.client.get(f"/v1/jobs/{job_id}/report").json()["complete"]


def test_a_cancelled_anytime_job_keeps_a_valid_report(service: Service) -> None:
    job_id = service.submitted(sampling="anytime")
    held = service.claim()
    assert held is not None
    _advance(service, job_id, 200)
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    with service.database.write() as session:
        shards.release(session, held)
    assert service.job(job_id).state == "cancelled"
    results_ = service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]
    assert results_["acr"] > 0
    assert "200 on average" in " ".join(results_["notes"])


@pytest.mark.parametrize(
    ("sampling", "more", "words"),
    [
        ("fixed", {}, "Each certificate is wrong with probability at most alpha"),
        ("pilot", {}, "A pilot chose the number of samples of each input"),
        ("at_radii", {"radii": [0.1, 0.3]}, "neither is to be ranked against those of a fixed n"),
        ("anytime", {}, "Each certificate holds whenever one looks or stops"),
        ("fixed", {"bound": "two_class"}, "Two-class bound"),
        ("fixed", {"noise": "discrete"}, "images of 8 bits a channel"),
        ("fixed", {"precision": "bf16"}, "bfloat16"),
        ("fixed", {"guarantee": "dataset"}, "all 20 certificates of the job hold together"),
    ],
)
def test_a_report_says_which_procedure_produced_it(
    service: Service, sampling: Sampling, more: dict[str, object], words: str
) -> None:
    job_id = service.finished(sampling=sampling, **more)
    report = service.client.get(f"/v1/jobs/{job_id}/report").json()
    assert report["procedure"] | more == report["procedure"]
    assert report["procedure"]["sampling"] == report["results"]["sampling"] == sampling
    assert words in " ".join(report["results"]["notes"])
    page = service.client.get(f"/v1/jobs/{job_id}/report.html").text
    assert words.split()[0] in page
    row = service.client.get(f"/v1/jobs/{job_id}/certificates").json()["items"][0]
    for name in ("bound", "noise", "precision"):
        assert row[name] == more.get(name, row[name])
    assert row["sampling"] == sampling
    header, first, *_ = service.client.get(f"/v1/jobs/{job_id}/certificates.csv").text.splitlines()
    assert dict(zip(header.split(","), first.split(","), strict=True))["sampling"] == sampling


def test_radii_of_a_job_at_radii_are_those_of_its_report(service: Service) -> None:
    job_id = service.finished(sampling="at_radii", radii=[0.3, 0.1])
    curve = service.client.get(f"/v1/jobs/{job_id}/report").json()["results"]["certified_accuracy"]
    assert [point["radius"] for point in curve] == [0.0, 0.1, 0.3]
    summary = service.client.get(f"/v1/jobs/{job_id}").json()["summary"]
    assert [point["count"] for point in summary["certified_accuracy"]] == [point["count"] for point in curve]


def test_radii_are_told_in_other_norms(service: Service) -> None:
    report = service.client.get(f"/v1/jobs/{service.finished()}/report").json()
    assert report["results"]["linf_per_l2"] == 1 / 8, "of 1 x 8 x 8 values"
    assert "l1 norm up to R too, and of linf norm up to R / sqrt(64) = 0.12500 R" in " ".join(
        report["results"]["notes"]
    )


def test_how_far_a_job_is_goes_by_its_inputs_where_these_get_sizes_of_their_own(service: Service) -> None:
    job_id = service.submitted(sampling="pilot", n=100_000)
    spec = service.job(job_id).resolved
    service.claim()
    with service.database.write() as session:
        certificate_rows.store(session, job_id, [certificate(index, spec, 500) for index in range(5)])
        results.add_device_seconds(session, job_id, 10.0)
    progress = service.client.get(f"/v1/jobs/{job_id}").json()["progress"]
    assert progress["fraction"] == 0.25
    assert progress["work_done"] == 5 * 600
    assert progress["eta_seconds"] == pytest.approx(30.0)


def test_a_plan_shows_what_a_procedure_would_draw_and_certify(service: Service) -> None:
    def planned(**fields: object) -> dict[str, object]:
        answer = service.client.post("/v1/jobs", json=service.certify(n=100_000, validate_only=True, **fields))
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    fixed, pilot = planned(), planned(sampling="pilot")
    rows = fixed["forecast"]["inputs_like"]  # type: ignore[index]
    assert [row["p"] for row in rows] == [0.6, 0.8, 0.9, 0.99, 0.999, 1.0]
    assert rows[-1]["radius"] == fixed["forecast"]["cap"]  # type: ignore[index]
    assert {row["samples"] for row in rows} == {100_100}
    assert pilot["forecast"]["inputs_like"][0]["samples"] < 25_000  # type: ignore[index]
    assert pilot["estimated_seconds"] < fixed["estimated_seconds"] / 1.9  # type: ignore[operator]
    assert fixed["rate"] is None and fixed["forecast"]["acr"] is None, "nothing is known of this model"  # type: ignore[index]


def test_the_rate_of_a_plan_is_that_of_jobs_like_it_on_the_device_of_the_last(service: Service) -> None:
    job_id = service.finished()
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    same = {"kind": "certify", "dataset": job["dataset"], "checkpoint": job["checkpoint"], "validate_only": True}

    def rate(**fields: object) -> float | None:
        return service.client.post("/v1/jobs", json=same | fields).json()["rate"]  # type: ignore[no-any-return]

    assert rate() == pytest.approx(2_200)
    assert rate(precision="bf16") is None
    larger = {"dataset": service.dataset(shape=[1, 16, 16]), "checkpoint": service.checkpoint(input_shape=[1, 16, 16])}
    assert rate(**larger) is None, "the architecture is the same, the images are larger"
    later = service.finished(seed=5)
    with service.database.write() as session:
        session.get_one(Job, later).device_type = "cuda"
        session.get_one(JobSummary, later).device_seconds = 5.5
    assert rate() == pytest.approx(4_000), "a card has come in: what the CPU took tells nothing any more"


def test_a_plan_learns_nothing_from_an_input_that_failed(service: Service) -> None:
    job_id = service.submitted()
    spec = service.job(job_id).resolved
    service.claim()
    with service.database.write() as session:
        certificate_rows.store(session, job_id, [certificate(index, spec) for index in range(19)])
        registry.store_failure(session, job_id, 19, 9, "ended by signal 11")
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    same = {name: job[name] for name in ("dataset", "checkpoint", "kind")} | {"validate_only": True, "seed": 1}
    assert service.client.post("/v1/jobs", json=same).json()["forecast"]["basis"] == job_id


def test_a_plan_rests_on_the_job_that_tells_most_and_says_on_how_much(service: Service) -> None:
    pair = {"dataset": service.dataset(), "checkpoint": service.checkpoint()}
    other = service.finished(**pair, precision="bf16", n=2_000)
    few = service.finished(**pair, inputs={"count": 5}, n=5_000)
    many = service.finished(**pair)

    def basis(**fields: object) -> dict[str, object]:
        body = {"kind": "certify", "validate_only": True, "seed": 1, "n": 1_000, "inputs": {"count": 20}}
        plan = service.client.post("/v1/jobs", json=body | pair | fields).json()
        return plan["forecast"]  # type: ignore[no-any-return]

    found = basis()
    assert (found["basis"], found["basis_inputs"], found["basis_votes"]) == (many, 20, 1_000)
    assert basis(precision="bf16")["basis"] == other
    acr = service.client.get(f"/v1/jobs/{many}").json()["summary"]["acr"]
    assert found["acr"] == pytest.approx(acr, rel=0.02), "what comes of the same votes is what came of them"
    service.client.delete(f"/v1/jobs/{many}")
    assert basis()["basis"] == few, "the same precision goes before more inputs"


def test_discrete_noise_on_images_that_are_not_of_8_bits_is_refused_before_anything_runs(service: Service) -> None:
    for validate_only in (True, False):
        body = service.certify(noise="discrete", dataset=service.dataset(eight_bit=False), validate_only=validate_only)
        answer = service.client.post("/v1/jobs", json=body)
        assert answer.status_code == 422
        assert "expected a data set whose pixels are whole multiples of 1/255" in answer.json()["detail"]
    for known in (True, None):
        body = service.certify(noise="discrete", dataset=service.dataset(eight_bit=known))
        assert service.client.post("/v1/jobs", json=body).status_code == 202


def test_the_work_of_a_job_by_pilot_has_room_for_the_longest_pilot(service: Service) -> None:
    plan = service.client.post("/v1/jobs", json=service.certify(sampling="pilot", n0=37, validate_only=True)).json()
    assert plan["work"] == 20 * (30 * 100 + 1_000)


def test_a_plan_shows_the_largest_n_that_a_budget_is_enough_for(service: Service) -> None:
    service_job = service.client.get(f"/v1/jobs/{service.finished()}").json()
    body = {name: service_job[name] for name in ("dataset", "checkpoint", "kind")} | {"validate_only": True, "seed": 1}

    def within(seconds: float, **fields: object) -> dict[str, float] | None:
        plan = service.client.post("/v1/jobs", json=body | {"budget_seconds": seconds} | fields).json()
        return plan["forecast"]["within_budget"]  # type: ignore[no-any-return]

    inputs, rate = 200, 2_200
    fixed = within(60.0)
    assert fixed is not None
    assert fixed["n"] == 560 and fixed["samples_per_input"] == 660, "two digits; 660 samples for each input fit"
    assert fixed["estimated_seconds"] == pytest.approx(660 * inputs / rate)
    pilot, longer = within(60.0, sampling="pilot"), within(600.0)
    assert pilot is not None and pilot["n"] > fixed["n"] and pilot["estimated_seconds"] <= 60.0
    assert longer is not None and longer["acr"] > fixed["acr"] and longer["cap"] > fixed["cap"]
    assert within(0.5) is None, "not even the smallest n"
    unknown = service.client.post("/v1/jobs", json=service.certify(validate_only=True, budget_seconds=60.0)).json()
    assert unknown["forecast"]["within_budget"]["acr"] is None, "nothing is known of this model"
    refused = service.client.post("/v1/jobs", json=service.certify(budget_seconds=60.0))
    assert refused.status_code == 422
    assert "expected budget_seconds with validate_only" in refused.text


def test_the_recipe_tells_how_much_of_the_discrete_noise_is_neglected(service: Service) -> None:
    job_id = service.finished(noise="discrete")
    recompute = " ".join(service.client.get(f"/v1/jobs/{job_id}/report").json()["recompute"])
    assert (
        f"{neglected(0.25, 1):.2e} for each pixel value of an image, {neglected(0.25, 64):.2e} for the 64" in recompute
    )


def test_a_plan_learns_from_an_earlier_job_with_the_same_model_and_data(service: Service) -> None:
    job_id = service.finished()
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    same = {
        "kind": "certify",
        "dataset": job["dataset"],
        "checkpoint": job["checkpoint"],
        "validate_only": True,
        "seed": 1,
    }
    plan = service.client.post("/v1/jobs", json=same | {"n": 1_000}).json()
    assert plan["forecast"]["basis"] == job_id
    assert plan["forecast"]["samples_per_input"] == 1_100
    assert plan["forecast"]["acr"] == pytest.approx(job["summary"]["acr"], rel=0.02)
    assert plan["rate"] == pytest.approx(20 * 1_100 / 10.0), "0.5 s of device time for each of 20 inputs"
    assert plan["estimated_seconds"] == pytest.approx(plan["inputs"] * 1_100 / plan["rate"])
    longer = service.client.post("/v1/jobs", json=same | {"n": 100_000, "sampling": "pilot"}).json()
    assert longer["forecast"]["acr"] > plan["forecast"]["acr"]
    assert longer["forecast"]["samples_per_input"] < 100_000
    other = service.client.post("/v1/jobs", json=same | {"sigma": 0.5}).json()
    assert other["forecast"]["basis"] is None, "of another noise level"
    again = service.client.post("/v1/jobs", json=same | {"seed": 0}).json()
    assert again["forecast"]["basis"] is None, "its votes would be counted again"
