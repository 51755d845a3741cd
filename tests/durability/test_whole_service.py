"""The main job as on a server: HTTP with keys, Postgres, Redis, and a real Celery worker process, by the same commands."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests_support import servers
from tests_support.live import running

from radii.rs_core.certify.certificates import predict
from radii.service.client.client import ApiError, Client

pytestmark = pytest.mark.long


@contextmanager
def _worker(variables: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "radii.service.cli.main", "worker"],
            env=os.environ | variables,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _radii(variables: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "radii.service.cli.main", *arguments]
    return subprocess.run(command, env=os.environ | variables, check=True, capture_output=True, text=True).stdout


def test_the_main_job_runs_on_postgres_redis_and_celery(
    postgres: servers.Postgres, redis_url: str, tmp_path: Path
) -> None:
    with postgres.database() as url:
        variables = {
            "RADII_DATABASE_URL": url,
            "RADII_BROKER_URL": redis_url,
            "RADII_QUEUE": f"radii-test-{secrets.token_hex(4)}",
            "RADII_DATA": str(tmp_path / "data"),
            "RADII_COMMIT": "0.3",
            "RADII_DEVICE": "cpu",
        }
        _radii(variables, "migrate")
        key = next(word for word in _radii(variables, "key", "create", "--tenant", "lab").split() if "radii_" in word)
        with (
            running(tmp_path / "data", "--require-key", **variables) as (address, _),
            _worker(variables, tmp_path / "worker.log"),
            Client(address, api_key=key) as client,
        ):
            data = client.add_dataset("digits", builtin="digits")
            training = client.train(
                dataset=data,
                architecture="digits_cnn",
                sigma=0.25,
                epochs=3,
                batch_size=64,
                learning_rate=0.05,
                inputs={"count": 1_500},
            ).wait(check=True)
            certification = client.certify(
                checkpoint=training.checkpoint_id or "", dataset=data, n=1_000, inputs={"start": 1_500, "count": 20}
            ).wait(check=True)
            report, rows = certification.report(), list(certification.certificates())
            assert report.complete
            assert report.results["acr"] == pytest.approx(sum(r.radius for r in rows if r.correct) / 20, rel=1e-12)
            assert certification.info.summary is not None
            assert certification.info.summary.acr == pytest.approx(report.results["acr"], rel=1e-12)
            prediction = client.predict(
                checkpoint=training.checkpoint_id or "", dataset=data, n=500, inputs={"start": 1_500, "count": 20}
            ).wait(check=True)
            answers = list(prediction.predictions())
            assert [answer.index for answer in answers] == list(range(1_500, 1_520))
            for answer in answers:
                assert sum(answer.counts) == 500
                assert (answer.prediction, answer.p_value) == predict(answer.counts, alpha=0.001)
            with Client(address, api_key="radii_wrong") as stranger, pytest.raises(ApiError, match="key"):
                list(stranger.jobs())
