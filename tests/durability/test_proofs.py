"""The proofs of durability in their short form; ``make durability`` runs them at length (see CONTRIBUTING.md)."""

import pytest
from tests_support.durability.__main__ import MUTATIONS, SCENARIOS


@pytest.mark.parametrize("number", [number for number, (_, _, short) in SCENARIOS.items() if short is not None])
def test_nothing_is_lost_and_nothing_doubled(postgres: object, redis_url: str, number: int) -> None:
    what, _, short = SCENARIOS[number]
    assert short is not None
    figures = short()
    assert figures["passed"], (what, figures)
    assert (figures["lost"], figures["doubled"]) == (0, 0)


def test_every_proof_that_rests_on_a_guard_has_a_run_without_it() -> None:
    assert {number: guard for number, (guard, _) in MUTATIONS.items()} == {
        1: "sweep",
        2: "fence",
        3: "conflict",
        4: "bell",
    }
