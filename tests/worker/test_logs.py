"""Log lines say which job and which part of it they are about, whoever writes them."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import processes, things

from radii.worker import logs
from radii.worker.settings import Settings
from radii.worker.store.database import Database


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged as JSON."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure(Settings(log_format="json"))
    yield stream
    logging.captureWarnings(False)


def test_a_line_is_one_json_object_with_what_it_is_about(lines: io.StringIO) -> None:
    log = logging.getLogger("radii.worker")
    with logs.about(job="job_1", shard=3):
        log.info("claimed", extra={"attempt": 2})
        other = threading.Thread(target=log.info, args=("housekeeping",))
        other.start()
        other.join()
    log.info("idle\nagain")
    claimed, housekeeping, idle = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (claimed["message"], claimed["job"], claimed["shard"], claimed["attempt"]) == ("claimed", "job_1", 3, 2)
    assert claimed["time"].endswith("Z") and claimed["level"] == "info" and claimed["logger"] == "radii.worker"
    assert "job" not in housekeeping, "another thread is about something else"
    assert "job" not in idle


def test_what_libraries_warn_of_and_log_in_their_own_way_is_such_a_line_too(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", lines)
    other = logging.getLogger("a_library_with_a_handler")
    other.addHandler(logging.StreamHandler(sys.stderr))
    other.propagate = False
    logs.configure(Settings(log_format="json"))
    other.warning("its own format")
    warnings.showwarning("do not", UserWarning, "library.py", 7)
    logged, warned = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (logged["message"], logged["logger"]) == ("its own format", "a_library_with_a_handler")
    assert "UserWarning: do not" in warned["message"]


def test_an_error_keeps_its_traceback_on_the_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("radii.worker").exception("no")
    (line,) = lines.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["error"]


def test_every_line_of_a_worker_and_its_child_about_a_job_names_job_and_shard(
    database: Database, database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data=tmp_path, database_url=database_url, log_format="json", poll=0.05, threads=1)
    tenant_id = things.tenant(database)
    body = {
        "kind": "certify",
        "dataset": things.dataset(database, settings.blobs, tenant_id),
        "checkpoint": things.checkpoint_of(database, settings.blobs, tenant_id),
        "inputs": {"count": 2},
        "n": 100,
    }
    job_id = things.submit(database, tenant_id, body)
    with processes.fleet(settings, "radii.worker.embedded", 1):
        processes.until(lambda: processes.ended(database, job_id), 60, "the job ends")
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    claimed = [line for line in found if line["message"] == "claimed"]
    assert claimed
    assert {(line["job"], line["shard"]) for line in claimed} == {(job_id, number) for number in range(len(claimed))}
