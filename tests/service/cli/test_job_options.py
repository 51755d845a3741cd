"""The options of a job's command are the fields of its record."""

from dataclasses import fields
from typing import Any

import pytest
from tests_support.cli import refused
from typer.main import get_command

from radii.rs_core.specs.jobs import RECORDS
from radii.service.cli.job_options import evaluation_fields, job_fields
from radii.service.cli.main import app, whole

NESTED = {"kind", "inputs", "certification", "evaluation"}
"""Fields that are no single value: selections have options of their own, the others are set by --set or other options."""
COMMANDS = {"train": ("train",), "certify": ("certify",), "predict": ("predict",), "submit": tuple(RECORDS)}


def options(command: str) -> dict[str, Any]:
    group: Any = get_command(app)
    return {option.name: option for option in whole(command, group.commands[command]).params}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_field_has_an_option(command: str) -> None:
    found = options(command)
    for kind in COMMANDS[command]:
        for field in fields(RECORDS[kind]):
            if field.name not in NESTED and not (kind == "verify" and field.name == "seed"):
                assert field.name in found, (kind, field.name)
    assert {"start", "step", "count"} <= found.keys()


def test_an_option_has_the_type_bounds_and_default_of_its_field() -> None:
    found = options("train")
    assert "1 to 10,000. (default: 150)" in found["epochs"].help
    assert "Above 0 and at most 100. (default: 0.1)" in found["learning_rate"].help
    assert "At least 0 and below 1. (default: 0.9)" in found["momentum"].help
    assert "(required)" in found["dataset"].help
    refusal = refused("train", "--lr-drop", "never", code=2)
    assert "'published'" in refusal and "'exact'" in refusal


def test_an_option_of_several_kinds_says_the_default_of_each() -> None:
    text = options("submit")["n"].help
    assert "100000 for certify" in text and "1000 for predict" in text and "10000 for soft_labels" in text


def test_evaluations_have_options_of_their_own_and_jobs_the_others() -> None:
    asked = {"at", "epsilon", "norm", "algorithm", "steps", "step_size", "m", "n", "certificates"}
    assert {option.name for option in evaluation_fields()} == asked | {"alpha"}
    found = options("evaluate")
    assert asked <= found.keys() and "alpha" not in found, "it is no option, but a field for --set"
    assert "(default: 0 to 1, or 0 to 5)" in found["at"].help and "(default: 8/255)" in found["epsilon"].help
    assert "(default: 64 for attack; 16 for over_confidence)" in found["m"].help
    at = next(option for option in evaluation_fields() if option.name == "at")
    assert at.fields == {"attack": "epsilons", "over_confidence": "lengths"}


def test_a_field_of_several_kinds_is_one_option() -> None:
    names = [field.name for field in job_fields(tuple(RECORDS))]
    assert len(names) == len(set(names))
