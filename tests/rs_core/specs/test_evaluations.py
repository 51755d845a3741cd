"""What may be asked of a classifier, and how much work it is."""

from typing import Any

import pytest

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.evaluations import Attack, OverConfidence
from radii.rs_core.specs.jobs import EvaluateSpec, dump_spec, parse_spec

BODY: dict[str, Any] = {"kind": "evaluate", "checkpoint": "c", "dataset": "d"}


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        ({"name": "attack", "epsilons": [0.5, 0.25]}, "values that grow"),
        ({"name": "attack", "epsilons": []}, "at least 1 item"),
        ({"name": "attack", "epsilon": 1.0}, "epsilons"),
        ({"name": "attack", "ddn_gamma": 1.0}, "less than 1"),
        ({"name": "attack", "target": "mix", "algorithm": "ddn"}, "pgd with target = mix"),
        ({"name": "attack", "robust_weight": 0.5}, "none, but with target = mix"),
        ({"name": "autoattack", "attacks": ["square", "square"]}, "each attack once"),
        ({"name": "autoattack", "attacks": ["pgd"]}, "apgd-ce"),
        ({"name": "over_confidence", "lengths": [0.25], "step_size": 0.1}, "whole multiples of step_size = 0.1"),
        ({"name": "over_confidence", "lengths": [1.0], "step_size": 1e-5}, "at most 10,000 steps"),
        ({"name": "accuracy"}, "attack"),
        ({}, "name"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(evaluation: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_spec(BODY | {"evaluation": evaluation})
    assert expected in str(error.value)


@pytest.mark.parametrize("asked", [Attack(epsilons=(0.0, 1.0)), OverConfidence(lengths=(0.3,), step_size=0.1)])
def test_a_body_reads_back_as_it_was(asked: Attack | OverConfidence) -> None:
    spec = EvaluateSpec(checkpoint="c", dataset="d", evaluation=asked)
    assert parse_spec(dump_spec(spec)) == spec


def test_passes_are_those_of_all_points() -> None:
    attack = Attack(epsilons=(0.0, 0.5, 1.0), steps=10, m=4, n=100)
    assert attack.passes == (300, 2 * 10 * 4) and attack.points == (0.0, 0.5, 1.0)
    assert Attack(epsilons=(0.5,), steps=10, m=4, n=100, target="base").passes == (100, 10)
    search = OverConfidence(lengths=(0.0, 0.2, 0.5), step_size=0.1, m=8, n=100)
    assert search.passes == (300, 5 * 8) and search.steps == (0, 2, 5)


def test_a_wrong_element_of_a_list_is_one_mistake() -> None:
    body = BODY | {"evaluation": {"name": "attack", "epsilons": [-1]}}
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(body)
    assert "at least 1 item" not in str(caught.value) and "greater than or equal to 0" in str(caught.value)
