"""What a training of a mixing network leaves out and needs, and what every other training needs."""

from typing import Any

import pytest

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.jobs import AdaptiveSmoothing, TrainSpec, dump_spec, parse_spec

BODY = {"kind": "train", "dataset": "d"}
MIX = BODY | {"start_from": "m", "method": {"name": "adaptive_smoothing"}}
CERTIFICATION = {"certification": {}, "test_dataset": "d"}


def test_a_mix_says_its_architecture_itself_and_is_trained_without_noise() -> None:
    found = parse_spec(MIX)
    assert isinstance(found, TrainSpec)
    assert (found.architecture, found.sigma, found.method) == (None, None, AdaptiveSmoothing())
    assert parse_spec(dump_spec(found)) == found
    assert parse_spec(MIX | {"architecture": None, "sigma": 0.25}) == TrainSpec(
        dataset="d", start_from="m", method=AdaptiveSmoothing(), architecture=None, sigma=0.25
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            BODY | {"architecture": None, "sigma": 1},
            "(architecture): expected a name of the architectures table, got null",
        ),
        (
            BODY | {"architecture": "lenet", "sigma": None},
            "(sigma): expected a number above 0, the noise level, without which only adaptive_smoothing trains, got null",
        ),
        (BODY | {"method": {"name": "adaptive_smoothing"}}, "(start_from): expected a mix of a standard and a robust"),
        (MIX | {"architecture": "lenet"}, "(architecture): expected none, since the networks are those of start_from"),
        (MIX | {"normalization": "cifar10"}, "(normalization): expected none, since the parts of start_from have"),
        (MIX | CERTIFICATION, "(sigma): expected a noise level, for the certification that is asked for, got none"),
        (
            MIX | {"method": MIX["method"] | {"least_weight": 0.5, "largest_weight": 0.2}},
            "(method.least_weight): expected",
        ),  # type: ignore[operator]
        (MIX | {"method": MIX["method"] | {"epsilon_range": [2, 1]}}, "(method.epsilon_range): expected the smaller"),  # type: ignore[operator]
        (
            MIX | {"method": MIX["method"] | {"bce_weight": 0, "product_weight": 0}},
            "(method.bce_weight): expected a weight",
        ),  # type: ignore[operator]
    ],
)
def test_what_does_not_go_together_is_said(body: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(body)
    assert sentence in str(caught.value)
