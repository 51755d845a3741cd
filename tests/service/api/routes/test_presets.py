"""Published settings and methods over HTTP: listed, found by name, and the start of a training job."""

from typing import Any

import jsonschema_rs
import pytest
from tests_support.over_http import Service

from radii.rs_core.literature import presets
from radii.rs_core.methods.registry import METHODS
from radii.service.client.client import ApiError, Client

NAME = "cifar10/smoothmix/0.5"


@pytest.fixture
def images(service: Service) -> str:
    """A data set of the form of CIFAR-10."""
    return service.dataset(shape=[3, 32, 32])


@pytest.fixture
def client(service: Service) -> Client:
    made = Client("http://127.0.0.1", retries=0)
    made.http._client.close()
    made.http._client = service.client
    return made


def plan(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.client.post("/v1/jobs", json={"kind": "train", "validate_only": True, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["spec"])


def refused(service: Service, **body: Any) -> dict[str, str]:
    """The one fault that a body is refused for."""
    answer = service.client.post("/v1/jobs", json={"kind": "train", **body})
    assert answer.status_code == 422, answer.text
    (fault,) = answer.json()["errors"]
    return dict(fault)


def test_every_preset_is_listed_with_its_spec_and_its_notes(service: Service) -> None:
    page = service.client.get("/v1/presets").json()
    assert [item["name"] for item in page["items"]] == list(presets.names())
    assert page["next_cursor"] is None
    by_name = {item["name"]: item for item in page["items"]}
    found = by_name["cifar10/macer/0.5"]
    assert found["spec"]["method"]["weight"] == 4.0
    assert found["published"] == 0.691
    assert found["uncertain"] == ["method.weight"]
    assert "says 6" in found["notes"]["method.weight"]
    assert by_name["cifar10/gaussian-cohen/0.12"]["published"] is None
    assert all(item["source"] and item["description"] for item in page["items"])


def test_one_preset_is_found_by_its_name(service: Service) -> None:
    found = service.client.get(f"/v1/presets/{NAME}").json()
    assert found["name"] == NAME
    assert found["spec"] == presets.preset(NAME).body()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cifar10/smothmix/0.5", "cifar10/method/sigma, with a method out of gaussian"),
        ("cifar10/smoothmix/0.50", "one of cifar10/smoothmix/0.25, cifar10/smoothmix/0.5"),
        ("svhn/macer/0.25", "a data set out of mnist, fmnist"),
    ],
)
def test_an_unknown_preset_is_404_and_names_what_there_is(service: Service, path: str, expected: str) -> None:
    answer = service.client.get(f"/v1/presets/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert expected in answer.json()["detail"]
    assert all(name in presets.names() for name in answer.json()["nearest"])


def test_the_nearest_names_come_with_a_404(service: Service) -> None:
    assert service.client.get("/v1/presets/cifar10/smothmix/0.5").json()["nearest"][0] == NAME


def test_a_preset_is_a_job_once_there_is_a_data_set(service: Service, images: str) -> None:
    spec = plan(service, preset=NAME, dataset=images)
    assert "preset" not in spec
    body = presets.preset(NAME).body()
    assert spec["method"] == spec["method"] | body.pop("method")
    assert spec == spec | body
    assert spec["dataset"] == images


def test_what_the_body_says_goes_before_the_preset(service: Service, images: str) -> None:
    spec = plan(service, preset=NAME, dataset=images, epochs=10, method={"steps": 2})
    assert (spec["epochs"], spec["batch_size"]) == (10, 256)
    assert (spec["method"]["steps"], spec["method"]["eta"], spec["method"]["m"]) == (2, 5.0, 2)


def test_another_method_replaces_the_presets(service: Service, images: str) -> None:
    spec = plan(service, preset=NAME, dataset=images, method={"name": "stability"})
    assert spec["method"] == {"name": "stability", "weight": 2.0}


def test_the_job_stores_the_whole_spec_and_its_checkpoint_the_preset(service: Service, images: str) -> None:
    answer = service.client.post("/v1/jobs", json={"kind": "train", "preset": NAME, "dataset": images})
    assert answer.status_code == 202, answer.text
    job = service.job(answer.json()["id"])
    assert job.spec.sigma == 0.5 and job.spec.method.step_size == 1.0
    made = service.client.get(f"/v1/checkpoints/{answer.json()['checkpoint']}").json()
    assert made["source"] == {"job": job.id, "preset": NAME}


def test_a_job_without_a_preset_records_none(service: Service, images: str) -> None:
    body = {"kind": "train", "dataset": images, "architecture": "cifar_resnet20", "sigma": 0.5}
    answer = service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    made = service.client.get(f"/v1/checkpoints/{answer.json()['checkpoint']}").json()
    assert made["source"] == {"job": answer.json()["id"]}


class TestWrongBodies:
    @pytest.mark.parametrize(
        ("preset", "expected"),
        [
            ("cifar10/smoothmix/0.3", "one of cifar10/smoothmix/0.25"),
            ("cifar10", "cifar10/method/sigma"),
            (5, "dataset/method/sigma"),
            ([], "dataset/method/sigma"),
        ],
    )
    def test_an_unknown_preset_is_the_fault_of_its_field_alone(
        self, service: Service, preset: Any, expected: str
    ) -> None:
        found = refused(service, preset=preset, dataset="ds_1")
        assert found["location"] == "body.preset"
        assert expected in found["expected"]

    def test_a_data_set_is_still_needed(self, service: Service) -> None:
        assert refused(service, preset=NAME)["location"] == "body.dataset"

    def test_a_hyper_parameter_of_another_method_is_refused(self, service: Service, images: str) -> None:
        assert refused(service, preset=NAME, dataset=images, method={"beta": 3})["location"] == "body.method.beta"

    def test_a_method_without_a_name_needs_a_preset(self, service: Service, images: str) -> None:
        body = {"dataset": images, "architecture": "cifar_resnet20", "sigma": 0.5, "method": {"steps": 2}}
        assert refused(service, **body)["location"].startswith("body.method")

    def test_null_is_no_preset(self, service: Service, images: str) -> None:
        places = service.client.post("/v1/jobs", json={"kind": "train", "preset": None, "dataset": images}).json()
        assert {fault["location"] for fault in places["errors"]} == {"body.architecture", "body.sigma"}

    def test_only_training_jobs_have_presets(self, service: Service) -> None:
        answer = service.client.post("/v1/jobs", json=service.certify(preset=NAME))
        assert answer.status_code == 422
        assert "body.preset" in answer.json()["detail"]

    def test_a_preset_of_other_images_is_refused(self, service: Service) -> None:
        body = {"kind": "train", "preset": NAME, "dataset": service.dataset()}
        assert "3, 32, 32" in service.client.post("/v1/jobs", json=body).json()["detail"]


BODIES: list[tuple[dict[str, Any], bool]] = [
    ({"preset": NAME, "dataset": "d"}, True),
    ({"preset": NAME, "dataset": "d", "method": {"steps": 2}}, True),
    ({"preset": NAME, "dataset": "d", "method": {"name": "macer", "m": 2}}, True),
    ({"dataset": "d", "architecture": "a", "sigma": 1, "preset": None}, True),
    ({"preset": NAME}, False),
    ({"preset": "cifar10/smoothmix/7", "dataset": "d"}, False),
    ({"preset": None, "dataset": "d"}, False),
    ({"dataset": "d"}, False),
    ({"dataset": "d", "sigma": 1}, False),
    ({"dataset": "d", "start_from": "m", "method": {"name": "adaptive_smoothing"}}, True),
    ({"dataset": "d", "start_from": "m", "method": {"name": "macer"}}, False),
    ({"dataset": "d", "method": {"name": "adaptive_smoothing"}}, False),
    ({"preset": NAME, "dataset": "d", "method": {"name": "magic"}}, False),
    ({"preset": NAME, "dataset": "d", "method": {"name": "macer", "steps": 2}}, False),
]


def test_the_document_asks_for_a_preset_or_for_what_it_fills_in(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/TrainJob", "components": document["components"]}
    accepts = jsonschema_rs.validator_for(schema).is_valid
    for body, valid in BODIES:
        assert accepts({"kind": "train", **body}) is valid, body


class TestMethods:
    def test_methods_are_listed_with_their_papers_and_hyper_parameters(self, service: Service) -> None:
        items = service.client.get("/v1/methods").json()["items"]
        assert [item["name"] for item in items] == list(METHODS)
        smoothmix = next(item for item in items if item["name"] == "smoothmix")
        assert "arXiv 2111.09277" in smoothmix["reference"]
        assert "mixup" in smoothmix["description"]
        eta = smoothmix["hyper_parameters"]["properties"]["eta"]
        assert (eta["default"], eta["description"]) == (5.0, "of the mixup loss")

    def test_a_method_with_a_record_inside_has_its_fields(self, service: Service) -> None:
        items = service.client.get("/v1/methods").json()["items"]
        schema = next(item["hyper_parameters"] for item in items if item["name"] == "consistency")
        attack = schema["$defs"]["AttackFirst"]["properties"]
        assert set(attack) == {"steps", "epsilon", "warmup_epochs"}


class TestClient:
    def test_presets_and_methods_can_be_listed(self, client: Client) -> None:
        assert [found.name for found in client.presets()] == list(presets.names())
        assert client.preset(NAME).spec == presets.preset(NAME).body()
        assert [found.name for found in client.methods()] == list(METHODS)
        with pytest.raises(ApiError) as caught:
            client.preset("cifar10/smoothmix/9 ?#")
        assert caught.value.status == 404

    def test_train_takes_a_preset_and_what_differs_from_it(self, client: Client, images: str) -> None:
        job = client.train(dataset=images, preset=NAME, epochs=3, method={"steps": 2})
        assert (job.info.spec["epochs"], job.info.spec["sigma"]) == (3, 0.5)
        assert job.info.spec["method"]["steps"] == 2
