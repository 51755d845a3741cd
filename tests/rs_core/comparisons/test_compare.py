"""A comparison: figures of each run on its own inputs and on the shared ones, paired tests, and what has to be said."""

import json
import subprocess
import sys
from typing import Any

import pytest
from tests_support.runs import UNKNOWN, row, run, uniform

from radii.rs_core.certify.bounds import max_radius
from radii.rs_core.comparisons.alignment import run_of
from radii.rs_core.comparisons.compare import Comparison, common_radii, compare
from radii.rs_core.errors import InvalidResults, InvalidSpec
from radii.rs_core.literature.published_results import published
from radii.rs_core.records import Certificate
from radii.rs_core.reports.certification import summarize
from radii.rs_core.results.tsv import rounded_down
from tests.rs_core.reports.test_certification import certificate

SOME = [0.5, 0.25, None, -0.9, 0.1]
GRID = (0.0, 0.25, 0.5)


def noted(found: Comparison, words: str) -> bool:
    return any(words in note for note in found.notes)


class TestFigures:
    def test_a_runs_own_figures_are_those_of_its_report(self) -> None:
        rows = [row(index, radius) for index, radius in enumerate(SOME)]
        report = summarize(rows, radii=GRID, total=8)
        (line,) = compare([run_of("a", rows, total=8)], radii=GRID).runs
        own = line.own
        assert (own.inputs, own.evaluated, own.acr) == (8, 5, report.acr)
        assert own.certified_accuracy == report.certified_accuracy
        assert own.accuracy_at_0 == report.accuracy_at_0
        assert (own.abstained, own.abstention_rate) == (report.abstained, report.abstention_rate)
        assert (own.at_cap, own.share_at_cap) == (report.at_cap, report.share_at_cap)

    def test_on_the_shared_inputs_only_these_count(self) -> None:
        found = compare([run("a", [0.5, 0.5, None, 0.1]), run("b", [0.25, 0.25], start=2)], radii=(0.0, 0.25))
        a, b = found.runs
        assert found.shared == a.shared.inputs == b.shared.inputs == 2
        assert (a.own.acr, a.shared.acr) == (1.1 / 4, 0.1 / 2)
        assert [point.count for point in a.shared.certified_accuracy] == [1, 0]
        assert [point.count for point in b.shared.certified_accuracy] == [2, 2]
        assert a.shared.abstained == 1

    def test_what_is_not_done_is_not_certified_on_its_own_inputs_and_left_out_of_the_shared_ones(self) -> None:
        found = compare([run("a", [0.5] * 4), run("b", [0.5] * 2, total=4)], radii=(0.25,))
        b = found.runs[1]
        assert (b.complete, b.own.certified_accuracy[0].certified_accuracy) == (False, 0.5)
        assert b.shared.certified_accuracy[0].certified_accuracy == 1.0
        assert noted(found, "b is partial: 2 of 4 inputs")
        assert noted(found, "a has 2 inputs that not all runs have")

    def test_the_grid_reaches_the_largest_cap_and_takes_what_was_asked_or_printed(self) -> None:
        a = run("a", [0.1], cap=1.0)
        assert common_radii([a, run("b", [0.1], cap=0.5)]) == (0.0, 0.25, 0.5, 0.75, 1.0)
        settled = run("b", [0.1], cap=1.0, sampling="at_radii", radii=(0.4,))
        assert common_radii([a, settled]) == (0.0, 0.25, 0.4, 0.5, 0.75, 1.0)
        assert common_radii([settled]) == (0.0, 0.4)
        imagenet = published("imagenet/cat_rs/1.0")
        assert common_radii([run("a", [0.1], cap=9.0)], [imagenet]) == tuple(
            sorted({*range(10), *(k / 2 for k in range(8))})
        )
        assert common_radii([a], [imagenet])[-1] == 1.0, "no published radius beyond the cap"


class TestPairs:
    def test_each_run_is_tested_against_the_first_or_the_chosen_one(self) -> None:
        runs = [uniform(name, seed) for seed, name in enumerate("abc")]
        assert [(p.run, p.baseline) for p in compare(runs).pairs] == [("b", "a"), ("c", "a")]
        found = compare(runs, baseline="b")
        assert [(p.run, p.baseline) for p in found.pairs] == [("a", "b"), ("c", "b")]
        assert found.baseline == "b"

    def test_every_two_on_request(self) -> None:
        runs = [uniform(name, seed) for seed, name in enumerate("abc")]
        found = compare(runs, baseline="c", all_pairs=True)
        assert [(p.run, p.baseline) for p in found.pairs] == [("a", "c"), ("b", "c"), ("b", "a")]

    def test_differences_are_those_of_the_figures_on_the_shared_inputs(self) -> None:
        found = compare([uniform("a", 1), uniform("b", 2, 200)], radii=GRID)
        a, b = (line.shared for line in found.runs)
        (pair,) = found.pairs
        assert pair.acr is not None
        assert pair.acr.difference == pytest.approx(b.acr - a.acr)
        for place, test in enumerate(pair.tests):
            ours, theirs = b.certified_accuracy[place], a.certified_accuracy[place]
            assert test.difference == pytest.approx(ours.certified_accuracy - theirs.certified_accuracy)
            assert test.both + test.only_run == ours.count
            assert test.both + test.only_baseline == theirs.count
            assert test.both + test.only_run + test.only_baseline + test.neither == found.shared == 200

    def test_p_values_are_adjusted_for_all_tests_of_the_comparison(self) -> None:
        runs = [uniform(name, seed) for seed, name in enumerate("abc")]
        found = compare(runs, all_pairs=True, radii=(0.2, 0.5, 0.8))
        tests = [test for pair in found.pairs for test in pair.tests]
        assert found.tests == len(tests) == 9
        ordered = sorted(tests, key=lambda test: test.p_value)
        running = 0.0
        for place, test in enumerate(ordered):
            running = max(running, min(1.0, (9 - place) * test.p_value))
            assert test.p_holm == pytest.approx(running)
        assert noted(found, "Tests: 9 exact two-sided McNemar tests, each over the 300 shared inputs")

    def test_a_run_against_itself_differs_in_nothing(self) -> None:
        found = compare([uniform("a", 1), uniform("b", 1)])
        (pair,) = found.pairs
        assert pair.acr is not None and (pair.acr.difference, pair.acr.low, pair.acr.high) == (0.0, 0.0, 0.0)
        assert {test.p_holm for test in pair.tests} == {1.0}


class TestProcedures:
    def test_acr_of_a_run_that_stopped_early_is_not_ranked_and_tests_are_at_its_radii(self) -> None:
        stopped = uniform("stopped", 1, sampling="at_radii", radii=(0.25, 0.5))
        found = compare([uniform("fixed", 2), stopped], radii=(0.0, 0.25, 0.5, 0.75))
        (pair,) = found.pairs
        assert pair.acr is None
        assert [test.radius for test in pair.tests] == [0.25, 0.5]
        assert found.runs[1].acr_label == "ACR (lower bound, stopped early)"
        assert noted(found, "its ACR is ranked against none") and noted(found, "(0.25, 0.5)")
        assert noted(found, "different procedures (fixed: fixed n; stopped: stopped early at requested radii)")

    def test_what_differs_between_runs_is_said(self) -> None:
        found = compare([uniform("a", 1), uniform("b", 2, sigma=0.5, alpha=0.01, n=1_000_000)])
        assert noted(found, "different noise levels (a: 0.25; b: 0.5)")
        assert noted(found, "different failure probabilities (a: 0.001; b: 0.01)")
        assert noted(found, "different numbers of samples (a: 1,000; b: 1,000,000)")
        caps = [rounded_down(max_radius(*of), 4) for of in ((1_000, 0.001, 0.25), (1_000_000, 0.01, 0.5))]
        assert noted(found, f"up to different radii (a: {caps[0]}; b: {caps[1]})")
        assert not noted(found, "different procedures")

    def test_what_is_the_same_is_not(self) -> None:
        found = compare([uniform("a", 1), uniform("b", 2)])
        assert not noted(found, "different") and not noted(found, "partial") and not noted(found, "only")

    def test_a_file_that_does_not_say_how_it_was_made_is_of_a_procedure_unknown(self) -> None:
        foreign = uniform("b", 2, **UNKNOWN)
        found = compare([uniform("a", 1), foreign])
        assert found.runs[1].procedure == "procedure unknown"
        assert noted(found, "b: procedure unknown")

    def test_few_inputs_other_data_and_running_jobs_are_said(self) -> None:
        found = compare([uniform("a", 1, 20, data="x"), uniform("b", 2, 20, data="y", unfinished=3)])
        assert noted(found, "only 20 shared inputs")
        assert noted(found, "data sets differ in their content")
        assert noted(found, "b goes on: 3 of its inputs")
        assert not found.runs[1].complete

    def test_inputs_without_a_label_are_counted(self) -> None:
        a = run_of("a", [row(0, 0.1, label=-1), *(row(index, 0.1) for index in range(1, 5))])
        found = compare([a, run("b", [0.1] * 5)])
        assert found.shared == 4 and noted(found, "without a label, which are left out: 1")

    def test_of_very_many_inputs_the_interval_is_another_one_and_says_so(self) -> None:
        found = compare([uniform("a", 1, 20_001), uniform("b", 2, 20_001)], radii=(0.5,))
        assert found.pairs[0].acr is not None and found.pairs[0].acr.method == "normal"
        assert noted(found, "the normal one, to which the bootstrap's tends")


class TestPublished:
    def test_one_run_is_laid_beside_published_figures(self) -> None:
        cat_rs = published("cifar10/cat_rs/0.5")
        found = compare([uniform("a", 1)], published=[cat_rs])
        assert (found.pairs, found.tests, found.published) == ((), 0, (cat_rs,))
        assert noted(found, "no test is made with them")
        assert noted(found, "cifar10/cat_rs/0.5 is of noise level 0.5, which no run here has")
        assert noted(found, "cifar10/cat_rs/0.5 is of 10,000 inputs, which no run here has")
        assert not noted(found, "Tests")

    def test_what_is_disputed_about_them_is_said(self) -> None:
        found = compare([uniform("a", 1)], published=[published("cifar10/smoothmix/0.5")])
        assert noted(found, "cifar10/smoothmix/0.5: disputed: the released log")


class TestMistakes:
    def test_no_run_two_of_one_name_and_an_unknown_baseline_are_refused(self) -> None:
        with pytest.raises(InvalidResults, match="at least one run"):
            compare([])
        with pytest.raises(InvalidResults, match="'a' more than once"):
            compare([uniform("a", 1), uniform("a", 2)])
        with pytest.raises(InvalidSpec, match=r"\(baseline\): expected one of a, b, got 'c'"):
            compare([uniform("a", 1), uniform("b", 2)], baseline="c")

    @pytest.mark.parametrize("radius", [-0.1, float("nan"), float("inf")])
    def test_radii_that_are_none_are_refused(self, radius: float) -> None:
        with pytest.raises(InvalidSpec, match="radii that are finite"):
            compare([uniform("a", 1)], radii=[radius])


def test_radii_of_a_published_file_that_may_have_been_rounded_up_are_told_of() -> None:
    def of(radii: tuple[float, ...], **known: Any) -> list[Certificate]:
        return [row(index, radius, **UNKNOWN | known) for index, radius in enumerate(radii)]

    printed = tuple(float(f"{radius:.3}") for radius in (0.05119, 0.51236, 0.7))
    small, large = of(printed), of((*printed, float(f"{1.2389:.3}")))
    assert noted(
        compare([run_of("small", small)]),
        "The radii of small have 3 digits at most: where they were rounded to the nearest, one may count at a radius that it misses by up to 0.0005.",
    )
    assert noted(compare([run_of("large", large)]), "a radius that it misses by up to 0.005.")
    told = of(printed, n=1_000, n0=100, alpha=0.001)
    assert noted(compare([run_of("told", told)]), "told have 3 digits at most")
    assert not noted(compare([run_of("fine", of((*printed, 0.51234)))]), "digits")
    assert not noted(compare([run("ours", [0.25, 0.5])]), "digits")


def test_implausible_results_are_named_with_their_run_before_all_else() -> None:
    good, constant = (
        [certificate(i, label=i % 3, selected=chosen(i)) for i in range(60)]
        for chosen in (lambda i: i % 3, lambda i: 1)
    )
    notes = compare([run_of("good", good), run_of("flat", constant)]).notes
    assert notes[0].startswith("flat: Implausible: class 1 is the answer to all 60 inputs")
    assert notes[1].startswith("flat: Implausible: accuracy is at chance level")
    assert not any(note.startswith("good: ") for note in notes)


def test_it_is_plain_json_without_nan() -> None:
    foreign = uniform("b", 2, **UNKNOWN)
    found = compare([uniform("a", 1), foreign], published=[published("imagenet/cat_rs/1.0")])
    body = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert body["shared"] == 300
    assert body["runs"][1]["sigma"] is None
    assert body["published"][0]["certified_accuracy"][0] == {"radius": 0.0, "percent": 44.0}


def test_the_same_runs_give_the_same_comparison() -> None:
    runs = [uniform("a", 1), uniform("b", 2)]
    assert compare(runs) == compare(runs)
    assert compare(runs, seed=1) != compare(runs)


def test_comparing_and_drawing_need_no_torch() -> None:
    code = "import sys, radii.rs_core.comparisons.text, radii.rs_core.plots.comparison; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
