"""Predictions by a real service: right, refined while one waits, and the same by HTTP, by the client and by the command."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests_support import pictures, processes
from tests_support.live import running
from typer.testing import CliRunner

from radii.rs_core.certify.certificates import decide
from radii.rs_core.data.builtin import digit_pixels
from radii.service.cli.main import app
from radii.service.client.client import Client
from radii.service.schemas.predictions import Predictions, SmoothedPrediction

pytestmark = pytest.mark.long

SEED = 11
START = 1_500
DIGITS = digit_pixels()[0].astype(np.float64)
PIXELS = np.round(DIGITS[START : START + 12] * 255 / 16).astype(np.uint8)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("service") / "data", RADII_POLL="5", RADII_THREADS="1") as (url, _):
        yield url


@pytest.fixture(scope="module")
def checkpoint(url: str) -> str:
    with Client(url) as client:
        dataset = client.add_dataset("digits", builtin="digits")
        fields: dict[str, Any] = {"architecture": "digits_cnn", "sigma": 0.25, "epochs": 2, "batch_size": 64}
        job = client.train(dataset=dataset, learning_rate=0.05, inputs={"count": 1_397}, **fields).wait(timeout=90.0)
        assert job.checkpoint_id is not None, job.info.problem
        return job.checkpoint_id


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as found:
        yield found


def test_predictions_are_the_certificates_of_a_job_with_that_seed(client: Client, checkpoint: str) -> None:
    found = client.predict_images(PIXELS[:, None], checkpoint=checkpoint, n=1_500, seed=SEED)
    assert found.complete and [row.index for row in found.predictions] == list(range(12))
    blob = pictures.npz(images=PIXELS, labels=np.arange(12) % 10)
    dataset = client.add_dataset("the same", [client.upload(blob, "same.npz")])
    how: dict[str, Any] = {"sampling": "anytime", "n": 1_500, "seed": SEED, "batch_size": 100}
    job = client.certify(checkpoint=checkpoint, dataset=dataset, **how).wait(timeout=90.0, check=True)
    wanted = [(row.index, row.radius, list(row.counts0), list(row.counts)) for row in job.certificates()]
    assert [(row.index, row.radius, row.counts0, row.counts) for row in found.predictions] == wanted
    for row in found.predictions:
        _check(row)
        assert row.abstained is (row.prediction is None)


def _check(row: SmoothedPrediction) -> None:
    """The prediction follows from its votes."""
    decided = decide(row.counts0, row.counts, sigma=0.25, alpha=0.001, sampling="anytime")
    assert (row.radius, row.p_lower, row.n) == (decided.radius, decided.p_lower, sum(row.counts))
    assert (-1 if row.prediction is None else row.prediction) == decided.prediction


def test_an_answer_before_the_end_is_valid_and_is_refined(client: Client, url: str, checkpoint: str) -> None:
    query: dict[str, Any] = {"checkpoint": checkpoint, "n": 40_000, "seed": SEED, "wait": 30, "until": "first"}
    answer = httpx.post(f"{url}/v1/predictions", params=query, content=pictures.png(PIXELS[0]), timeout=60)
    first = Predictions.model_validate_json(answer.content)
    assert answer.status_code == 200 and first.predictions[0].n < 40_000 and not first.complete
    _check(first.predictions[0])
    more = httpx.get(f"{url}{answer.headers['Location']}", params={"wait": 60}, timeout=90)
    last = Predictions.model_validate_json(more.content)
    assert last.complete and last.predictions[0].n == 40_000
    assert last.predictions[0].p_lower > first.predictions[0].p_lower
    assert client.job(first.job).progress.fraction == 1.0


def test_the_second_request_with_a_model_measures_nothing_and_says_how_it_was_run(
    client: Client, checkpoint: str
) -> None:
    jobs = [client.predict_images(pictures.png(PIXELS[0]), checkpoint=checkpoint, n=100).job for _ in range(2)]
    for job in jobs:
        execution = client.job(job).info.execution or {}
        assert (execution["batch_size"], execution["compiled"]) == (100, False)


def test_an_audit_finds_the_predictions_sound(client: Client, checkpoint: str) -> None:
    found = client.predict_images(PIXELS[:3, None], checkpoint=checkpoint, n=700)
    audit = client.verify(found.job, inputs=3).wait(timeout=90.0, check=True)
    assert audit.info.output is not None and audit.info.output["sound"] is True
    assert audit.info.output["redrawn"]["equal"] == 3


def test_many_at_once_are_all_answered(url: str, checkpoint: str) -> None:
    answers: list[Predictions] = []

    def ask(number: int) -> None:
        with Client(url) as client:
            answers.append(client.predict_images(pictures.png(PIXELS[number]), checkpoint=checkpoint, n=400))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12 and all(answer.complete for answer in answers)
    assert len({answer.job for answer in answers}) == 12


def test_the_command_prints_one_line_an_image(url: str, checkpoint: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in (3, 1, 2)]
    for number, file in enumerate(files):
        file.write_bytes(pictures.png(PIXELS[number]))
    given = ["ask", *map(str, files), "--checkpoint", checkpoint, "--n", "500", "--seed", str(SEED), "--server", url]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    header, *lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert header == ["image", "class", "radius", "samples"]
    with Client(url) as client:
        found = client.predict_images(PIXELS[:3, None], checkpoint=checkpoint, n=500, seed=SEED)
    assert [line[0] for line in lines[-3:]] == ["3.png", "1.png", "2.png"]
    assert [line[1] for line in lines[-3:]] == [
        "abstains" if row.abstained else str(row.prediction) for row in found.predictions
    ]
    assert json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)["complete"] is True


def test_what_somebody_waits_for_is_cancelled(client: Client, url: str, checkpoint: str) -> None:
    query: dict[str, Any] = {"checkpoint": checkpoint, "n": 2_000_000, "wait": 30, "until": "first"}
    answer = httpx.post(f"{url}/v1/predictions", params=query, content=pictures.png(PIXELS[0]), timeout=60)
    job = client.job(answer.json()["job"]).cancel()
    processes.until(lambda: job.refresh().ended, 30, "it is cancelled")
    assert job.state == "cancelled"
    left = Predictions.model_validate_json(httpx.get(f"{url}{answer.headers['Location']}").content)
    assert not left.complete and len(left.predictions) == 1
    _check(left.predictions[0])
