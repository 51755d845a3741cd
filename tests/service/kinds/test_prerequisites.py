"""CAT-RS over HTTP: its soft labels and their classifier are found or made with it, shown, and cancelled with it."""

from typing import Any

import pytest
from tests_support.over_http import MODEL, Service, prediction, serving

from radii.worker.kinds import registry
from radii.worker.store import jobs, prediction_rows, resources, shards
from radii.worker.store.blobs import blob_files
from radii.worker.store.models.tables import Checkpoint, Job

TRAIN = {"kind": "train", "architecture": "digits_cnn", "sigma": 0.5, "epochs": 2, "inputs": {"count": 40}}


def _body(dataset: str, method: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return TRAIN | {"dataset": dataset, "method": {"name": "cat_rs", "soft_label_n": 50} | (method or {})} | fields


def _post(service: Service, body: dict[str, Any], status: int = 202, **headers: str) -> dict[str, Any]:
    answer = service.client.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _get(service: Service, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get(f"/v1/jobs/{job_id}").json()
    return found


def _count(service: Service) -> int:
    with service.database.read() as session:
        return session.query(Job).filter(Job.kind != "convert").count()


def _work(service: Service, *, error_at: int | None = None) -> str:
    """Does the next job in the queue as a worker would, with made-up weights and votes; its identifier."""
    first = None
    while (claim := service.claim()) is not None:
        first = first or claim.job_id
        if claim.job_id != first:
            with service.database.write() as session:
                shards.release(session, claim)
            return first
        with service.database.write() as session:
            if claim.kind == "train":
                row = session.get_one(Checkpoint, session.get_one(Job, claim.job_id).checkpoint_id)
                resources.make_ready(session, row, MODEL | {"method": claim.spec.method.name})
            else:
                prediction_rows.store(
                    session,
                    claim.job_id,
                    [prediction(i, claim.spec) for i in range(claim.first, claim.stop) if i != error_at],
                )
                if error_at is not None and claim.first <= error_at < claim.stop:
                    registry.store_failure(session, claim.job_id, error_at, 0, "The process died.")
            shards.finish(session, claim)
    assert first is not None
    return first


def test_a_training_that_needs_soft_labels_brings_their_job_and_their_classifier_along(either: Service) -> None:
    job = _post(either, _body(either.dataset(), {"soft_label_sigma": 0.25}, seed=3))
    votes = job["needs"]
    voter = votes["needs"]
    assert [(made["kind"], made["auto"], made["state"], made["fraction"]) for made in (votes, voter)] == [
        ("soft_labels", True, "queued", 0.0),
        ("train", True, "queued", 0.0),
    ]
    assert (job["auto"], voter["needs"]) == (False, None)
    spec = _get(either, votes["id"])["spec"]
    made = _get(either, voter["id"])
    assert (spec["n"], spec["sigma"], spec["seed"], spec["inputs"]["count"]) == (50, 0.25, 3, 40)
    assert spec["checkpoint"] == made["checkpoint"] != job["checkpoint"]
    same = {name: value for name, value in made["spec"].items() if name not in ("method", "sigma")}
    assert same == {name: value for name, value in job["spec"].items() if name not in ("method", "sigma")}
    assert (made["spec"]["method"], made["spec"]["sigma"]) == ({"name": "gaussian"}, 0.25)


def test_the_three_are_done_one_after_the_other_and_the_votes_can_be_listed(either: Service) -> None:
    job = _post(either, _body(either.dataset()))
    votes, voter = job["needs"]["id"], job["needs"]["needs"]["id"]
    assert [_work(either), _work(either), _work(either)] == [voter, votes, job["id"]]
    seen = _get(either, votes)
    assert (seen["state"], seen["summary"]["kind"], seen["summary"]["inputs_done"]) == ("succeeded", "soft_labels", 40)
    rows = either.client.get(seen["links"]["predictions"]).json()["items"]
    assert [row["index"] for row in rows] == list(range(40))
    assert either.client.get(f"/v1/jobs/{votes}/predictions.csv").text.count("\n") == 41
    assert _get(either, job["id"])["needs"]["state"] == "succeeded"


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_second_training_finds_votes_and_classifier_whatever_its_sigma(service: Service, done: int) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    for _ in range(done):
        _work(service)
    second = _post(service, _body(dataset, {"m": 2}, sigma=1.0))
    assert second["needs"]["id"] == first["needs"]["id"]
    assert _count(service) == 4


@pytest.mark.parametrize("done", [0, 2])
def test_votes_and_classifier_are_found_whatever_the_test_data(service: Service, done: int) -> None:
    dataset = service.dataset()
    tests = [service.dataset(content_hash=letter * 64) for letter in "de"]
    first = _post(service, _body(dataset, test_dataset=tests[0], keep="test_accuracy"))
    assert _get(service, first["needs"]["needs"]["id"])["spec"]["test_dataset"] is None
    for _ in range(done):
        _work(service)
    for test_dataset in (tests[1], None):
        assert _post(service, _body(dataset, test_dataset=test_dataset))["needs"]["id"] == first["needs"]["id"]


@pytest.mark.parametrize("keep", ["last", "test_accuracy"])
def test_test_data_make_another_training_only_where_they_choose_the_weights(service: Service, keep: str) -> None:
    dataset = service.dataset()
    tests = [service.dataset(content_hash=letter * 64) for letter in "de"]
    made = [_post(service, TRAIN | {"dataset": dataset, "test_dataset": test, "keep": keep}) for test in tests]
    assert len({service.job(job["id"]).content_key for job in made}) == (1 if keep == "last" else 2)


@pytest.mark.parametrize(
    "change",
    [{"soft_label_n": 60}, {"soft_label_sigma": 0.12}],
    ids=["other votes", "another classifier"],
)
def test_other_votes_are_other_jobs(service: Service, change: dict[str, Any]) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    second = _post(service, _body(dataset, change))
    assert second["needs"]["id"] != first["needs"]["id"]
    same_voter = second["needs"]["needs"]["id"] == first["needs"]["needs"]["id"]
    assert same_voter == ("soft_label_sigma" not in change)


def test_a_classifier_that_somebody_trained_is_found(service: Service) -> None:
    dataset = service.dataset()
    voter = _post(service, TRAIN | {"dataset": dataset, "sigma": 0.25})
    assert _post(service, TRAIN | {"dataset": dataset, "sigma": 0.25})["id"] != voter["id"], "who asks, gets a job"
    assert _post(service, _body(dataset))["needs"]["needs"]["id"] == voter["id"]
    _work(service)
    again = _post(service, _body(dataset, {"soft_label_n": 51}))
    assert again["needs"]["needs"] is None, "its classifier is there already"
    assert _get(service, again["needs"]["id"])["spec"]["checkpoint"] == voter["checkpoint"]


def test_votes_that_somebody_asked_for_are_found(service: Service) -> None:
    dataset = service.dataset()
    voter = _post(service, TRAIN | {"dataset": dataset, "sigma": 0.25})
    _work(service)
    body = {"kind": "soft_labels", "dataset": dataset, "checkpoint": voter["checkpoint"], "inputs": {"count": 40}}
    votes = _post(service, body | {"n": 50})
    assert (votes["auto"], votes["needs"], votes["spec"]["sigma"]) == (False, None, 0.25)
    assert _post(service, _body(dataset))["needs"]["id"] == votes["id"]
    by_name = _post(service, _body(dataset, {"soft_label_checkpoint": voter["checkpoint"]}))
    assert by_name["needs"]["id"] == votes["id"]


def test_votes_made_by_itself_are_found_by_the_name_of_their_classifier(service: Service) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    _work(service)
    checkpoint = _get(service, first["needs"]["id"])["checkpoint"]
    assert _post(service, _body(dataset, {"soft_label_checkpoint": checkpoint}))["needs"]["id"] == first["needs"]["id"]


def test_another_classifier_can_be_named(service: Service) -> None:
    checkpoint = service.checkpoint()
    job = _post(service, _body(service.dataset(), {"soft_label_checkpoint": checkpoint}))
    votes = _get(service, job["needs"]["id"])
    assert (votes["checkpoint"], votes["needs"], _count(service)) == (checkpoint, None, 2)
    pending = service.checkpoint(state="pending")
    refused = _post(service, _body(service.dataset(), {"soft_label_checkpoint": pending}), 409)
    assert refused["where"] == "method.soft_label_checkpoint"


@pytest.mark.parametrize("view", ["augmented", "plain"])
def test_votes_are_on_images_as_the_training_reads_them_or_on_plain_ones(service: Service, view: str) -> None:
    job = _post(service, _body(service.dataset(), {"soft_label_view": view}, augmentation="crop_flip"))
    seen = _get(service, job["needs"]["id"])["spec"]["augmentation"]
    assert seen == {"augmented": "crop_flip", "plain": "none"}[view]


@pytest.mark.parametrize("in_work", [1, 2], ids=["its classifier in work", "its votes in work"])
def test_what_is_being_cancelled_is_not_used(service: Service, in_work: int) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    for _ in range(in_work - 1):
        _work(service)
    assert service.claim() is not None
    service.client.post(f"/v1/jobs/{first['id']}/cancel")
    second = _post(service, _body(dataset))
    assert (second["state"], second["needs"]["id"] != first["needs"]["id"]) == ("queued", True)


def test_votes_whose_classifier_is_being_cancelled_are_not_used(service: Service) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    votes, voter = first["needs"]["id"], first["needs"]["needs"]["id"]
    assert service.claim() is not None
    service.client.post(f"/v1/jobs/{voter}/cancel")
    assert [_get(service, job_id)["state"] for job_id in (votes, voter)] == ["queued", "cancelling"]
    second = _post(service, _body(dataset))
    assert second["needs"]["id"] != votes and second["needs"]["needs"]["id"] != voter
    refused = _post(service, _body(dataset, {"soft_labels": votes}), 422)
    assert f"{votes}, which needs {voter}, which is cancelling" in refused["detail"]


@pytest.mark.parametrize("lost", ["failed", "cancelled", "with an input without votes"])
def test_what_went_wrong_is_not_used_again(service: Service, lost: str) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    votes, voter = first["needs"]["id"], first["needs"]["needs"]["id"]
    if lost == "failed":
        with service.database.write() as session:
            jobs.fail(session, voter, {"detail": "Training diverged."})
        assert "Training diverged." in _get(service, first["id"])["problem"]["detail"]
    elif lost == "cancelled":
        service.client.post(f"/v1/jobs/{first['id']}/cancel")
        assert _get(service, voter)["state"] == "cancelled"
    else:
        _work(service)
        _work(service, error_at=7)
    second = _post(service, _body(dataset))
    assert second["needs"]["id"] != votes
    kept = "votes" in lost
    assert (second["needs"]["needs"] is None) == kept, "the classifier that is there is used"


def test_votes_are_used_again_after_their_classifier_is_deleted_and_other_votes_need_a_new_one(
    service: Service,
) -> None:
    dataset = service.dataset()
    first = _post(service, _body(dataset))
    votes, voter = first["needs"]["id"], first["needs"]["needs"]["id"]
    for _ in range(3):
        _work(service)
    assert service.client.delete(f"/v1/checkpoints/{_get(service, voter)['checkpoint']}").status_code == 204
    assert _post(service, _body(dataset))["needs"]["id"] == votes
    more = _post(service, _body(dataset, {"soft_label_n": 60}))["needs"]
    assert more["id"] != votes
    assert more["needs"]["id"] != voter


def test_an_idempotent_submission_makes_one_set_of_jobs(either: Service) -> None:
    body = _body(either.dataset())
    made = [_post(either, body, **{"Idempotency-Key": "once"})["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert _count(either) == 3


def test_a_submission_that_is_refused_makes_nothing(service: Service) -> None:
    _post(service, _body(service.dataset(), architecture="lenet"), 422)
    assert _count(service) == 0


def test_checking_only_lists_what_would_be_made_or_used_and_makes_nothing(service: Service) -> None:
    dataset = service.dataset()
    plan = _post(service, _body(dataset) | {"validate_only": True}, 200)
    assert [(need["kind"], need["job"]) for need in plan["needs"]] == [("soft_labels", None), ("train", None)]
    assert [need["work"] for need in plan["needs"]] == [40 * 50, 2]
    assert all(need["estimated_seconds"] > 0 for need in plan["needs"])
    assert _count(service) == 0
    job = _post(service, _body(dataset))
    plan = _post(service, _body(dataset) | {"validate_only": True}, 200)
    assert [(need["kind"], need["job"], need["estimated_seconds"]) for need in plan["needs"]] == [
        ("soft_labels", job["needs"]["id"], 0.0)
    ]


def test_the_work_of_what_would_be_made_counts_towards_the_largest_job(service: Service) -> None:
    body = _body(service.dataset())
    plan = _post(service, body | {"validate_only": True}, 200)
    parts = [plan["estimated_seconds"], *[need["estimated_seconds"] for need in plan["needs"]]]
    assert max(parts) < 0.9 * sum(parts), "each alone is admitted below"
    for most, status in ((0.9 * sum(parts), 422), (1.01 * sum(parts), 202)):
        settings = service.settings.model_copy(update={"max_job_seconds": most})
        with serving(service.database, settings) as limited:
            answer = _post(limited, body, status)
        assert ("with what it needs" in answer.get("detail", "")) == (status == 422)


def test_cancelling_the_training_cancels_what_was_made_for_it(service: Service) -> None:
    job = _post(service, _body(service.dataset()))
    service.client.post(f"/v1/jobs/{job['id']}/cancel")
    states = [_get(service, job_id)["state"] for job_id in (job["needs"]["id"], job["needs"]["needs"]["id"])]
    assert states == ["cancelled", "cancelled"]


def test_votes_that_a_training_waits_for_cannot_be_deleted_and_those_it_used_can(service: Service) -> None:
    job = _post(service, _body(service.dataset()))
    votes = job["needs"]["id"]
    _work(service), _work(service)
    refused = service.client.delete(f"/v1/jobs/{votes}")
    assert (refused.status_code, refused.json()["jobs"]) == (409, [job["id"]])
    _work(service)
    assert service.client.delete(f"/v1/jobs/{votes}").status_code == 204
    assert _get(service, job["id"])["needs"] is None


class TestNamedSoftLabels:
    """``method.soft_labels``: a job of the tenant, on the same data, over all inputs."""

    def _votes(self, service: Service, dataset: str, **fields: Any) -> str:
        body = {"kind": "soft_labels", "dataset": dataset, "checkpoint": service.checkpoint(), "n": 50} | fields
        return str(_post(service, body)["id"])

    def _refused(self, service: Service, dataset: str, votes: str) -> str:
        answer = _post(service, _body(dataset, {"soft_labels": votes}), 422)
        assert answer["where"] == "method.soft_labels"
        return str(answer["detail"])

    def test_are_needed_while_they_are_made(self, service: Service) -> None:
        dataset = service.dataset()
        votes = self._votes(service, dataset)
        job = _post(service, _body(dataset, {"soft_labels": votes}))
        assert (job["needs"]["id"], job["needs"]["auto"], _count(service)) == (votes, False, 2)
        service.client.post(f"/v1/jobs/{job['id']}/cancel")
        assert _get(service, votes)["state"] == "queued", "somebody asked for them"

    def test_may_be_on_an_equal_data_set_of_another_name(self, service: Service) -> None:
        votes = self._votes(service, service.dataset())
        assert _post(service, _body(service.dataset(), {"soft_labels": votes}))["needs"]["id"] == votes

    def test_must_be_a_job_of_the_tenant(self, service: Service) -> None:
        assert "of yours" in self._refused(service, service.dataset(), "job_" + "0" * 28)

    def test_must_be_votes(self, service: Service) -> None:
        assert "of kind certify" in self._refused(service, service.dataset(), service.submitted())

    def test_must_not_have_failed(self, service: Service) -> None:
        dataset = service.dataset()
        votes = self._votes(service, dataset)
        service.client.post(f"/v1/jobs/{votes}/cancel")
        assert "which is cancelled" in self._refused(service, dataset, votes)

    def test_must_be_on_the_same_data(self, service: Service) -> None:
        votes = self._votes(service, service.dataset(content_hash="d" * 64))
        assert "which votes on" in self._refused(service, service.dataset(), votes)

    def test_must_cover_the_inputs(self, service: Service) -> None:
        dataset = service.dataset()
        votes = self._votes(service, dataset, inputs={"count": 39})
        assert "does not vote on index 39" in self._refused(service, dataset, votes)

    def test_must_have_votes_for_every_input(self, service: Service) -> None:
        dataset = service.dataset()
        votes = self._votes(service, dataset, inputs={"count": 50})
        _work(service, error_at=7)
        assert "none on index 7" in self._refused(service, dataset, votes)


def test_the_page_and_the_command_line_tell_what_a_job_waits_for(service: Service) -> None:
    from radii.service.cli.connection import job_text
    from radii.service.schemas.responses import Job as Shown

    job = _post(service, _body(service.dataset()))
    votes, voter = job["needs"]["id"], job["needs"]["needs"]["id"]
    text = job_text(Shown.model_validate(job))
    assert f"Needs {votes} (soft_labels, queued, 0 %), which needs {voter} (train, queued, 0 %)." in text
    page = service.client.get(f"/jobs/{job['id']}").text
    assert "It waits for" in page and f'href="/jobs/{votes}"' in page and f'href="/jobs/{voter}"' in page
    assert "another job needs it" in service.client.get(f"/jobs/{votes}").text
    assert votes in service.client.get("/").text
    assert text.count(votes) == 1 and "Progress: 0 of 2 epochs." in text


def test_what_waits_for_another_job_is_not_waiting_for_a_worker(service: Service) -> None:
    _post(service, _body(service.dataset()))
    assert "radii_oldest_ready_shard_seconds 0.0\n" not in service.client.get("/metrics").text
    assert service.claim() is not None
    assert "radii_oldest_ready_shard_seconds 0.0\n" in service.client.get("/metrics").text


def test_the_file_of_the_votes_can_be_fetched(either: Service) -> None:
    votes = _post(either, _body(either.dataset()))["needs"]["id"]
    _work(either)
    _work(either)
    with blob_files.writing(either.settings.blobs) as writer:
        writer.write(b"votes")
        sealed = writer.seal()
    with either.database.write() as session:
        resources.put_blob(session, either.settings.blobs, sealed)
    address = f"/v1/blobs/{sealed.sha256}"
    assert either.client.get(address).status_code == 404
    with either.database.write() as session:
        jobs.note_output(session, votes, {"sha256": sealed.sha256})
    assert either.client.get(address).content == b"votes"
