"""A confined process reports what it lacks, and ends where it cannot be confined."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from tests_support import confined, escape_target, pictures

from radii.worker.isolation import availability
from radii.worker.isolation.confine import NotConfined
from radii.worker.sandbox import converter, decoder_client

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has these restrictions: they were NOT tested"
)


def test_rules_that_landlock_refuses_end_the_process_instead_of_all_rules() -> None:
    code = (
        "from pathlib import Path; from radii.worker.isolation import availability\n"
        "from radii.worker.isolation.confine import Confinement, NotConfined, confine\n"
        "try: confine(Confinement(limits=availability.TRIAL_LIMITS, outputs=(Path('/absent/file'),)))\n"
        "except NotConfined as error: print(error)"
    )
    escape_target.need_restrictions()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "expected Landlock rules for the files of this process" in done.stdout, done.stderr


def test_a_restriction_that_is_missing_in_a_conversion_is_logged_once(
    target: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    confined.substituted(monkeypatch, converter, confined.PLAIN, name="converter", without=confined.REFUSED)
    request = {"what": "dataset", "files": {"mine.npz": target["input"]}, "out": target["output"]}
    availability._logged.clear()
    with caplog.at_level("WARNING", "radii.isolation"):
        for _ in range(2):
            converter.convert(request, seconds=60.0, memory=confined.MEMORY)
    said = [record.message for record in caplog.records if "network namespace (refused)" in record.message]
    assert len(said) == 1


@pytest.mark.parametrize("without", [confined.REFUSED, "confine.landlock.ruleset = refuse"])
def test_a_decoder_reports_what_it_lacks_before_it_decodes(
    without: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    escape_target.need_restrictions()
    more = "" if without == confined.REFUSED else confined.DEFINED + without
    confined.substituted(monkeypatch, decoder_client, confined.PLAIN, name="decoder", without=more or without)
    decoder, image = decoder_client.Decoder(), np.zeros((8, 8), np.uint8)
    availability._logged.clear()
    try:
        if more:
            with pytest.raises(NotConfined, match="refused"):
                decoder.decode(pictures.png(image), shape=(1, 8, 8), most=1)
        else:
            decoder.decode(pictures.png(image), shape=(1, 8, 8), most=1)
            assert any("network namespace (refused)" in record.message for record in caplog.records)
    finally:
        decoder.close()
