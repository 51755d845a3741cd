"""Training jobs over HTTP: what they may start from, and what their epochs say."""

from typing import Any

import pytest
from tests_support import mixes, things
from tests_support.over_http import Service

from radii.rs_core.checkpoints.checkpoint_info import dump_info
from radii.worker.store import results

BODY = {"kind": "train", "architecture": "digits_cnn", "sigma": 0.25, "epochs": 3}


def _post(service: Service, **fields: Any) -> tuple[int, dict[str, Any]]:
    answer = service.client.post("/v1/jobs", json=BODY | {"dataset": service.dataset()} | fields)
    return answer.status_code, answer.json()


def test_a_job_starts_from_a_checkpoint_which_then_cannot_be_deleted(either: Service) -> None:
    start = either.checkpoint(num_classes=7)
    status, job = _post(either, start_from=start)
    assert (status, job["spec"]["start_from"]) == (202, start)
    assert either.client.delete(f"/v1/checkpoints/{start}").status_code == 409
    either.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert either.client.delete(f"/v1/checkpoints/{start}").status_code == 204


@pytest.mark.parametrize("what", ["nothing", "pending", "rejected", "deleted", "another tenant's"])
def test_a_start_that_cannot_be_used_is_a_clear_problem(service: Service, what: str) -> None:
    start = {
        "nothing": lambda: "ckpt_nothing",
        "pending": lambda: service.checkpoint(state="pending"),
        "rejected": lambda: service.checkpoint(state="rejected"),
        "deleted": lambda: service.checkpoint(),
        "another tenant's": lambda: service.checkpoint(tenant="other"),
    }[what]()
    if what == "deleted":
        assert service.client.delete(f"/v1/checkpoints/{start}").status_code == 204
    status, problem = _post(service, start_from=start)
    assert status == (409 if what == "pending" else 422)
    assert problem["where"] == "start_from"
    assert start in problem["got"]


def test_a_start_of_another_architecture_is_refused_with_both(service: Service) -> None:
    status, problem = _post(service, start_from=service.checkpoint(architecture="lenet"))
    assert status == 422
    assert (problem["expected"], problem["got"]) == ("a checkpoint of the architecture digits_cnn", "lenet")


MIX: dict[str, Any] = {"kind": "train", "epochs": 2, "method": {"name": "adaptive_smoothing"}}


def _post_mix(service: Service, **fields: Any) -> tuple[int, dict[str, Any]]:
    answer = service.client.post("/v1/jobs", json=MIX | {"dataset": service.dataset()} | fields)
    return answer.status_code, answer.json()


def test_a_mixing_network_is_trained_from_a_mix_which_says_all_about_the_networks(either: Service) -> None:
    _, info = mixes.constant()
    start = either.checkpoint(architecture=info.architecture, info=dump_info(info))
    status, job = _post_mix(either, start_from=start)
    assert status == 202
    assert (job["spec"]["architecture"], job["spec"]["sigma"], job["spec"]["start_from"]) == (None, None, start)
    made = either.client.get(f"/v1/checkpoints/{job['checkpoint']}").json()
    assert made["name"].startswith("mixed (adaptive_smoothing, ")


def test_a_mixing_network_needs_a_mix(service: Service) -> None:
    status, problem = _post_mix(service)
    assert (status, problem["errors"][0]["location"]) == (422, "body.start_from")
    status, problem = _post_mix(service, start_from=service.checkpoint(info=dump_info(things.INFO)))
    assert (status, problem["where"], problem["got"]) == (422, "start_from", "digits_cnn")
    status, problem = _post_mix(service, start_from="ckpt_1", architecture="lenet")
    assert (status, problem["errors"][0]["location"]) == (422, "body.architecture")


def test_a_batch_too_small_for_the_method_is_refused(service: Service) -> None:
    status, problem = _post(service, method={"name": "consistency", "m": 4}, batch_size=2)
    assert (status, problem["where"], problem["got"]) == (422, "batch_size", "2")


def test_certifications_are_seen_in_the_epochs_and_the_last_one_in_the_summary(either: Service) -> None:
    _, job = _post(either)
    found = {"inputs": 4, "acr": 0.25, "abstained": 1, "certified_accuracy": [{"radius": 0.0, "share": 0.75}]}
    number = {"steps": 1, "learning_rate": 0.1, "loss": 2.0, "terms": {}, "accuracy": 0.5, "test_accuracy": 0.5}
    with either.database.write() as session:
        for epoch, certification in enumerate([found | {"acr": 0.125}, found, None]):
            results.store_epoch(
                session, job["id"], number | {"epoch": epoch, "seconds": 1.0, "certification": certification}
            )
    items = either.client.get(f"/v1/jobs/{job['id']}/epochs").json()["items"]
    assert [item["certification"] and item["certification"]["acr"] for item in items] == [0.125, 0.25, None]
    assert items[1]["certification"] == found
    assert either.client.get(f"/v1/jobs/{job['id']}").json()["summary"]["acr"] == 0.25
    assert "<b>0.2500</b><span>ACR of the last periodic certification" in either.client.get(f"/jobs/{job['id']}").text
