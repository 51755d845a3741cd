"""`radii ask`: classes, radii and warnings of a service's predictions."""

import json
import threading
from pathlib import Path

import pytest
from tests_support.asking import PNG, claimed, end
from tests_support.cli import done
from tests_support.over_http import Service, certificate

from radii.worker.store import certificate_rows

FEW = "n = 9 noise samples cannot certify any input at alpha = 0.001"


@pytest.fixture
def over(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service that the command asks."""
    monkeypatch.setattr("radii.service.cli.ask.connect", lambda *_: service.connected())
    return service


def test_warnings_are_printed_apart_from_the_table_and_are_in_the_json(over: Service, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(PNG)
    asked = ["ask", image, "--checkpoint", over.checkpoint(), "--timeout", "0.1", "--n", "9"]
    said = done(*asked)
    assert f"Warning: {FEW}" in said.stderr and FEW not in said.stdout
    assert json.loads(done(*asked, "--json").stdout)["warnings"][0].startswith(FEW)


def test_sound_predictions_have_no_warning(over: Service, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(PNG)

    def work() -> None:
        while over.client.get("/v1/jobs").json()["items"] == []:
            pass
        claim = claimed(over)
        with over.database.write() as session:
            certificate_rows.store(session, claim.job_id, [certificate(0, claim.spec, 1_000)])
        end(over, claim)

    worker = threading.Thread(target=work)
    worker.start()
    said = done("ask", image, "--checkpoint", over.checkpoint(), "--n", "1000")
    worker.join()
    assert "image.png" in said.stdout and "Warning" not in said.output
