"""Runs on the same inputs: what they share, and what may not be laid beside each other."""

import numpy as np
import pytest
from tests_support.runs import UNKNOWN, row, run

from radii.rs_core.certify.bounds import max_radius
from radii.rs_core.comparisons.alignment import align, run_of
from radii.rs_core.errors import InvalidResults


def test_shared_are_the_inputs_that_all_runs_have_evaluated() -> None:
    a, b = run("a", [0.1] * 10), run("b", [0.2] * 5, step=3)
    shared = align([a, b])
    assert shared.rows[0].index.tolist() == shared.rows[1].index.tolist() == [0, 3, 6, 9]
    assert shared.rows[1].radius.tolist() == [0.2] * 4
    assert (shared.inputs, shared.unlabelled) == (4, 0)


def test_rows_are_matched_by_index_in_whatever_order_they_came() -> None:
    rows = [row(index, index / 10) for index in (3, 1, 2)]
    shared = align([run_of("a", rows), run_of("b", rows[::-1])])
    assert shared.rows[0].radius.tolist() == shared.rows[1].radius.tolist() == [0.1, 0.2, 0.3]


def test_inputs_given_up_by_an_error_are_shared() -> None:
    failed = run_of("a", [row(0, 0.5), row(1, None, error="it ended its process")])
    assert align([failed, run("b", [0.5, 0.5])]).inputs == 2


def test_other_labels_are_other_data() -> None:
    a = run_of("a", [row(0, 0.1), row(1, 0.1, label=3), row(2, 0.1, label=4)])
    with pytest.raises(InvalidResults, match=r"\(index 1\).*label 3 in 'a' and 0 in 'b', and 1 more such inputs"):
        align([a, run("b", [0.1] * 3)])


def test_an_input_that_a_run_has_no_label_of_is_left_out() -> None:
    a = run_of("a", [row(0, 0.1, label=-1), row(1, 0.1), row(2, 0.1)])
    b = run_of("b", [row(0, 0.1), row(1, 0.1), row(2, 0.1, label=-1)])
    shared = align([a, b, run("c", [0.1] * 3)])
    assert (shared.inputs, shared.unlabelled, shared.rows[0].index.tolist()) == (1, 2, [1])


def test_labels_of_later_runs_contradict_each_other_where_the_first_knows_none() -> None:
    a = run_of("a", [row(0, 0.1, label=-1), row(1, 0.1)])
    b, c = (run_of(name, [row(0, 0.1, label=label), row(1, 0.1)]) for name, label in (("b", 1), ("c", 2)))
    with pytest.raises(InvalidResults, match="label 1"):
        align([a, b, c])


def test_runs_without_a_shared_input_are_refused_with_what_they_have() -> None:
    with pytest.raises(
        InvalidResults, match=r"'a' with 3 inputs from index 0 to 2, 'b' with 2 inputs from index 10 to 11"
    ):
        align([run("a", [0.1] * 3), run("b", [0.1] * 2, start=10)])


def test_a_run_knows_its_procedure_and_its_cap() -> None:
    known = run("a", [0.1, 0.2], total=5)
    assert (known.evaluated, known.total, known.told) == (2, 5, True)
    assert known.cap == max_radius(1_000, 0.001, 0.25)
    foreign = run("b", [0.1], **UNKNOWN)
    assert (foreign.told, foreign.cap, foreign.facts.sigma) == (False, None, None)


def test_radii_that_were_to_be_settled_are_kept() -> None:
    assert run("a", [0.1], sampling="at_radii", radii=(0.25, 0.5)).settled == (0.25, 0.5)


def test_a_run_without_rows_or_with_too_many_is_refused() -> None:
    with pytest.raises(InvalidResults, match="at least one input"):
        run_of("a", [])
    with pytest.raises(InvalidResults, match="at most 1 rows"):
        run("a", [0.1, 0.2], total=1)
    with pytest.raises(InvalidResults, match="index 0 more than once"):
        run_of("a", [row(0, 0.1), row(0, 0.1)])


def test_many_rows_are_aligned_as_few_are() -> None:
    rng = np.random.default_rng(5)
    sets = [np.sort(rng.choice(2_000, 1_500, replace=False)) for _ in range(3)]
    runs = [run_of(str(k), [row(int(index), 0.1) for index in indices]) for k, indices in enumerate(sets)]
    wanted = sorted(set(sets[0].tolist()) & set(sets[1].tolist()) & set(sets[2].tolist()))
    assert align(runs).rows[2].index.tolist() == wanted
