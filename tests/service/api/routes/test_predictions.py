"""Predictions over HTTP: what may be asked, what is answered before, while and after a worker has it, and to whom."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from tests_support import over_http, pictures
from tests_support.asking import PNG, URL, ask, claimed, end
from tests_support.over_http import Service, serving

from radii.rs_core.data.dataset_file import content_hash, open_dataset
from radii.rs_core.records import UNKNOWN_LABEL
from radii.worker.sandbox.decoder_client import Decoder
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, shards
from radii.worker.store.blobs import blob_files
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.shards import Claim


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the questions that are refused: its decoder is started once."""
    from tests_support import things

    folder = tmp_path_factory.mktemp("service")
    database = things.migrated(f"sqlite:///{folder / 'radii.db'}")
    with serving(database, Settings(data=folder, min_free=0, prediction_images=4)) as found:
        yield found
    database.close()


def ask_json(service: Service, images: Any, **query: Any) -> httpx.Response:
    return ask(service, json.dumps(images).encode(), headers={"Content-Type": "application/json"}, **query)


def turn(service: Service, claim: Claim, indices: range, n: int) -> None:
    """What a worker stores at the end of one turn."""
    with service.database.write() as session:
        found = [over_http.certificate(index, claim.spec, n) for index in indices]
        certificate_rows.store(session, claim.job_id, found)


def test_before_any_vote_the_answer_is_where_and_when_to_look(service: Service) -> None:
    answer = ask(service)
    assert answer.status_code == 202 and answer.headers["Retry-After"]
    body = answer.json()
    assert answer.headers["Location"] == f"{URL}/{body['job']}"
    assert (body["state"], body["complete"], body["predictions"], body["images"]) == ("queued", False, [], 1)
    assert service.client.get(answer.headers["Location"]).status_code == 202


def test_the_job_is_an_ordinary_one_ahead_of_all_others(service: Service) -> None:
    service.submitted(priority=100)
    body = ask(service, n=500, alpha=0.01, sigma=0.5, seed=7).json()
    claim = claimed(service)
    assert claim.job_id == body["job"] and claim.urgent
    spec = claim.spec
    assert {name: getattr(spec, name) for name in ("kind", "sampling", "n", "alpha", "sigma", "seed")} == {
        "kind": "certify",
        "sampling": "anytime",
        "n": 500,
        "alpha": 0.01,
        "sigma": 0.5,
        "seed": 7,
    }
    listed = service.client.get("/v1/jobs").json()["items"][0]
    assert listed["id"] == body["job"] and listed["links"]["predictions"] == f"{URL}/{body['job']}"
    assert service.client.get(f"/v1/jobs/{body['job']}/report").status_code == 200


def test_the_images_become_a_data_set_without_labels_that_only_the_job_has(service: Service) -> None:
    body = ask(service, pictures.npz(images=np.stack([pictures.RAMP, pictures.RAMP // 2]))).json()
    with service.database.read() as session:
        row = session.get_one(Dataset, session.get_one(Job, body["job"]).dataset_id)
    data = open_dataset(blob_files.path_of(service.settings.blobs, row.sha256 or ""))
    assert (data.images[:, 0] == np.stack([pictures.RAMP, pictures.RAMP // 2])).all()
    assert data.labels.tolist() == [UNKNOWN_LABEL] * 2 and data.num_classes == 10
    assert (row.count, row.shape, row.content_hash) == (2, [1, 8, 8], content_hash(data))
    assert service.client.get(f"/v1/datasets/{row.id}").status_code == 404
    assert row.id not in service.client.get("/v1/datasets").text
    refused = service.client.post("/v1/jobs", json=service.certify(dataset=row.id))
    assert refused.status_code == 422


def test_json_is_parsed_outside_of_the_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 MiB of it take a second and half a GiB, for which every tenant would wait."""
    given, decode = list[bytes](), Decoder.decode

    def noted(self: Decoder, data: bytes, **how: Any) -> Any:
        given.append(data)
        return decode(self, data, **how)

    monkeypatch.setattr(Decoder, "decode", noted)
    assert ask_json(service, [GREY]).status_code == 202
    assert given == [json.dumps([GREY]).encode()]


def test_json_is_one_image_or_several(service: Service) -> None:
    image = (pictures.RAMP / 255).tolist()
    for images, count in (([image], 1), ([[image], [image], [image]], 3)):
        answer = ask_json(service, images)
        assert answer.status_code == 202 and answer.json()["images"] == count
    claim = claimed(service)
    with service.database.read() as session:
        row = session.get_one(Dataset, session.get_one(Job, claim.job_id).dataset_id)
    data = open_dataset(blob_files.path_of(service.settings.blobs, row.sha256 or ""))
    assert (data.images[0, 0] == (pictures.RAMP / 255).astype(np.float32)).all()


def test_what_is_certified_so_far_is_answered_and_refined(service: Service) -> None:
    body = ask(service, pictures.npz(images=np.stack([pictures.RAMP] * 6)), n=1_000).json()
    where, claim = f"{URL}/{body['job']}", claimed(service)
    turn(service, claim, range(3), 200)
    answer = service.client.get(where)
    assert answer.status_code == 200 and not answer.json()["complete"]
    assert [row["index"] for row in answer.json()["predictions"]] == [0, 1, 2]
    first, etag = answer.json()["predictions"][0], answer.headers["ETag"]
    assert (first["prediction"], first["class_name"], first["abstained"], first["n"]) == (0, "0", False, 200)
    assert service.client.get(where, headers={"If-None-Match": etag}).status_code == 304
    turn(service, claim, range(6), 1_000)
    end(service, claim)
    answer = service.client.get(where, headers={"If-None-Match": etag})
    assert answer.status_code == 200 and answer.json()["complete"]
    refined, abstained = answer.json()["predictions"][0], answer.json()["predictions"][4]
    assert refined["n"] == 1_000 and refined["radius"] > first["radius"] > 0
    assert (abstained["prediction"], abstained["class_name"], abstained["radius"]) == (None, None, 0.0)
    assert abstained["abstained"] is True


def test_an_n_that_cannot_certify_is_named_before_any_vote_and_later(service: Service) -> None:
    answer = ask(service, n=9)
    body = answer.json()
    assert answer.status_code == 202 and len(body["warnings"]) == 1
    assert body["warnings"][0].startswith("n = 9 noise samples cannot certify any input at alpha = 0.001")
    assert service.client.get(f"{URL}/{body['job']}").json()["warnings"] == body["warnings"]
    assert ask(service, n=1_000).json()["warnings"] == []


def test_implausible_predictions_are_named_once_the_images_have_all_their_samples(service: Service) -> None:
    body = ask(service, pictures.npz(images=np.stack([pictures.RAMP] * 12)), n=1_000).json()
    where, claim = f"{URL}/{body['job']}", claimed(service)

    def same(n: int) -> None:
        rows = [
            replace(over_http.certificate(0, claim.spec, n), index=index, label=UNKNOWN_LABEL) for index in range(12)
        ]
        with service.database.write() as session:
            certificate_rows.store(session, claim.job_id, rows)

    same(200)
    assert service.client.get(where).json()["warnings"] == []
    same(1_000)
    end(service, claim)
    (said,) = service.client.get(where).json()["warnings"]
    assert said.startswith("Implausible: class 0 is the answer to all 12 inputs")


@pytest.mark.parametrize("until", ["complete", "first"])
def test_a_request_waits_for_the_end_or_for_the_first_votes_of_all(service: Service, until: str) -> None:
    def work() -> None:
        while (claim := service.claim()) is None:
            time.sleep(0.02)
        turn(service, claim, range(2), 100)
        turn(service, claim, range(1, 2), 200)
        if until == "complete":
            turn(service, claim, range(2), 1_000)
            end(service, claim)

    worker = threading.Thread(target=work)
    worker.start()
    images = pictures.npz(images=np.stack([pictures.RAMP] * 2))
    begun = time.monotonic()
    body = ask(service, images, n=1_000, wait=30, until=until).json()
    worker.join()
    assert time.monotonic() - begun < 15
    assert body["complete"] is (until == "complete") and len(body["predictions"]) == 2


def test_a_job_that_fails_answers_with_its_problem(service: Service) -> None:
    body = ask(service).json()
    with service.database.write() as session:
        shards.fail(session, _claim_in(service, session), {"title": "No.", "status": 422, "detail": "It is too large."})
    answer = service.client.get(f"{URL}/{body['job']}")
    assert answer.status_code == 200
    assert answer.json()["problem"]["detail"] == "It is too large." and not answer.json()["complete"]


def _claim_in(service: Service, session: Any) -> Claim:
    found = shards.claim(session, lease=60, device_type="cpu", execution={}, provenance={})
    assert found is not None
    return found


def test_a_request_is_cancelled_and_deleted_like_any_job(service: Service) -> None:
    job = ask(service).json()["job"]
    assert service.client.post(f"/v1/jobs/{job}/cancel").status_code == 202
    body = service.client.get(f"{URL}/{job}").json()
    assert (body["state"], body["complete"], body["predictions"]) == ("cancelled", False, [])
    assert service.client.delete(f"/v1/jobs/{job}").status_code == 204
    with service.database.read() as session:
        assert session.query(Dataset).filter(Dataset.state == "attached").count() == 0


def test_a_request_is_audited_like_any_certification(service: Service) -> None:
    job = ask(service).json()["job"]
    turn(service, claimed(service), range(1), 10_000)
    answer = service.client.post("/v1/jobs", json={"kind": "verify", "job": job})
    assert answer.status_code == 202, answer.text


def test_an_idempotency_key_makes_one_request_of_two(service: Service) -> None:
    checkpoint = service.checkpoint()
    first, second = (ask(service, headers={"Idempotency-Key": "a"}, checkpoint=checkpoint) for _ in range(2))
    assert first.json()["job"] == second.json()["job"] and second.headers["Idempotency-Replayed"] == "true"
    other = ask(service, pictures.png(pictures.RAMP // 2), headers={"Idempotency-Key": "a"}, checkpoint=checkpoint)
    assert other.status_code == 422
    assert not list((service.settings.blobs / "new").iterdir()), "nothing is left of what was not used"


def test_another_tenants_request_and_checkpoint_are_not_there(locked: Service) -> None:
    mine, theirs = locked.key("mine"), locked.key("theirs")
    checkpoint = locked.checkpoint(tenant="mine")
    assert ask(locked, headers=theirs, checkpoint=checkpoint).status_code == 404
    job = ask(locked, headers=mine, checkpoint=checkpoint).json()["job"]
    assert locked.client.get(f"{URL}/{job}", headers=mine).status_code == 202
    assert locked.client.get(f"{URL}/{job}", headers=theirs).status_code == 404
    assert locked.client.get(f"{URL}/{job}").status_code == 401


GREY = (pictures.RAMP / 255).tolist()
JSON = "application/json"


@pytest.mark.parametrize(
    ("kind", "body", "status", "says"),
    [
        ("image/png", b"", 422, "expected a PNG or JPEG image"),
        ("image/png", b"no image", 422, "expected a PNG or JPEG image"),
        ("image/png", PNG[:60], 422, "expected a whole PNG or JPEG image"),
        ("image/png", pictures.png(pictures.RAMP[:, :4]), 422, "expected images of 1x8x8"),
        ("image/png", pictures.png(np.stack([pictures.RAMP] * 3, axis=-1)), 422, "got one of 3x8x8"),
        ("application/zip", pictures.zipped(**{f"n{i}": PNG for i in range(5)}), 422, "1 to 4 images in one request"),
        ("application/octet-stream", pictures.npz(images=np.zeros((5, 8, 8), np.uint8)), 422, "1 to 4 images"),
        ("application/octet-stream", pictures.npz(images=np.zeros((1, 8, 8), object)), 422, "which is a pickle"),
        ("multipart/form-data; boundary=x", b"--x--", 415, "expected the images' bytes"),
        (JSON, b"", 422, "expected JSON with nested lists"),
        (JSON, b"{}", 422, "expected JSON with nested lists"),
        (JSON, b"[[[NaN]]]", 422, "expected JSON with nested lists"),
        (JSON, b'[[["a"]]]', 422, "expected JSON with nested lists"),
        (JSON, b"[[[true]]]", 422, "expected JSON with nested lists"),
        (JSON, b"[" * 100_000, 422, "expected JSON with nested lists"),
        (JSON, b"[[[1], [1, 2]]]", 422, "got lists that are not of one length"),
        (JSON, b'{"images": 3}', 422, "got an object"),
        ("application/x-www-form-urlencoded", b" [[[2]]]", 422, "pixels in [0, 1]"),
        (JSON, json.dumps(GREY).encode(), 422, "expected JSON with nested lists"),
        (JSON, json.dumps([(pictures.RAMP * 1.0).tolist()]).encode(), 422, "pixels in [0, 1]"),
        (JSON, json.dumps([[[GREY]] * 2]).encode(), 422, "expected JSON with nested lists"),
        (JSON, json.dumps([[GREY]] * 5).encode(), 422, "1 to 4 images"),
        (JSON, json.dumps([GREY[:4]]).encode(), 422, "expected images of 1x8x8"),
    ],
)
def test_each_wrong_body_is_told_what_was_expected(
    made: Service, kind: str, body: bytes, status: int, says: str
) -> None:
    answer = ask(made, body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]
    assert made.client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"checkpoint": "ckpt_" + "0" * 28}, 404, "a checkpoint of yours"),
        ({"checkpoint": "what?"}, 404, "a checkpoint of yours"),
        ({"n": 0}, 422, "n"),
        ({"n": "many"}, 422, "n"),
        ({"alpha": 0.7}, 422, "alpha"),
        ({"sigma": -1}, 422, "sigma"),
        ({"seed": -1}, 422, "seed"),
        ({"wait": -1}, 422, "wait"),
        ({"until": "tomorrow"}, 422, "until"),
        ({"samples": 5}, 422, "samples"),
        ({"n": 100_000_000}, 422, "a job of at most 600 s of estimated work"),
    ],
)
def test_each_wrong_query_is_told_what_was_expected(made: Service, query: Any, status: int, says: str) -> None:
    answer = ask(made, **query)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(("state", "status"), [("pending", 409), ("rejected", 422)])
def test_a_checkpoint_has_to_be_ready(made: Service, state: str, status: int) -> None:
    assert ask(made, checkpoint=made.checkpoint(state=state)).status_code == status


def test_a_noise_level_has_to_come_from_somewhere(made: Service) -> None:
    checkpoint = made.checkpoint(sigma=None)
    assert "a noise level" in ask(made, checkpoint=checkpoint).json()["detail"]


def test_too_many_bytes_are_refused(made: Service) -> None:
    assert ask(made, b"\0" * (16 * 2**20 + 1)).status_code == 413


def test_what_is_no_request_for_predictions_is_not_found_as_one(service: Service) -> None:
    answer = service.client.get(f"{URL}/{service.submitted()}")
    assert answer.status_code == 404


def test_names_of_the_checkpoints_classes_are_told(service: Service) -> None:
    names = [f"digit {number}" for number in range(10)]
    checkpoint = service.checkpoint()
    with service.database.write() as session:
        session.get_one(Checkpoint, checkpoint).class_names = names
    job = ask(service, checkpoint=checkpoint).json()["job"]
    turn(service, claimed(service), range(1), 100)
    assert service.client.get(f"{URL}/{job}").json()["predictions"][0]["class_name"] == "digit 0"


def test_what_is_certified_of_a_mix_is_said(made: Service) -> None:
    said = made.client.get("/openapi.json").json()["paths"][URL]["post"]["description"]
    assert "the whole mix under noise" in " ".join(said.split())


def test_pages_show_a_request_as_what_it_is_and_no_accuracy(service: Service) -> None:
    job = ask(service).json()["job"]
    assert "certify: prediction" in service.client.get("/").text
    page = service.client.get(f"/jobs/{job}").text
    assert f'href="/v1/predictions/{job}"' in page and "ACR over" not in page and "Certified accuracy" not in page
