"""A report says when the model was trained on the inputs that it is judged by, and how many of them."""

from typing import Any

import pytest

from radii.rs_core.checkpoints.training_overlap import trained_on, training_note


def _info(**inputs: Any) -> dict[str, Any]:
    return {"dataset_hash": "abc", "provenance": {"spec": {"inputs": inputs}}}


@pytest.mark.parametrize(
    ("info", "content_hash", "seen"),
    [
        (_info(count=100), "abc", 50),  # inputs 0 .. 99 were trained on, 50 .. 149 are judged
        (_info(), "abc", 100),
        (_info(start=50, step=2), "abc", 50),
        (_info(start=150), "abc", 0),
        (_info(), "other", 0),
        (None, "abc", 0),
        ({"dataset_hash": None, "provenance": {}}, None, 0),
        (_info(count=70) | {"parts": [_info(count=60)]}, "abc", 20),  # a mixing network's own training
        ({"parts": [_info(count=60), {"parts": [_info(start=140), {"dataset_hash": "x"}]}]}, "abc", 20),
    ],
)
def test_inputs_are_counted_that_are_in_both_selections(info: Any, content_hash: str | None, seen: int) -> None:
    assert trained_on(info, content_hash, 200, range(50, 150)) == seen


def test_the_note_says_how_many_and_is_left_out_where_there_are_none() -> None:
    assert training_note(0, 100) == ()
    assert training_note(100, 100)[0].startswith("These inputs were in the model's training set")
    assert training_note(7, 1000)[0].startswith("7 of these 1,000 inputs")
