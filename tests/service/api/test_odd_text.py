"""Text that a database or JSON cannot hold never makes a GET fail, whichever way it came in."""

from sqlalchemy import text
from tests_support.over_http import Service

from radii.worker.kinds import registry

ODD = "a\ud800\0\udfffb"
ESCAPED = "a\\ud800\\x00\\udfffb"
PATHS = ("/v1/checkpoints", "/v1/datasets", "/v1/jobs")


def test_odd_text_of_a_resource_reads_the_same_on_both_databases(either: Service) -> None:
    checkpoint = either.checkpoint(info={"provenance": {ODD: [ODD]}})
    dataset = either.dataset(source={"files": [], "note": ODD}, problem={"detail": ODD})
    for path in PATHS:
        assert either.client.get(path).status_code == 200
    found = either.client.get(f"/v1/checkpoints/{checkpoint}").json()
    assert found["info"]["provenance"] == {ESCAPED: [ESCAPED]}
    found = either.client.get(f"/v1/datasets/{dataset}").json()
    assert (found["source"]["note"], found["problem"]["detail"]) == (ESCAPED, ESCAPED)


def test_an_input_whose_error_has_odd_text_is_listed_and_exported(either: Service) -> None:
    job_id = either.submitted()
    claim = either.claim()
    assert claim is not None
    with either.database.write() as session:
        registry.store_failure(session, job_id, 0, 3, ODD)
    base = f"/v1/jobs/{job_id}/certificates"
    assert [row["error"] for row in either.client.get(base).json()["items"]] == [ESCAPED]
    for ending in ("csv", "ndjson"):
        assert either.client.get(f"{base}.{ending}").status_code == 200


def test_what_an_older_version_stored_can_be_read(service: Service) -> None:
    checkpoint = service.checkpoint()
    with service.database.engine.begin() as connection:
        update = text("UPDATE checkpoint SET info = :info WHERE id = :id")
        connection.execute(update, {"info": '{"provenance": {"a": "\\ud800"}}', "id": checkpoint})
    assert service.client.get("/v1/checkpoints").status_code == 200
    assert service.client.get(f"/v1/checkpoints/{checkpoint}").json()["info"]["provenance"] == {"a": "\\ud800"}


def test_an_upload_with_a_nul_in_its_name_is_refused(service: Service) -> None:
    assert service.client.put("/v1/uploads/a%00b", content=b"x").status_code == 422
