"""Text that a database refuses is found, or written as escapes; all other text stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.rs_core.storable_text import fault_of, storable

JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters()) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(JSON)
def test_what_is_storable_has_no_fault_and_the_rest_is_left_alone(value: Any) -> None:
    stored = storable(value)
    assert fault_of(stored) is None
    json.dumps(stored, ensure_ascii=False).encode()
    if fault_of(value) is None:
        assert stored == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": ["b", {"c": "\0"}]}, "a NUL character"),
        ({"\ud800": 1}, "a lone surrogate in '\\ud800'"),
        ([["\udfffx" + "y" * 1000]], "a lone surrogate"),
    ],
)
def test_a_fault_is_described(value: Any, words: str) -> None:
    fault = fault_of(value)
    assert fault is not None and words in fault and len(fault) < 200


def test_a_character_beyond_the_basic_plane_is_no_fault() -> None:
    assert fault_of({"\U0001f600": json.loads('"\\ud83d\\ude00"')}) is None
