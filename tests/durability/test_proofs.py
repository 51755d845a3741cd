"""The proofs of durability in their short form; ``make durability`` runs them at length (see CONTRIBUTING.md)."""

import pytest
from tests_support.durability.proofs import MUTATIONS, PROOFS, prove


@pytest.mark.parametrize("number", [number for number, proof in PROOFS.items() if proof.short is not None])
def test_nothing_is_lost_and_nothing_doubled(postgres: object, redis_url: str, number: int) -> None:
    figures = prove(number, "short")
    assert figures["passed"], (PROOFS[number].what, figures)
    assert (figures["lost"], figures["doubled"]) == (0, 0)


def test_every_proof_that_rests_on_a_guard_has_a_run_without_it() -> None:
    assert {number: guard for number, (guard, _) in MUTATIONS.items()} == {
        1: "sweep",
        2: "fence",
        3: "conflict",
        4: "bell",
    }
