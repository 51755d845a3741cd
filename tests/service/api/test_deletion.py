"""Deleting asks first, and what named the deleted thing says so instead of pointing at nothing."""

import re
from types import SimpleNamespace

import pytest
from tests_support import things
from tests_support.over_http import Service
from typer.testing import CliRunner

from radii.service.cli import deletion, usage
from radii.service.cli import jobs as remote
from radii.service.cli.main import app
from radii.worker.store import jobs, resources
from radii.worker.store.jobs import NewJob
from radii.worker.store.models.tables import Checkpoint, Dataset, Job


def _trained(service: Service) -> tuple[str, str, str]:
    """A dataset, the job that trained on it, and the checkpoint that the job made."""
    tenant_id = service.tenant()
    with service.database.write() as session:
        dataset = Dataset(id="ds_" + "0" * 28, tenant_id=tenant_id, name="digits", state="ready", source={})
        session.add(dataset)
        session.flush()
        new = NewJob(
            tenant_id=tenant_id,
            spec=things.spec("train"),
            shards=[(0, 1)],
            total=1,
            work_total=1,
            dataset_id=dataset.id,
        )
        job = jobs.submit(session, new)
        checkpoint = resources.create_trained(session, tenant_id, "trained", job.id)
        jobs.cancel(session, job.id)
        session.get_one(Checkpoint, checkpoint.id).state = "ready"
        return dataset.id, job.id, checkpoint.id


def test_a_checkpoint_keeps_the_identifier_of_its_training_and_lists_it_as_deleted(either: Service) -> None:
    _, job, checkpoint = _trained(either)
    assert either.client.get(f"/v1/checkpoints/{checkpoint}").json()["deleted"] == []
    assert either.client.delete(f"/v1/jobs/{job}").status_code == 204
    for body in (
        either.client.get(f"/v1/checkpoints/{checkpoint}").json(),
        either.client.get("/v1/checkpoints").json()["items"][0],
    ):
        assert (body["job"], body["deleted"]) == (job, [job])


def test_a_job_lists_the_dataset_and_the_checkpoint_that_were_deleted_at_once_and_pages_say_so(either: Service) -> None:
    dataset, job, checkpoint = _trained(either)
    assert either.client.get(f"/v1/jobs/{job}").json()["deleted"] == []
    for path in (f"/v1/datasets/{dataset}", f"/v1/checkpoints/{checkpoint}"):
        assert either.client.delete(path).status_code == 204
    body = either.client.get(f"/v1/jobs/{job}").json()
    assert body["deleted"] == [checkpoint, dataset] and body["dataset"] == dataset
    assert "digits (deleted)" in either.client.get("/").text


def test_an_audit_whose_job_was_deleted_has_no_dead_link(service: Service) -> None:
    _, job, _ = _trained(service)
    redrawn = {
        "looked_at": 1,
        "compared_by": "counts",
        "equal": 1,
        "wrong": 0,
        "faults": [],
        "moved_on": 0,
        "failed": 0,
    }
    output = {"job": job, "sound": True, "recomputed": {"looked_at": 1, "wrong": 0, "faults": []}, "redrawn": redrawn}
    tenant_id = service.tenant()
    with service.database.write() as session:
        new = NewJob(tenant_id=tenant_id, spec=things.spec("verify", job=job), shards=[(0, 1)], total=1, work_total=1)
        audit = jobs.submit(session, new).id
        jobs.cancel(session, audit)
        session.get_one(Job, audit).output = output
    assert f'href="/jobs/{job}"' in service.client.get(f"/jobs/{audit}").text
    service.client.delete(f"/v1/jobs/{job}")
    page = service.client.get(f"/jobs/{audit}").text
    assert f'href="/jobs/{job}"' not in page and f"{job} (deleted)" in page


def test_a_record_of_another_service_is_not_called_deleted(service: Service) -> None:
    tenant_id = service.tenant()
    with service.database.write() as session:
        info = {"provenance": {"soft_labels": {"job": "job_" + "f" * 28}}}
        row = Checkpoint(id="ckpt_" + "1" * 28, tenant_id=tenant_id, name="theirs", state="ready", source={}, info=info)
        session.add(row)
    assert service.client.get("/v1/checkpoints").json()["items"][0]["deleted"] == []


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def connected(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (remote, usage):
            monkeypatch.setattr(module, "connect", lambda *_: service.connected())

    def _asked(self, monkeypatch: pytest.MonkeyPatch, *arguments: str, answer: str) -> tuple[int, str]:
        monkeypatch.setattr(deletion, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
        result = CliRunner().invoke(app, ["delete", *arguments], input=answer)
        return result.exit_code, result.output

    def test_it_shows_what_goes_and_what_names_it_and_deletes_nothing_without_a_yes(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dataset, job, checkpoint = _trained(service)
        code, output = self._asked(monkeypatch, checkpoint, dataset, answer="\n")
        assert code == 1 and "Nothing was deleted." in output
        assert f"checkpoint trained ({checkpoint})" in output and f"made by {job}" in output
        assert re.search(rf"dataset digits \({dataset}\), ready; named by {job}", output)
        assert service.client.get(f"/v1/datasets/{dataset}").status_code == 200
        code, output = self._asked(monkeypatch, checkpoint, dataset, answer="y\n")
        assert code == 0 and service.client.get(f"/v1/datasets/{dataset}").status_code == 404

    def test_without_a_terminal_it_needs_yes(self, service: Service) -> None:
        dataset, _, _ = _trained(service)
        result = CliRunner().invoke(app, ["delete", dataset])
        assert result.exit_code == 1 and "or --yes to delete without asking" in result.stderr
        assert service.client.get(f"/v1/datasets/{dataset}").status_code == 200
        assert CliRunner().invoke(app, ["delete", "--yes", dataset]).exit_code == 0
        assert service.client.get(f"/v1/datasets/{dataset}").status_code == 404

    def test_an_unfinished_upload_is_shown_and_deleted_as_usage_advises(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = service.client.post("/v1/uploads", json={"name": "big.npz", "size": 10}).json()
        advice = CliRunner().invoke(app, ["usage"]).output
        assert f"`radii delete {begun['id']}`" in advice
        code, output = self._asked(monkeypatch, begun["id"], answer="y\n")
        assert code == 0, output
        assert f"unfinished upload big.npz ({begun['id']}), 10 bytes, 0 of 1 parts there" in output
        assert service.client.get(f"/v1/uploads/{begun['id']}/parts").status_code == 404

    def test_an_upload_whose_name_looks_like_the_identifier_of_an_unfinished_one_is_deleted_by_its_name(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service.client.put("/v1/uploads/parts_of_cifar.npz", content=b"x")
        code, output = self._asked(monkeypatch, "parts_of_cifar.npz", answer="y\n")
        assert code == 0, output
        assert service.client.get("/v1/uploads/parts_of_cifar.npz").status_code == 404
