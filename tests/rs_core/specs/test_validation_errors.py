"""A wrong field is told of by its own name, with what was expected in its place, and with the fields that there are."""

from typing import Any, get_args

import pytest

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs import validation_errors
from radii.rs_core.specs.jobs import Method, parse_spec

TRAIN = {"kind": "train", "dataset": "d", "architecture": "lenet", "sigma": 0.5}
METHODS = ", ".join(repr(record.name) for record in get_args(get_args(Method)[0]))


@pytest.mark.parametrize(
    ("fields", "where", "sentence"),
    [
        ({"sigma": -1}, "sigma", "expected a value greater than 0, got -1"),
        ({"precision": "fp16"}, "precision", "expected 'fp32' or 'bf16', got 'fp16'"),
        (
            {"kind": "tran"},
            "kind",
            "expected one of 'train', 'certify', 'predict', 'soft_labels', 'verify', 'evaluate', got 'tran'",
        ),
        ({"epoch": 3}, "epoch", "expected no field of this name (perhaps epochs), got 3"),
        ({"inputs": {"cnt": 3}}, "inputs.cnt", "expected no field of this name (perhaps count), got 3"),
        ({"inputs": {"qqq": 3}}, "inputs.qqq", "expected no field of this name (there are start, step, count), got 3"),
        ({"method": {"name": "foo"}}, "method.name", f"expected one of {METHODS}, got 'foo'"),
        ({"method": {}}, "method.name", f"expected one of {METHODS}, got none"),
        ({"method": "macer"}, "method", 'expected a JSON object such as {"name": ...}, with one of "gaussian"'),
        (
            {"method": {"name": "smoothmix", "stepz": 2}},
            "method.stepz",
            "expected no field of this name (perhaps steps, step_size, mix_step), got 2",
        ),
        (
            {"method": {"name": "consistency", "attack": {"stps": 2}}},
            "method.attack.stps",
            "expected no field of this name (perhaps steps), got 2",
        ),
        ({"certification": {"evry": 1}}, "certification.evry", "expected no field of this name (perhaps every), got 1"),
        ({"keep": "acr"}, None, "expected a periodic certification, by which keep = acr goes, got {"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(
    fields: dict[str, Any], where: str | None, sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(TRAIN | fields)
    assert caught.value.where == where
    assert sentence in str(caught.value)


def test_of_several_wrong_fields_each_is_told() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"kind": "train", "sigma": 0})
    assert caught.value.where == "dataset, architecture, sigma"
    assert "dataset: a value, since it is required; architecture: a value" in str(caught.value)
    assert "sigma = 0" in str(caught.value)


def test_faults_beyond_the_twentieth_are_counted() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(TRAIN | {f"epochs{number}": number for number in range(100_000)})
    assert str(caught.value).count("; epochs") == 2 * 19
    assert caught.value.expected.endswith("; and 99,980 more") and caught.value.got.endswith("; and 99,980 more")


def test_faults_are_described_as_far_as_a_sentence_can_hold_them() -> None:
    long = "x" * 10**6
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(TRAIN | {f"{number}{long}": long for number in range(100)})
    assert caught.value.got.endswith(" more") and len(str(caught.value)) < 5_000


def test_a_value_is_shown_without_reading_all_of_it() -> None:
    class Endless(list[Any]):
        def __iter__(self) -> Any:
            return iter(lambda: 1, 2)

    assert validation_errors.shown(Endless([1])) == "[" + "1, " * 65 + "1..."
    assert (
        validation_errors.shown({"a": {"b": "c"}, "d": [1.5, None, True]})
        == '{"a": {"b": "c"}, "d": [1.5, null, true]}'
    )
    assert len(validation_errors.shown("x" * 10**7)) == validation_errors.SHOWN
