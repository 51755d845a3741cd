"""What a specification leaves open is taken from the checkpoint, or is an error that says what is missing."""

import pytest

from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.runs.resolution import chosen_inputs, resolve
from radii.rs_core.specs.fields import Selection
from radii.rs_core.specs.jobs import AutoAttack, CertifySpec, EvaluateSpec, PredictSpec

MIX = {"kind": "mixed", "robust_weight": 0.75}


def test_the_noise_level_is_that_of_the_specification_else_that_of_the_checkpoint() -> None:
    asked = PredictSpec(checkpoint="c", dataset="d", sigma=0.5)
    left_open = PredictSpec(checkpoint="c", dataset="d")
    assert resolve(asked, 0.25, None, "c").sigma == 0.5
    assert resolve(left_open, 0.25, None, "c").sigma == 0.25
    with pytest.raises(InvalidSpec, match="a noise level, since the checkpoint does not say"):
        resolve(left_open, None, None, "c")


def test_an_evaluation_without_noise_has_no_noise_level() -> None:
    spec = EvaluateSpec(checkpoint="c", dataset="d", evaluation=AutoAttack())
    assert resolve(spec, 0.25, None, "c").sigma is None


def test_the_weight_of_a_mix_is_that_of_the_specification_else_that_of_the_checkpoint() -> None:
    left_open = CertifySpec(checkpoint="c", dataset="d", sigma=0.5, bound="mixed")
    asked = CertifySpec(checkpoint="c", dataset="d", sigma=0.5, bound="mixed", robust_weight=0.9)
    assert resolve(left_open, None, MIX, "c").robust_weight == 0.75
    assert resolve(asked, None, MIX, "c").robust_weight == 0.9
    with pytest.raises(Mismatch, match="a checkpoint that mixes a standard and a robust classifier"):
        resolve(left_open, None, None, "c")


def test_a_certification_that_is_of_no_mix_has_no_weight() -> None:
    spec = CertifySpec(checkpoint="c", dataset="d", sigma=0.5)
    assert resolve(spec, None, MIX, "c").robust_weight is None


def test_no_chosen_input_is_an_error_that_names_the_dataset() -> None:
    assert chosen_inputs(Selection(start=3, step=2, count=2), 100, "the dataset d") == range(3, 7, 2)
    with pytest.raises(
        InvalidSpec, match="at least one input of the dataset d, which has 100, got none from index 100"
    ):
        chosen_inputs(Selection(start=100), 100, "the dataset d")
