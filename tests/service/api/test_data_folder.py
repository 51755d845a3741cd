"""A service whose data folder is not that of its database: it says so, refuses what needs files, and serves the rest."""

from pathlib import Path

import pytest
from tests_support.cli import done, refused
from tests_support.over_http import Service, serving

from radii.worker.doctor import diagnosis
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.folder import folder_identity
from radii.worker.store.folder.folder_identity import FILE

FILE_WORK = (
    ("PUT", "/v1/uploads/a.bin"),
    ("GET", f"/v1/blobs/{'0' * 64}"),
    ("POST", "/v1/predictions?checkpoint=ckpt_0"),
    ("PUT", "/v1/uploads/parts_0/parts/0"),
)


@pytest.fixture
def bound(tmp_path: Path, fresh: Database) -> Settings:
    """A folder that the database belongs to."""
    settings = Settings(data=tmp_path, min_free=0)
    folder_identity.bind(settings, fresh)
    return settings


def _folder_check(service: Service) -> tuple[int, bool, str]:
    answer = service.client.get("/readyz")
    check = answer.json()["checks"]["folder"]
    return answer.status_code, check["ok"], check["detail"]


@pytest.mark.parametrize("act", [lambda file: file.unlink(), lambda file: file.write_text('{"folder": "folder_1"}')])
def test_what_needs_files_is_answered_with_503_and_readyz_tells_what_is_wrong(
    act: object, bound: Settings, fresh: Database
) -> None:
    with serving(fresh, bound) as service:
        service.app.state.heartbeat._look_at_folder()
        assert _folder_check(service)[:2] == (200, True)
        before = (bound.data / FILE).read_text()
        act(bound.data / FILE)  # type: ignore[operator]
        status, ok, detail = _folder_check(service)
        assert (status, ok) == (503, False) and str(bound.data) in detail and "RADII_DATA" in detail
        for method, path in FILE_WORK:
            answer = service.client.request(method, path, content=b"1")
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:radii:problem:files-unavailable"), path
            assert answer.headers["Retry-After"] and str(bound.data) not in answer.text
        assert service.client.get("/v1/jobs").status_code == 200
        assert {each.what: each.state for each in diagnosis.look(bound)}["folder identity"] == "wrong"
        (bound.data / FILE).write_text(before)
        assert _folder_check(service)[:2] == (200, True)
        assert service.client.put("/v1/uploads/a.bin", content=b"1").status_code == 201


def test_a_file_that_is_missing_has_a_problem_of_its_own(bound: Settings, fresh: Database) -> None:
    with serving(fresh, bound) as service:
        sha256 = service.client.put("/v1/uploads/a.tsv", content=b"idx\n").json()["sha256"]
        blob_files.path_of(bound.blobs, sha256).unlink()
        for path in (f"/v1/blobs/{sha256}", "/v1/compare?file=a.tsv"):
            answer = service.client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (410, "urn:radii:problem:missing-file"), path


def test_up_and_migrate_refuse_another_folder_and_migrate_can_adopt_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADII_DATABASE_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    done("migrate", "--data", tmp_path / "one")
    for command in (("up", "--port", "0"), ("migrate",)):
        assert "expected folder_" in refused(*command, "--data", tmp_path / "two")
    assert "expected folder_" in refused("worker", "--data", tmp_path / "two", code=3)
    done("migrate", "--adopt-folder", "--data", tmp_path / "two")
    assert "expected folder_" in refused("migrate", "--data", tmp_path / "one")


def test_a_restored_backup_is_a_service_of_its_own(tmp_path: Path) -> None:
    done("migrate", "--data", tmp_path / "one")
    done("backup", tmp_path / "copy", "--data", tmp_path / "one")
    done("restore", tmp_path / "copy", "--data", tmp_path / "two")
    done("migrate", "--data", tmp_path / "two")
    first, second = ((tmp_path / name / FILE).read_text() for name in ("one", "two"))
    assert first != second


def test_where_a_key_is_needed_the_advice_fits_what_was_asked_for(tmp_path: Path) -> None:
    behind_a_proxy = refused("up", "--require-key", "--port", "0", "--data", tmp_path)
    assert "leave --require-key out" in behind_a_proxy and "listen on" not in behind_a_proxy
    public = refused("up", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path)
    assert "listen on 127.0.0.1, which needs none" in public and "--require-key" not in public
    both = refused("up", "--host", "0.0.0.0", "--require-key", "--port", "0", "--data", tmp_path)
    assert "leave --require-key out and listen on 127.0.0.1" in both
