"""`radii plan` on this machine: what each procedure would take, told by a few votes."""

import copy
import re
from pathlib import Path

import pytest
from tests_support import things
from tests_support.cli import done

from radii.rs_core.checkpoints import checkpoint

pytestmark = pytest.mark.long

TINY = ["--dataset", "digits", "--device", "cpu", "--threads", "1"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    checkpoint.save(things.model(), things.INFO, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_a_plan_shows_what_each_procedure_would_take_and_certifies_nothing(model: Path, tmp_path: Path) -> None:
    asked = ["--checkpoint", model, *TINY, "--count", "100", "--look-at", "4"]
    text = done("plan", *asked, "--n", "100000").stdout
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("fixed", "pilot", "a"))}
    assert rows["fixed"][:2] == ["100,000", "100,100"]
    assert float(rows["pilot"][1].replace(",", "")) < 100_100
    assert "at_radii settles the radii 0.125, 0.25, 0.375" in text
    assert rows["anytime"] and rows["at_radii"]
    timed = done("plan", *asked, "--seconds", "2").stdout
    assert "100,000" not in timed, "2 s are not enough for that"
    few = ("--n", "1000")  # of which no fastest way is looked for
    two_class = done("plan", *asked, *few, "--bound", "two_class").stdout
    assert "No anytime: expected the one_sided bound with it, got two_class." in two_class
    far = done("plan", *asked, *few, "--radii", "9").stdout
    assert re.search(r"No at_radii: expected radii up to 0\.\d+", far)
    assert "at_radii settles" not in far
    file = tmp_path / "job.toml"
    file.write_text('sampling = "at_radii"\nradii = [0.3]\n')
    assert "at_radii settles the radii 0.3;" in done("plan", *asked, *few, "--spec", file).stdout


def test_a_plan_names_what_cannot_certify_and_implausible_answers(model: Path, tmp_path: Path) -> None:
    asked = ["--dataset", "digits", "--device", "cpu", "--threads", "1", "--count", "100"]
    text = " ".join(done("plan", "--checkpoint", model, *asked, "--n", "9").stdout.split())
    assert "Warning (fixed, pilot): n = 9 noise samples cannot certify any input at alpha = 0.001" in text
    assert "Warning (anytime): n = 9 noise samples cannot certify" in text and "can certify is 13." in text
    assert "Warning" not in done("plan", "--checkpoint", model, *asked, "--n", "1000").stdout
    dead = copy.deepcopy(things.model())
    for weights in dead.parameters():
        weights.data.zero_()
    checkpoint.save(dead, things.INFO, tmp_path / "dead.safetensors")
    text = " ".join(done("plan", "--checkpoint", tmp_path / "dead.safetensors", *asked, "--n", "1000").stdout.split())
    assert "Warning (the 20 inputs looked at): Implausible: class 0 is the answer to all 20 inputs" in text
    assert "accuracy is at chance level" in text
