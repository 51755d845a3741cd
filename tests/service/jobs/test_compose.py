"""Composing checkpoints over HTTP: what is answered, what is refused at once, and where a composite is told of."""

from dataclasses import replace
from typing import Any

import pytest
from tests_support import parts
from tests_support.over_http import Service

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, dump_info
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.specs.composition import Ensemble, Mixed
from radii.service.kinds import planning

MIX = Mixed(robust_weight=0.76)
BOTH = CheckpointInfo(
    **facts(MIX, [parts.DIGITS, parts.DIGITS]),
    composition=MIX,
    parts=(replace(parts.DIGITS, file_sha256="a" * 64), replace(parts.DIGITS, file_sha256="b" * 64)),
)


def stored(service: Service, info: CheckpointInfo = parts.DIGITS, **more: Any) -> str:
    """A ready checkpoint of that record."""
    known = {"architecture": info.architecture, "input_shape": list(info.input_shape), "sigma": info.sigma}
    known |= {"num_classes": info.num_classes or None, "method": info.method, "info": dump_info(info)}
    return service.checkpoint(**known, **more)


def compose(service: Service, kind: str, *named: str, **settings: Any) -> Any:
    body = {"name": "made", "compose": {"kind": kind, "parts": list(named), **settings}}
    return service.client.post("/v1/checkpoints", json=body)


def test_a_composition_is_pending_with_the_job_that_makes_it(either: Service) -> None:
    one, other = stored(either), stored(either)
    answer = compose(either, "mixed", one, other, robust_weight=0.76)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    hashes = [either.client.get(f"/v1/checkpoints/{part}").json()["sha256"] for part in (one, other)]
    wanted = {"kind": "mixed", "robust_weight": 0.76, "standard_scale": 1.0, "robust_scale": 1.0, "standard_size": None}
    named = [{"id": part, "sha256": sha256} for part, sha256 in zip((one, other), hashes, strict=True)]
    assert made["source"] == {"compose": wanted, "parts": named}
    assert (made["state"], made["composition"]) == ("pending", wanted)
    assert [(part["id"], part["sha256"]) for part in made["parts"]] == [(part["id"], part["sha256"]) for part in named]
    job = either.client.get(f"/v1/jobs/{made['job']}").json()
    assert (job["kind"], job["checkpoint"], job["spec"]["source"]) == ("convert", made["id"], made["source"])
    assert either.client.get(answer.headers["Location"]).json() == made


def test_a_ready_composite_tells_of_its_parts(service: Service) -> None:
    made = service.client.get(f"/v1/checkpoints/{stored(service, BOTH)}").json()
    assert made["architecture"] == "mixed(digits_cnn, digits_cnn)"
    assert made["composition"]["robust_weight"] == 0.76
    assert [part["sha256"] for part in made["parts"]] == ["a" * 64, "b" * 64]
    assert [(part["architecture"], part["sigma"]) for part in made["parts"]] == [("digits_cnn", 0.25)] * 2
    single = service.client.get(f"/v1/checkpoints/{stored(service)}").json()
    assert (single["composition"], single["parts"], single["role"]) == (None, None, "classifier")


def test_parts_that_are_not_ready_are_409_and_those_that_cannot_be_are_422(service: Service) -> None:
    ready, pending, rejected = (stored(service, state=state) for state in ("ready", "pending", "rejected"))
    found = compose(service, "ensemble", ready, pending)
    assert (found.status_code, found.json()["where"]) == (409, "compose.parts")
    assert f"{pending}, which is pending" in found.json()["detail"]
    for part in (rejected, "ckpt_0", stored(service, tenant="another")):
        assert compose(service, "ensemble", ready, part).status_code == 422
    assert service.client.get("/v1/checkpoints").json()["items"][0]["source"] == {"files": []}


@pytest.mark.parametrize(
    ("kind", "other", "settings", "words"),
    [
        ("ensemble", parts.CIFAR, {}, "expected one image shape in all parts, 1x8x8 as in the first, got 3x32x32"),
        ("ensemble", replace(parts.DIGITS, num_classes=3, class_names=()), {}, "one number of classes in all parts"),
        ("ensemble", parts.DENOISER, {}, "expected a classifier as part 1, got dncnn, a denoiser"),
        ("denoised", parts.DIGITS, {}, "expected a denoiser as part 0, got digits_cnn, a classifier"),
        ("mixed", parts.DIGITS, {}, "robust_weight"),
        ("mixed", parts.DIGITS, {"robust_weight": 1.5}, "less than or equal to 1"),
        ("mixed", parts.DIGITS, {"robust_weight": 0.5, "mixing": {}}, "no field of this name"),
        ("mixed", parts.DIGITS, {"robust_weight": 0.5, "standard_size": 16}, "images of 16x16, the standard_size"),
        ("averaged", parts.DIGITS, {}, "'averaged'"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_at_once(
    service: Service, kind: str, other: CheckpointInfo, settings: dict[str, Any], words: str
) -> None:
    answer = compose(service, kind, stored(service), stored(service, other), **settings)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert len(service.client.get("/v1/checkpoints").json()["items"]) == 2


def test_nothing_is_stated_beside_a_composition(service: Service) -> None:
    body = {"name": "m", "compose": {"kind": "ensemble", "parts": [stored(service), stored(service)]}, "sigma": 0.5}
    assert "nothing beside compose" in service.client.post("/v1/checkpoints", json=body).json()["detail"]
    one = compose(service, "ensemble", stored(service))
    assert (one.status_code, "at least 2 items" in one.json()["detail"]) == (422, True)


def test_the_same_request_twice_makes_one(service: Service) -> None:
    body = {"name": "m", "compose": {"kind": "ensemble", "parts": [stored(service), stored(service)]}}
    made = [
        service.client.post("/v1/checkpoints", json=body, headers={"Idempotency-Key": "k"}).json()["id"] for _ in "12"
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("kind", ["certify", "predict", "soft_labels"])
def test_a_job_that_needs_a_classifier_refuses_a_denoiser(service: Service, kind: str) -> None:
    body = {"kind": kind, "dataset": service.dataset(), "checkpoint": stored(service, parts.DENOISER)}
    answer = service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert "expected a classifier" in answer.json()["detail"] and "a denoiser" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architecture": "ensemble"}, "a composite is put together out of trained models"),
        ({"architecture": "mixed(lenet, lenet)"}, "a composite is put together out of trained models"),
        ({"architecture": "dncnn"}, "expected an architecture that classifies, got dncnn, a denoiser"),
        ({"start_from": "BOTH"}, "of composites, only a mix is trained on, by adaptive_smoothing"),
        ({"start_from": "DENOISER"}, "expected a checkpoint of the architecture digits_cnn, got dncnn"),
    ],
)
def test_a_training_takes_neither_composites_nor_denoisers(
    service: Service, fields: dict[str, str], words: str
) -> None:
    rows = {"BOTH": lambda: stored(service, BOTH), "DENOISER": lambda: stored(service, parts.DENOISER)}
    fields = {name: rows[value]() if value in rows else value for name, value in fields.items()}
    body = {"kind": "train", "dataset": service.dataset(), "architecture": "digits_cnn", "sigma": 0.25, **fields}
    answer = service.client.post("/v1/jobs", json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.json()["detail"]


def test_a_report_says_what_the_model_is_made_of(service: Service) -> None:
    job_id = service.submitted(checkpoint=stored(service, BOTH))
    service.work(job_id)
    found = service.client.get(f"/v1/jobs/{job_id}/report").json()["model"]
    assert found["composition"]["robust_weight"] == 0.76
    assert [part["sha256"] for part in found["parts"]] == ["a" * 64, "b" * 64]
    page = service.client.get(f"/v1/jobs/{job_id}/report.html").text
    assert "mixed, robust scale 1, robust weight 0.76, standard scale 1" in page
    assert "Part 1, robust" in page and "b" * 64 in page


def test_the_work_of_a_composite_is_that_of_its_parts_together(service: Service) -> None:
    work = {"kind": "certify", "dataset": service.dataset(), "n": 10_000, "validate_only": True}
    seconds = [
        service.client.post("/v1/jobs", json=work | {"checkpoint": stored(service, info)}).json()["estimated_seconds"]
        for info in (parts.DIGITS, BOTH)
    ]
    assert seconds[1] == pytest.approx(2 * seconds[0])
    ensemble = facts(Ensemble(), [parts.DIGITS] * 3)
    assert planning.rate(ensemble["architecture"]) == planning.UNKNOWN_RATE
