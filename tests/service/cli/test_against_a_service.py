"""The main job against a real service: `radii up` in a process of its own, with one local worker, over real files.

Through the Python client and through the commands; what both say must be what the rows say.
"""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests_support.live import running
from typer.testing import CliRunner, Result

from radii.rs_core.data import builtin
from radii.rs_core.reports.certification import summarize
from radii.rs_core.results import ndjson
from radii.service.cli.main import app
from radii.service.client.client import ApiError, Client, Job

pytestmark = pytest.mark.long

SECONDS = 90.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("service") / "data") as (url, _):
        yield url


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    data = builtin.digits()
    np.savez(path, images=data.images, labels=data.labels)
    return path


@pytest.fixture(scope="module")
def trained(url: str, digits: Path) -> tuple[str, str]:
    """Identifiers of a data set and of a checkpoint that was trained on it."""
    with Client(url) as client:
        dataset = client.add_dataset("digits", [digits])
        job = client.train(
            dataset=dataset, architecture="digits_cnn", sigma=0.25, epochs=2, batch_size=64, learning_rate=0.05
        )
        job.wait(timeout=SECONDS, check=True)
        assert job.checkpoint_id is not None and [epoch.epoch for epoch in job.epochs()] == [0, 1]
        return dataset.id, job.checkpoint_id


@pytest.fixture(scope="module")
def certified(url: str, trained: tuple[str, str]) -> str:
    """A finished certification of 12 inputs."""
    with Client(url) as client:
        job = client.certify(
            checkpoint=trained[1], dataset=trained[0], n0=20, n=400, inputs={"step": 150, "count": 12}, seed=5
        )
        return job.wait(timeout=SECONDS, check=True).id


def radii(url: str, *arguments: str | Path) -> Result:
    return CliRunner(env={"RADII_SERVER": url}).invoke(app, [str(argument) for argument in arguments])


def done(url: str, *arguments: str | Path) -> str:
    result = radii(url, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


class TestClient:
    def test_the_report_is_that_of_the_certificates(self, url: str, certified: str) -> None:
        with Client(url) as client:
            job = client.job(certified)
            rows = list(job.certificates())
            report = job.report()
            assert job.info.summary is not None and job.info.summary.kind == "certify"
            running_acr = job.info.summary.acr
        assert [row.index for row in rows] == list(range(0, 1800, 150))
        assert all((sum(row.counts0), sum(row.counts), row.sigma) == (20, 400, 0.25) for row in rows)
        own = summarize(rows)
        assert report.complete and report.results["acr"] == own.acr == pytest.approx(running_acr, abs=1e-12)

    def test_one_line_does_it_all(self, url: str, trained: tuple[str, str]) -> None:
        job = Client(url).certify(checkpoint=trained[1], dataset=trained[0], n0=10, n=50, inputs={"count": 2})
        assert job.wait().report().results["inputs"] == 2

    def test_a_repeated_key_makes_no_second_job(self, url: str, trained: tuple[str, str]) -> None:
        body = {"kind": "predict", "checkpoint": trained[1], "dataset": trained[0], "n": 20, "inputs": {"count": 1}}
        with Client(url) as client:
            answers = [client.http.send("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "k"}) for _ in "ab"]
            assert answers[0].json()["id"] == answers[1].json()["id"]
            assert client.submit(body).id != client.submit(body).id

    def test_a_plan_makes_no_job(self, url: str, trained: tuple[str, str]) -> None:
        body = {"kind": "certify", "checkpoint": trained[1], "dataset": trained[0], "inputs": {"count": 3}}
        with Client(url) as client:
            before = [job.id for job in client.jobs()]
            plan = client.submit(body, validate_only=True)
            assert (plan.inputs, plan.work) == (3, 3 * 100_100)
            assert [job.id for job in client.jobs()] == before

    def test_a_cancelled_job_ends_and_keeps_what_it_has(self, url: str, trained: tuple[str, str]) -> None:
        with Client(url) as client:
            job = client.certify(checkpoint=trained[1], dataset=trained[0], n=20_000)
            ended = job.cancel().wait(timeout=SECONDS)
            assert ended.state == "cancelled"
            assert len(list(ended.certificates())) == ended.progress.done < 1797

    def test_mistakes_carry_the_services_sentence(self, url: str, trained: tuple[str, str]) -> None:
        with Client(url) as client:
            with pytest.raises(ApiError, match="sigma") as caught:
                client.certify(checkpoint=trained[1], dataset=trained[0], sigma=-1)
            assert caught.value.status == 422
            with pytest.raises(ApiError) as missing:
                client.job("job_" + "0" * 28)
            assert missing.value.status == 404

    def test_a_file_that_is_no_data_set_is_rejected_with_the_reason(self, url: str, tmp_path: Path) -> None:
        (tmp_path / "set.npz").write_bytes(b"nonsense")
        with Client(url) as client, pytest.raises(ApiError, match=r"The data set cannot be read \(set\.npz\)"):
            client.add_dataset("nonsense", [tmp_path / "set.npz"])

    def test_bytes_can_be_uploaded_under_any_name(self, url: str) -> None:
        with Client(url) as client:
            made = client.upload(b"abc", name="a b%c?.bin")
            assert (made.name, made.size) == ("a b%c?.bin", 3)
            assert client.http.send("GET", f"/v1/blobs/{made.sha256}").content == b"abc"

    def test_figures_and_pages_come(self, url: str, certified: str) -> None:
        with Client(url) as client:
            job: Job = client.job(certified)
            assert job.plot().startswith(b"\x89PNG") and b"<svg" in job.plot("svg", "radius-histogram")
            assert "<html" in job.report_html()


class TestCommands:
    def test_the_main_job_through_commands(self, url: str, digits: Path, tmp_path: Path) -> None:
        dataset = done(url, "add-dataset", "digits", digits).strip()
        training = ["--kind", "train", "--architecture", "digits_cnn", "--sigma", "0.25", "--epochs", "1"]
        job = done(url, "submit", *training, "--dataset", dataset, "--wait").strip()
        fetched = done(url, "fetch", job, "--out", tmp_path / "trained")
        weights = tmp_path / "trained" / "checkpoint.safetensors"
        assert str(weights) in fetched and weights.stat().st_size > 10_000
        checkpoint = done(url, "add-checkpoint", "again", weights).strip()
        spec = tmp_path / "job.toml"
        spec.write_text(f'kind = "predict"\ndataset = "{dataset}"\nn = 50\n[inputs]\ncount = 3\n')
        submitted = radii(url, "submit", spec, "--checkpoint", checkpoint, "--wait")
        assert submitted.exit_code == 0 and "has succeeded" in submitted.stderr
        done(url, "fetch", submitted.stdout.strip(), "--out", tmp_path / "predicted")
        assert len(ndjson.read_ndjson(tmp_path / "predicted" / "predictions.ndjson")) == 3

    def test_fetched_files_agree_with_each_other(self, url: str, certified: str, tmp_path: Path) -> None:
        done(url, "fetch", certified, "--out", tmp_path)
        names = "report.html report.json report.csv certificates.tsv certificates.ndjson certified-accuracy.png"
        assert {path.name for path in tmp_path.iterdir()} == set(names.split())
        acr = json.loads((tmp_path / "report.json").read_text())["results"]["acr"]
        for name, precision in (("certificates.tsv", 1e-6), ("certificates.ndjson", 1e-15)):
            assert json.loads(done(url, "report", tmp_path / name, "--json"))["acr"] == pytest.approx(
                acr, abs=precision
            )

    def test_status_and_watch_tell_how_a_job_stands(self, url: str, certified: str) -> None:
        assert "has succeeded" in done(url, "status", certified)
        assert json.loads(done(url, "status", certified, "--json"))["state"] == "succeeded"
        watched = radii(url, "watch", certified)
        assert watched.exit_code == 0 and "ACR" in watched.stderr
        assert certified in done(url, "jobs", "--limit", "200")

    def test_watch_ends_with_1_where_the_job_was_cancelled(self, url: str, trained: tuple[str, str]) -> None:
        flags = ["submit", "--kind", "certify", "--n", "20000"]
        job = done(url, *flags, "--dataset", trained[0], "--checkpoint", trained[1]).strip()
        done(url, "cancel", job)
        watched = radii(url, "watch", job)
        assert watched.exit_code == 1 and "was cancelled" in watched.stderr

    def test_what_is_deleted_is_gone_and_what_is_needed_stays(
        self, url: str, trained: tuple[str, str], digits: Path
    ) -> None:
        flags = ["submit", "--kind", "certify", "--n", "1000000"]
        job = done(url, *flags, "--dataset", trained[0], "--checkpoint", trained[1]).strip()
        done(url, "upload", digits)
        refused = radii(url, "delete", "--yes", digits.name, trained[1], job)
        assert refused.exit_code == 1 and refused.stdout == f"{digits.name} is deleted.\n"
        assert job in refused.stderr, "the job that needs the checkpoint"
        done(url, "cancel", job)
        assert radii(url, "watch", job).exit_code == 1
        assert done(url, "delete", "--yes", job) == f"{job} is deleted.\n"
        for gone in (job, digits.name):
            assert radii(url, "delete", "--yes", gone).exit_code == 1

    def test_mistakes_are_one_sentence(self, url: str, trained: tuple[str, str]) -> None:
        for arguments in (
            ["status", "job_1"],
            ["submit", "--kind", "certify", "--dataset", "ds_1", "--checkpoint", "ckpt_1"],
            ["submit", "--kind", "certify", "--dataset", trained[0], "--checkpoint", trained[1], "--alpha", "1"],
            ["add-dataset", "x", "--builtin", "letters"],
        ):
            result = radii(url, *arguments)
            assert result.exit_code == 1, result.output
            assert result.stderr.startswith("radii: ") and result.stderr.count("\n") == 1


class TestVerify:
    def test_a_jobs_certificates_are_computed_and_drawn_again(self, url: str, certified: str) -> None:
        text = done(url, "verify", certified, "--inputs", "5", "--seed", "1")
        assert "Recomputed: 12 certificates from their counts; none wrong." in text
        assert "Redrawn: 5 inputs, chosen by seed 1; 5 have equal counts, none wrong. Compared by equality." in text
        found = json.loads(done(url, "verify", certified, "--inputs", "2", "--json"))
        assert (found["sound"], found["job"], found["redrawn"]["looked_at"]) == (True, certified, 2)
        with Client(url) as client:
            audit = client.verify(certified, inputs=3, seed=1).wait(timeout=SECONDS, check=True)
            assert audit.info.output is not None and audit.info.output["sound"]
            assert audit.info.spec["chosen"] == sorted(audit.info.spec["chosen"])
            assert "Nothing is wrong." in httpx.get(f"{url}/jobs/{audit.id}").text

    @pytest.mark.parametrize("sampling", ["pilot", "at_radii", "anytime"])
    def test_jobs_of_every_procedure_are_audited(self, url: str, trained: tuple[str, str], sampling: str) -> None:
        how: dict[str, object] = {"sampling": sampling, "n": 2_000, "inputs": {"step": 150, "count": 6}}
        if sampling == "at_radii":
            how["radii"] = [0.1, 0.3]
        with Client(url) as client:
            job = client.certify(checkpoint=trained[1], dataset=trained[0], **how).wait(timeout=SECONDS, check=True)
        found = json.loads(done(url, "verify", job.id, "--inputs", "6", "--json"))
        assert (found["sound"], found["recomputed"]["looked_at"], found["redrawn"]["equal"]) == (True, 6, 6)

    def test_a_file_is_checked_by_whoever_has_it_with_model_and_data(
        self, url: str, trained: tuple[str, str], certified: str, digits: Path, tmp_path: Path
    ) -> None:
        done(url, "fetch", certified, "--out", tmp_path)
        with Client(url) as client:
            model = tmp_path / "model.safetensors"
            model.write_bytes(httpx.get(f"{url}/v1/blobs/{client.checkpoint(trained[1]).sha256}").content)
        rows = tmp_path / "certificates.ndjson"
        given = ("--checkpoint", model, "--dataset", digits)
        assert "12 inputs" in done(url, "verify", rows, *given)
        assert "Compared by equality" in done(url, "verify", rows, *given), "report.json says how the job ran"
        (tmp_path / "report.json").unlink()
        assert "12 have equal counts" in done(url, "verify", rows, *given), "the same machine, though nothing says so"
        assert "Redrawn: nothing" in done(url, "verify", rows)
        first, *others = [json.loads(line) for line in rows.read_text().splitlines()]
        moved = first | {"counts": [first["counts"][1], first["counts"][0], *first["counts"][2:]]}
        rows.write_text("\n".join(json.dumps(row) for row in [moved, *others]) + "\n")
        wrong = radii(url, "verify", rows, *given)
        assert wrong.exit_code == 1
        assert "These certificates do not hold what they say." in wrong.stdout


class TestUp:
    def test_a_second_service_on_folder_or_port_is_refused_and_the_first_one_lives(self, tmp_path: Path) -> None:
        with running(tmp_path / "data", "--workers", "0") as (url, process):
            second = CliRunner().invoke(app, ["up", "--port", "0", "--data", str(tmp_path / "data")])
            assert second.exit_code == 1 and f"(process {process.pid})" in second.stderr
            port = ["--port", url.rpartition(":")[2], "--data", str(tmp_path / "other")]
            third = CliRunner().invoke(app, ["up", *port])
            assert third.exit_code == 1 and "the port is taken" in third.stderr
            assert httpx.get(f"{url}/healthz").status_code == 200
        with running(tmp_path / "data", "--workers", "0") as (url, _):
            assert httpx.get(f"{url}/healthz").status_code == 200

    def test_keys_open_another_tenant_on_loopback_and_are_needed_when_asked_for(self, tmp_path: Path) -> None:
        made = CliRunner().invoke(app, ["key", "create", "--tenant", "acme", "--data", str(tmp_path / "data")])
        key = made.stdout.strip()
        with running(tmp_path / "data", "--workers", "0", "--require-key") as (url, _):
            with Client(url, api_key=key) as client:
                assert list(client.jobs()) == []
            with Client(url) as client, pytest.raises(ApiError, match="API key"):
                list(client.jobs())

    def test_ctrl_c_ends_it_in_order_with_everything_that_it_started(self, tmp_path: Path) -> None:
        with running(tmp_path / "data", "--workers", "1") as (_, process):
            workers = children(process.pid)
            assert workers
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def children(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    found = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*found, *(grandchild for child in found for grandchild in children(child))]
