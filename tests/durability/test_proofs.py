"""The proofs of durability in their short form; ``make durability`` runs them at length (see CONTRIBUTING.md)."""

import os
import subprocess
import sys

import pytest
from tests_support.durability.house import path_with_support
from tests_support.durability.proofs import MUTATIONS, PROOFS, Proof, mutate, prove

pytestmark = pytest.mark.long


IN_EVERY_RUN = (1, 2, 3)
"""Kills, freezes and cut-off commits; ``make slow`` and ``make durability QUICK=1`` have all of them."""
SHORT = [
    number if number in IN_EVERY_RUN else pytest.param(number, marks=pytest.mark.slow)
    for number, proof in PROOFS.items()
    if proof.short is not None
]


@pytest.mark.parametrize("number", SHORT)
def test_nothing_is_lost_and_nothing_doubled(postgres: object, redis_url: str, number: int) -> None:
    figures = prove(number, "short")
    assert figures["passed"], (PROOFS[number].what, figures)
    assert (figures["lost"], figures["doubled"]) == (0, 0)


def test_every_proof_that_rests_on_a_guard_has_a_run_without_it() -> None:
    assert {number: guard for number, (guard, _) in MUTATIONS.items()} == {
        1: "housekeeping",
        2: "fence",
        3: "conflict",
        4: "wakeup",
    }


def test_every_guard_is_where_it_is_taken_out() -> None:
    guards = [guard for guard, _ in MUTATIONS.values()]
    code = f"from tests_support.durability.worker import without\nfor guard in {guards}: without(guard)\nprint('all')"
    environment = os.environ | {"PYTHONPATH": path_with_support()}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ended.stdout == "all\n", ended.stderr


def test_what_a_proof_raises_is_its_figures_and_shows_nothing_about_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROOFS, 1, Proof("broken", "nothing", whole=lambda: {"passed": 1 / 0}))
    monkeypatch.setitem(MUTATIONS, 1, ("housekeeping", PROOFS[1].whole))
    figures = prove(1, "whole")
    assert (figures["passed"], figures["error"]) == (False, "ZeroDivisionError: division by zero")
    assert not mutate(1)["noticed"]
