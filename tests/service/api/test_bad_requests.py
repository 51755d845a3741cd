"""What bad input gets: a problem with one sentence that says what was expected and what came, never a 500."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from tests_support.over_http import Service, serving

from radii.worker.settings import Settings
from radii.worker.store.database import Database

UNKNOWN = "0" * 28

JOBS: list[tuple[str, dict[str, Any], int, tuple[str, ...]]] = [
    ("sigma 0", {"sigma": 0}, 422, ("body.sigma", "greater than 0", "got 0")),
    ("sigma negative", {"sigma": -0.25}, 422, ("body.sigma", "greater than 0", "got -0.25")),
    ("sigma a word", {"sigma": "much"}, 422, ("body.sigma", "number", "'much'")),
    ("alpha 0", {"alpha": 0}, 422, ("body.alpha", "greater than 0", "got 0")),
    ("alpha 1", {"alpha": 1}, 422, ("body.alpha", "less than or equal to 0.5", "got 1")),
    ("n 0", {"n": 0}, 422, ("body.n", "greater than or equal to 1", "got 0")),
    ("n 10^12", {"n": 10**12}, 422, ("body.n", "less than or equal to 100000000", "got 1000000000000")),
    ("n0 not whole", {"n0": 1.5}, 422, ("body.n0", "integer", "1.5")),
    ("seed negative", {"seed": -1}, 422, ("body.seed", "greater than or equal to 0", "got -1")),
    ("seed too large", {"seed": 2**63}, 422, ("body.seed", "less than or equal to")),
    ("unknown field", {"smoothness": 3}, 422, ("body.smoothness", "no field of this name", "got 3")),
    ("unknown field inside", {"inputs": {"every": 3}}, 422, ("body.inputs.every", "no field of this name", "got 3")),
    ("a field of a training job", {"epochs": 3}, 422, ("body.epochs", "no field of this name")),
    ("wrong kind", {"kind": "smooth"}, 422, ("body.kind", "'train', 'certify', 'predict'", "'smooth'")),
    ("kind convert", {"kind": "convert"}, 422, ("body.kind", "'train', 'certify', 'predict'", "'convert'")),
    ("no kind", {"kind": None}, 422, ("body.kind", "'train'")),
    ("no data set", {"dataset": None}, 422, ("body.dataset", "string", "got null")),
    ("unknown data set", {"dataset": f"ds_{UNKNOWN}"}, 422, ("(dataset)", "data set of yours", f"ds_{UNKNOWN}")),
    ("a data set that is none", {"dataset": "../x\0"}, 422, ("(dataset)", "data set of yours", "../x")),
    ("a job as data set", {"dataset": f"job_{UNKNOWN}"}, 422, ("(dataset)", "data set of yours")),
    ("unknown checkpoint", {"checkpoint": f"ckpt_{UNKNOWN}"}, 422, ("(checkpoint)", "checkpoint of yours", UNKNOWN)),
    (
        "no inputs left",
        {"inputs": {"start": 500}},
        422,
        ("(inputs)", "at least one input", "which has 200", "index 500"),
    ),
    ("start astronomic", {"inputs": {"start": 10**40}}, 422, ("inputs",)),
    (
        "two classes with a bet",
        {"bound": "two_class", "sampling": "anytime"},
        422,
        ("body.bound", "one_sided or two_class with fixed and pilot", "got two_class with anytime"),
    ),
    (
        "two classes at radii",
        {"bound": "two_class", "sampling": "at_radii", "radii": [0.5]},
        422,
        ("body.bound", "one_sided with at_radii and anytime", "got two_class with at_radii"),
    ),
    ("at no radii", {"sampling": "at_radii"}, 422, ("body.radii", "at which at_radii is to settle", "got none")),
    ("an empty list of radii", {"sampling": "at_radii", "radii": []}, 422, ("body.radii", "at least 1 item")),
    ("a negative radius", {"sampling": "at_radii", "radii": [-1]}, 422, ("body.radii.0", "greater than or equal to 0")),
    ("radii of a fixed n", {"radii": [0.5]}, 422, ("body.radii", "with sampling = at_radii", "radii with fixed")),
    (
        "radii out of reach",
        {"sampling": "at_radii", "radii": [0.5, 9]},
        422,
        ("(radii)", "radii up to 0.9118", "n = 100,000 samples at sigma = 0.25", "got 9"),
    ),
    ("a sampling that is none", {"sampling": "clever"}, 422, ("body.sampling", "'fixed', 'at_radii', 'anytime'")),
    ("a noise that is none", {"noise": "uniform"}, 422, ("body.noise", "'gaussian' or 'discrete'", "'uniform'")),
    ("too much work", {"n": 10**8, "inputs": {}}, 422, ("estimated work", "noise samples")),
]


def assert_problem(answer: httpx.Response, status: int, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """An RFC 9457 problem of that status whose sentence says these things."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] and body["title"]
    assert body["instance"] == answer.request.url.path
    assert body["detail"].endswith(".")
    for word in words:
        assert word in body["detail"]
    return body


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[Service]:
    """A service that refuses everything it is asked here, so that all may ask it; jobs may take an hour at most."""
    folder = tmp_path_factory.mktemp("still")
    shutil.copy(migrated_file, folder / "radii.db")
    database = Database(f"sqlite:///{folder / 'radii.db'}")
    with serving(database, Settings(data=folder, max_job_seconds=3600.0, min_free=0)) as found:
        yield found
    database.close()


@pytest.fixture(scope="module")
def pair(still: Service) -> dict[str, str]:
    """A data set and a checkpoint that fit."""
    return {"dataset": still.dataset(), "checkpoint": still.checkpoint()}


@pytest.mark.parametrize(("changes", "status", "words"), [row[1:] for row in JOBS], ids=[row[0] for row in JOBS])
def test_a_bad_certify_job_is_refused(
    still: Service, pair: dict[str, str], changes: dict[str, Any], status: int, words: Any
) -> None:
    body = {"kind": "certify", "sigma": 0.25, **pair}
    assert_problem(still.client.post("/v1/jobs", json=body | changes), status, words)
    assert_problem(still.client.post("/v1/jobs", json=body | {"validate_only": True} | changes), status, words)
    assert still.client.get("/v1/jobs").json()["items"] == []


TRAINING: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"architecture": "resnet9000"}, ("no architecture of that name", "digits_cnn", "'resnet9000'")),
    ({"architecture": "lenet"}, ("lenet", "1, 28, 28", "1, 8, 8")),
    ({"method": {"name": "magic"}}, ("body.method.name", "'gaussian'", "'magic'")),
    ({"method": {"name": "gaussian", "strength": 1}}, ("body.method.strength", "no field of this name")),
    ({"epochs": 0}, ("body.epochs", "greater than or equal to 1", "got 0")),
    ({"normalization": "mnist"}, ("body.normalization: expected 'none', 'cifar10'", "JSON object")),
    ({"name": "a\nb"}, ("body.name: expected text without control characters", "got 'a\\nb'")),
    ({"sigma": None}, ("body.sigma", "number", "got null")),
    ({"test_dataset": f"ds_{UNKNOWN}"}, ("(test_dataset)", "data set of yours", UNKNOWN)),
]


@pytest.mark.parametrize(("changes", "words"), TRAINING)
def test_a_bad_training_job_is_refused(
    still: Service, pair: dict[str, str], changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    body = {"kind": "train", "dataset": pair["dataset"], "architecture": "digits_cnn", "sigma": 0.25}
    assert_problem(still.client.post("/v1/jobs", json=body | changes), 422, words)
    assert [row["id"] for row in still.client.get("/v1/checkpoints").json()["items"]] == [pair["checkpoint"]]


def test_a_model_and_data_that_do_not_fit_are_refused(service: Service) -> None:
    body = service.certify()
    shape = body | {"dataset": service.dataset(shape=[3, 32, 32])}
    assert_problem(service.client.post("/v1/jobs", json=shape), 422, ("(dataset)", "1x8x8", "3x32x32"))
    classes = body | {"dataset": service.dataset(num_classes=7)}
    assert_problem(service.client.post("/v1/jobs", json=classes), 422, ("10 classes", "got 7", "(dataset)"))
    silent = body | {"checkpoint": service.checkpoint(sigma=None)}
    assert_problem(service.client.post("/v1/jobs", json=silent), 422, ("(sigma)", "a noise level", "none"))


@pytest.mark.parametrize("validate_only", [False, True])
def test_a_pending_pair_is_409_and_a_rejected_one_422_with_its_reason(service: Service, validate_only: bool) -> None:
    body = service.certify(validate_only=validate_only)
    for field, make in (("dataset", service.dataset), ("checkpoint", service.checkpoint)):
        waiting = service.client.post("/v1/jobs", json=body | {field: make(state="pending")})
        assert_problem(waiting, 409, (f"({field})", "is ready", "which is pending"))
        assert int(waiting.headers["Retry-After"]) > 0
        rejected = assert_problem(
            service.client.post("/v1/jobs", json=body | {field: make(state="rejected")}),
            422,
            (f"({field})", "is ready", "which was rejected (The data set cannot be read: it is empty)"),
        )
        assert rejected["problem"]["type"] == "urn:radii:problem:invalid-dataset"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("datasets", {"name": "d"}, ("exactly one of files", "builtin and corrupt")),
        (
            "datasets",
            {"name": "d", "files": ["x"], "builtin": "digits"},
            ("exactly one of files", "builtin and corrupt"),
        ),
        ("datasets", {"name": "d", "files": []}, ("body.files", "at least 1 item")),
        ("datasets", {"name": "d", "files": ["absent.npz"]}, ("(files)", "upload of yours", "'absent.npz'")),
        ("datasets", {"name": "d", "files": ["a\0b"]}, ("(files)", "upload of yours", "'a\\x00b'")),
        ("datasets", {"name": "d", "builtin": "mnist"}, ("body.builtin", "'digits'", "'mnist'")),
        ("datasets", {"name": "d", "files": ["x"], "format": "pickle"}, ("body.format", "'npz'", "'pickle'")),
        ("datasets", {"name": "d\0", "builtin": "digits"}, ("body.name",)),
        ("datasets", {"name": "d", "builtin": "digits", "color": 1}, ("body.color", "no field of this name")),
        ("checkpoints", {"name": "c"}, ("exactly one of file, files", "and compose")),
        ("checkpoints", {"name": "c", "file": "absent.pt"}, ("(files)", "upload of yours", "'absent.pt'")),
        ("checkpoints", {"name": "c", "file": "x", "architecture": "vgg"}, ("no architecture of that name", "'vgg'")),
        ("checkpoints", {"name": "c", "file": "x", "num_classes": 1}, ("body.num_classes", "2", "got 1")),
        ("checkpoints", {"name": "c", "file": "x", "input_shape": [28, 28]}, ("body.input_shape", "at least 3 items")),
        ("checkpoints", {"name": "c", "file": "x", "sigma": 0}, ("body.sigma", "greater than 0", "got 0")),
    ],
)
def test_a_bad_registration_is_refused(still: Service, path: str, body: dict[str, Any], words: tuple[str, ...]) -> None:
    before = still.client.get(f"/v1/{path}").json()
    assert_problem(still.client.post(f"/v1/{path}", json=body), 422, words)
    assert still.client.get(f"/v1/{path}").json() == before


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"{", 422, ("JSON", "character 1")),
        (b"", 422, ("body", "a value, since it is required")),
        (b"[]", 422, ("body",)),
        (b"null", 422, ("body",)),
        (b'{"kind": "certify", "dataset": "\\ud800", "checkpoint": "x"}', 422, ("text in Unicode", "surrogate")),
        (b'{"\\ud800": 1, "kind": "certify"}', 422, ("text in Unicode", "surrogate")),
        (
            b'{"kind": "certify", "sigma": NaN, "dataset": "x", "checkpoint": "y"}',
            422,
            ("body.sigma", "finite", "got NaN"),
        ),
        (
            b'{"kind": "certify", "n": 1e999, "dataset": "x", "checkpoint": "y"}',
            422,
            ("body.n", "finite", "got Infinity"),
        ),
        (b'{"n": ' + b"9" * 5000 + b"}", 400, ("JSON",)),
        (b"[" * 100_000, 400, ("JSON",)),
        (b"\xff\xfe\x00", 400, ("UTF-8",)),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    still: Service, content: bytes, status: int, words: tuple[str, ...]
) -> None:
    headers = {"Content-Type": "application/json"}
    assert_problem(still.client.post("/v1/jobs", content=content, headers=headers), status, words)


def test_a_body_of_another_type_is_refused(still: Service) -> None:
    answer = still.client.post("/v1/jobs", content=b'{"kind": "certify"}', headers={"Content-Type": "text/plain"})
    assert_problem(answer, 415, ("expected Content-Type: application/json, got text/plain",))


def test_a_huge_body_is_refused(still: Service) -> None:
    whole = still.client.post("/v1/jobs", content=b" " * (2**24 + 1), headers={"Content-Type": "application/json"})
    assert_problem(whole, 413, ("too large", "at most 1,048,576 bytes", "got 16,777,217 bytes"))
    parts = still.client.post(
        "/v1/jobs", content=(b" " * 2**20 for _ in range(17)), headers={"Content-Type": "application/json"}
    )
    assert_problem(parts, 413, ("too large", "at most 1,048,576 bytes", "or more"))


ABSENT = (
    f"/v1/jobs/job_{UNKNOWN}",
    f"/v1/jobs/job_{UNKNOWN}/certificates",
    f"/v1/jobs/job_{UNKNOWN}/certificates.csv",
    f"/v1/jobs/job_{UNKNOWN}/predictions.ndjson",
    f"/v1/jobs/job_{UNKNOWN}/report",
    f"/v1/jobs/job_{UNKNOWN}/report.html",
    f"/v1/jobs/job_{UNKNOWN}/plots/certified-accuracy.png",
    f"/v1/jobs/job_{UNKNOWN}/epochs",
    f"/v1/datasets/ds_{UNKNOWN}",
    f"/v1/checkpoints/ckpt_{UNKNOWN}",
    f"/v1/blobs/{'0' * 64}",
    "/v1/uploads/absent",
    f"/jobs/job_{UNKNOWN}",
    "/nowhere",
)


def test_what_is_not_there_is_404(either: Service) -> None:
    for path in ABSENT:
        assert_problem(either.client.get(path), 404)


ODD = ("%00", "a%00b", "x" * 5000, "%ff%fe", "..", "%F0%9F%A6%8A", "'; drop table job; --", "job_" + "0" * 27 + "%0A")


def test_odd_identifiers_are_404(either: Service) -> None:
    for noun in ("jobs", "datasets", "checkpoints", "blobs", "uploads"):
        for name in ODD:
            assert either.client.get(f"/v1/{noun}/{name}").status_code == 404
            assert either.client.delete(f"/v1/{noun}/{name}").status_code in (404, 405)
            assert either.client.post(f"/v1/{noun}/{name}/cancel").status_code in (404, 405)


def test_a_job_has_only_the_parts_of_its_kind(service: Service) -> None:
    job_id = service.submitted()
    for part, kind in (("predictions", "predict or soft_labels"), ("epochs", "train")):
        answer = service.client.get(f"/v1/jobs/{job_id}/{part}")
        assert_problem(answer, 404, (f"a job of kind {kind}", "one of kind certify"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/jobs?limit=0", ("query.limit", "greater than or equal to 1", "'0'")),
        ("/v1/jobs?limit=201", ("query.limit", "less than or equal to 200", "'201'")),
        ("/v1/jobs?state=asleep", ("query.state", "'queued'", "'asleep'")),
        ("/v1/jobs?cursor=nonsense", ("(cursor)", "next_cursor of a page before", "'nonsense'")),
        ("/v1/jobs?cursor=%C3%A9%00", ("(cursor)", "next_cursor of a page before")),
        ("/v1/datasets?cursor=MTA", ("(cursor)", "next_cursor of a page before", "'MTA'")),
        ("/v1/datasets?cursor=AAAA", ("(cursor)", "next_cursor of a page before", "'AAAA'")),
    ],
)
def test_bad_queries_are_refused(still: Service, path: str, words: tuple[str, ...]) -> None:
    assert_problem(still.client.get(path), 422, words)


def test_bad_waits_and_formats_are_refused(service: Service) -> None:
    job_id = service.submitted()
    assert_problem(service.client.get(f"/v1/jobs/{job_id}?wait=-1"), 422, ("query.wait", "'-1'"))
    assert_problem(service.client.get(f"/v1/jobs/{job_id}?wait=nan"), 422, ("query.wait", "finite"))
    assert_problem(service.client.get(f"/v1/jobs/{job_id}/report.pdf"), 422, ("path.format", "'html'", "'pdf'"))
    assert_problem(service.client.get(f"/v1/jobs/{job_id}/certificates?cursor=MTAwMDAwMDAwMDAwMDAwMDAwMDAw"), 422)
    assert_problem(service.client.post("/v1/jobs", json={}, headers={"Idempotency-Key": "\t"}), 422)


def test_a_method_that_is_not_offered_is_405(still: Service) -> None:
    assert_problem(still.client.patch("/v1/jobs"), 405, ("PATCH is not offered at '/v1/jobs'",))


def test_a_database_that_is_away_is_503_with_a_time_to_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("connection to server at 10.0.0.1 failed: secret"))

    service.client.get("/v1/jobs")
    with monkeypatch.context() as patched:
        patched.setattr("sqlalchemy.orm.Session.scalars", away)
        answer = service.client.get("/v1/jobs")
        assert_problem(answer, 503, ("The database cannot be reached", "try again"))
        assert int(answer.headers["Retry-After"]) > 0
        assert "10.0.0.1" not in answer.text
    assert service.client.get("/v1/jobs").status_code == 200


def test_a_full_disk_under_the_database_is_507(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = service.certify()

    def full(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr("sqlalchemy.orm.Session.flush", full)
        assert_problem(service.client.post("/v1/jobs", json=body), 507, ("The disk is full", "room for the database"))
    assert service.client.post("/v1/jobs", json=body).status_code == 202


@pytest.mark.parametrize(
    "text", ["no such column: job_summary.given_up", "(psycopg.errors.UndefinedColumn) column ..."]
)
def test_a_schema_that_was_changed_a_moment_ago_is_503(
    service: Service, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Before the next look at the schema has found it."""

    def fail(*_: object, **__: object) -> None:
        raise ProgrammingError("SELECT", {}, Exception(text))

    with monkeypatch.context() as patched:
        patched.setattr("sqlalchemy.orm.Session.execute", fail)
        patched.setattr("sqlalchemy.orm.Session.scalars", fail)
        patched.setattr("sqlalchemy.orm.Session.scalar", fail)
        answer = service.client.get("/v1/jobs")
    assert_problem(answer, 503)
    assert answer.headers["Retry-After"]


def test_a_database_without_tables_is_503(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with serving(database, Settings(data=tmp_path)) as service:
        assert_problem(service.client.get("/v1/jobs"), 503)
        ready = service.client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "another schema" in ready.json()["checks"]["schema"]["detail"]
        assert service.client.get("/healthz").status_code == 200
    database.close()


def test_an_unexpected_error_shows_an_identifier_and_nothing_of_the_inside(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret of the inside")

    with monkeypatch.context() as patched:
        patched.setattr("radii.service.views.job_views.views", broken)
        body = assert_problem(service.client.get("/v1/jobs"), 500)
    assert "secret" not in str(body)
    assert body["error_id"] in body["detail"]
    assert body["error_id"] in caplog.text
    assert "the secret of the inside" in caplog.text
