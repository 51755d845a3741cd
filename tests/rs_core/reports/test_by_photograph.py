"""Reports, comparisons, figures and files of corrupted images count photographs, and say so."""

import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests_support.mixes import certified
from tests_support.runs import row, run

from radii.rs_core.certify.bounds import interval
from radii.rs_core.comparisons.alignment import run_of
from radii.rs_core.comparisons.compare import Comparison, checked, compare
from radii.rs_core.comparisons.text import comparison_csv, format_comparison
from radii.rs_core.data.corruption_info import Corrupted, in_a_row
from radii.rs_core.errors import InvalidResults
from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.plots.certification import certified_accuracy, drawn
from radii.rs_core.plots.comparison import comparison_figure
from radii.rs_core.records import Certificate
from radii.rs_core.reports import mixed_text
from radii.rs_core.reports.certification import Report, summarize
from radii.rs_core.reports.certification_text import format_table, to_csv
from radii.rs_core.reports.corruptions import CorruptionGroups
from radii.rs_core.reports.evaluation import summarize as evaluated
from radii.rs_core.reports.evaluation_text import format_table as evaluation_table
from radii.rs_core.reports.evaluation_text import to_csv as evaluation_csv
from radii.rs_core.reports.mixed import by_weight, rows_at
from radii.rs_core.results.aggregate import radii_up_to
from radii.rs_core.results.photographs import Photographs, share_interval
from radii.rs_core.results.row_statistics import STEPS, from_bytes, statistics_of, to_bytes
from radii.rs_core.specs.jobs import Attack, EvaluateSpec

KINDS = [("fog", 1), ("fog", 5), ("snow", 1), ("snow", 5)]
EACH = 50
MARKS = Corrupted(groups=in_a_row(KINDS, EACH), constants="ImageNet-C", library="a-library", version="1.2", seed=3)
WHOLE = CorruptionGroups(corrupted=MARKS, chosen=range(4 * EACH))
HARD = np.random.default_rng(5).uniform(0, 1, EACH)
GRID = (0.0, 0.25, 0.5, 0.75)


def radius_of(index: int, shift: float = 0.0) -> float | None:
    """About that of the photograph; the hardest abstain."""
    radius = HARD[index % EACH] + 0.02 * (index // EACH) + shift
    return None if radius < 0.2 else float(radius)


ROWS = [row(index, radius_of(index), label=index % EACH % 3, counts0=(), counts=()) for index in range(4 * EACH)]
ROWS = [replace(one, prediction=one.label if one.prediction == 0 else one.prediction) for one in ROWS]


def right(rows: list[Certificate], radius: float) -> list[int]:
    """Of each photograph, how many of its rows are certified there."""
    return [
        sum(one.index % EACH == number and one.correct and one.radius >= radius for one in rows)
        for number in range(EACH)
    ]


class TestReport:
    def test_its_intervals_count_photographs(self) -> None:
        report = summarize(ROWS, radii=GRID, grouped=WHOLE)
        assert (report.unit, report.units, report.inputs) == ("photograph", EACH, 4 * EACH)
        for point in (report.accuracy_at_0, *report.certified_accuracy):
            counts = np.array(right(ROWS, point.radius))
            assert point.count == counts.sum()
            assert (point.low, point.high) == share_interval(counts, np.full(EACH, 4), 0.95)
            images = interval(point.count, 4 * EACH)
            assert point.high - point.low > 1.5 * (images[1] - images[0])

    def test_of_one_corruption_at_one_severity_they_are_those_over_inputs(self) -> None:
        """Each photograph comes once: to the last bit what a report of clean images says, in its words."""
        only = CorruptionGroups(corrupted=MARKS, chosen=range(EACH, 2 * EACH))
        report = summarize(ROWS[EACH : 2 * EACH], radii=GRID, grouped=only)
        plain = summarize(ROWS[EACH : 2 * EACH], radii=GRID)
        assert (report.unit, report.units) == ("input", EACH)
        assert report.certified_accuracy == plain.certified_accuracy and report.accuracy_at_0 == plain.accuracy_at_0
        assert report.notes[: len(plain.notes)] == plain.notes

    def test_what_is_missing_counts_for_the_upper_end_of_its_photographs(self) -> None:
        """A run that was stopped within the third group: photographs have three images done, or two."""
        done = ROWS[:120]
        report = summarize(done, radii=GRID, total=4 * EACH, grouped=WHOLE)
        missing = np.where(np.arange(EACH) < 20, 1, 2)
        for point in report.certified_accuracy:
            counts = np.array(right(done, point.radius))
            assert point.low == share_interval(counts, np.full(EACH, 4), 0.95)[0]
            assert point.high == share_interval(counts + missing, np.full(EACH, 4), 0.95)[1]

    def test_of_every_third_image_photographs_have_different_numbers(self) -> None:
        chosen = range(1, 4 * EACH, 3)
        rows = [ROWS[index] for index in chosen]
        report = summarize(rows, radii=GRID, grouped=CorruptionGroups(corrupted=MARKS, chosen=chosen))
        sizes = np.bincount(np.array(chosen) % EACH, minlength=EACH)
        assert len(set(sizes)) > 1 and report.units == np.count_nonzero(sizes)
        low, high = share_interval(np.array(right(rows, 0.25)), sizes, 0.95)
        assert (report.certified_accuracy[1].low, report.certified_accuracy[1].high) == (low, high)

    def test_before_the_first_row_anything_is_possible(self) -> None:
        report = summarize([ROWS[0]], radii=GRID, total=4 * EACH, grouped=WHOLE)
        assert report.certified_accuracy[3].low < 1e-6 and report.certified_accuracy[0].high > 0.9

    def test_missing_inputs_of_unknown_photographs_are_refused(self) -> None:
        with pytest.raises(InvalidResults, match=r"the record of the run \(.run.json\)"):
            summarize(ROWS, total=300, photographs=Photographs(MARKS.starts))

    def test_every_form_says_what_is_counted(self) -> None:
        report = summarize(ROWS, radii=GRID, grouped=WHOLE)
        body = report.to_json()
        assert (body["unit"], body["units"]) == ("photograph", EACH)
        assert report.notes[0].startswith("Intervals resample 50 photographs (200 images), since")
        assert f"inputs {4 * EACH} of {EACH} photographs" in format_table(report)
        assert f"interval_units,photograph,{EACH},,,,{4 * EACH}" in to_csv(report).splitlines()
        plain = summarize(ROWS, radii=GRID)
        assert "interval_units,input,200,,,,200" in to_csv(plain).splitlines()
        assert plain.notes[0].startswith("Intervals are Clopper-Pearson over inputs")


class TestDigest:
    def test_parts_that_are_added_and_taken_away_give_the_report_of_the_rows(self) -> None:
        """As workers store them: some rows come, some are replaced, and the statistics go through its bytes each time."""
        how: dict[str, Any] = {"cap": 2.0, "steps": STEPS, "starts": MARKS.starts}
        worse = [replace(one, radius=one.radius / 2) for one in ROWS[30:90]]
        statistics = statistics_of(ROWS[:30], GRID, **how)
        for rows, sign in ((worse, +1), (ROWS[90:], +1), (ROWS[30:90], +1), (worse, -1)):
            statistics = from_bytes(to_bytes(statistics.plus(statistics_of(rows, GRID, **how), sign)))
        kept, whole = statistics.photographs, statistics_of(ROWS, GRID, **how).photographs
        assert kept is not None and whole is not None
        assert kept.radius == pytest.approx(whole.radius)
        for name in ("evaluated", "correct", "at"):
            assert getattr(kept, name).tolist() == getattr(whole, name).tolist()
        assert whole.at[1].tolist() == right(ROWS, 0.25)

    def test_photographs_of_more_than_a_byte_of_images_are_kept(self) -> None:
        rows = [replace(ROWS[3], index=2 * index) for index in range(300)]
        kept = from_bytes(to_bytes(statistics_of(rows, GRID, starts=tuple(range(0, 600, 2))))).photographs
        assert kept is not None and kept.evaluated.tolist() == [300]

    def test_one_of_an_older_version_has_none(self) -> None:
        assert from_bytes(to_bytes(statistics_of(ROWS, GRID))).photographs is None
        body = json.loads(zlib.decompress(to_bytes(statistics_of(ROWS, GRID, starts=MARKS.starts))))
        del body["photographs"]["radius"]
        assert from_bytes(zlib.compress(json.dumps(body).encode())).photographs is None, "without sums of radii"


def pair(**more: Any) -> Comparison:
    """A run on corrupted images, and one that is better on some photographs, of which nothing is known but its rows."""
    better = [row(one.index, radius_of(one.index, 0.1 * (one.index % EACH < 12)), label=one.label) for one in ROWS]
    better = [replace(one, prediction=one.label if one.prediction == 0 else one.prediction) for one in better]
    known = {"data": "a" * 64, "photographs": WHOLE.photographs} | more
    runs = [run_of("known", ROWS, **known), run_of("better", better)]
    return compare(runs, radii=GRID)


class TestComparison:
    def test_tests_are_over_photographs(self) -> None:
        found = pair()
        assert (found.unit, found.units, found.shared) == ("photograph", EACH, 4 * EACH)
        images = pair(photographs=None)
        assert images.unit == "input"
        stronger = 0
        for test, naive in zip(found.pairs[0].tests, images.pairs[0].tests, strict=True):
            assert (test.both, test.only_run, test.difference) == (naive.both, naive.only_run, naive.difference)
            assert test.p_value >= naive.p_value
            stronger += test.p_value > 10 * naive.p_value
        assert stronger >= 1
        acr, over_images = found.pairs[0].acr, images.pairs[0].acr
        assert acr is not None and acr.low is not None and acr.high is not None
        assert over_images is not None and over_images.low is not None and over_images.high is not None
        assert acr.difference == over_images.difference
        assert acr.high - acr.low > 1.5 * (over_images.high - over_images.low)

    def test_what_one_run_knows_holds_for_the_others_figures_too(self) -> None:
        known, better = pair().runs
        assert known.own.units == better.own.units == known.shared.units == EACH
        assert known.own.certified_accuracy == summarize(ROWS, radii=GRID, grouped=WHOLE).certified_accuracy

    def test_text_and_csv_say_what_is_counted(self) -> None:
        found = pair()
        text = " ".join(format_comparison(found).split())
        assert "200 shared inputs of 50 photographs" in text
        assert "Tests and intervals resample 50 photographs (200 images)" in text
        assert "which images show the same one is known from known" in text
        assert "4 exact two-sided sign-flip tests (McNemar's, by photograph), each over the 50 photographs" in text
        assert "could be exchanged for each other" in text and "There are only 50 shared photographs" in text
        assert "interval_units,,,photograph,50,,,,200" in comparison_csv(found).splitlines()

    def test_images_of_one_photograph_each_are_compared_as_before(self) -> None:
        rows = ROWS[:EACH]
        grouped = replace(WHOLE, chosen=range(EACH)).photographs
        runs = [run_of("a", rows, data="d", photographs=grouped), run_of("b", rows[::-1], data="d")]
        found = compare(runs, radii=GRID)
        plain = compare([run_of("a", rows, data="d"), run_of("b", rows, data="d")], radii=GRID)
        assert found.to_json() == plain.to_json()

    def test_where_nobody_knows_it_is_said(self) -> None:
        a, b = run("a", [0.5, 0.25] * 30), run("b", [0.5, None] * 30)
        notes = compare([a, b]).notes
        assert any(note.startswith("Nothing says which inputs show the same photograph") for note in notes)
        clean = [replace(one, data="d" * 64) for one in (a, b)]
        assert not any("photograph" in note for note in compare(clean).notes)

    def test_labels_that_come_again_hint_at_corrupted_images(self) -> None:
        labels = np.tile(np.random.default_rng(0).integers(0, 10, 100), 5)
        rows = [row(index, 0.5, label=int(label)) for index, label in enumerate(labels)]
        (note,) = (note for note in compare([run_of("a", rows)]).notes if "Nothing says" in note)
        assert "The labels come again every 100 rows" in note

    def test_a_run_on_clean_images_beside_one_on_corrupted_ones_counts_as_the_latter(self) -> None:
        clean = run_of("clean", ROWS, data="c" * 64)
        found = compare([clean, run_of("corrupted", ROWS, data="a" * 64, photographs=WHOLE.photographs)])
        assert (found.unit, found.units) == ("photograph", EACH)
        assert any("show photographs in different orders" in note for note in found.notes)
        assert [line.own.units for line in found.runs] == [4 * EACH, EACH]

    def test_two_orders_of_photographs_are_joined(self) -> None:
        """One dataset has 50 photographs, the other 100, so that photographs 0 and 50 of it are one of the first."""
        one, other = (
            run_of(name, ROWS, data=name, photographs=Photographs(starts))
            for name, starts in (("a", (0, 50, 100, 150)), ("b", (0, 100)))
        )
        assert compare([one, other]).units == 50

    def test_photographs_of_two_labels_are_said_to_be_none(self) -> None:
        wrong = Photographs(tuple(range(0, 200, 40)))
        notes = compare(
            [run_of("a", ROWS, data="d", photographs=wrong), run_of("b", ROWS, data="d", photographs=wrong)]
        ).notes
        assert any("photographs have images of different labels" in note for note in notes)

    def test_the_shortfall_of_the_bootstrap_is_said_beside_its_intervals(self) -> None:
        notes = compare([run("a", [0.5] * 40), run("b", [0.25] * 40)]).notes
        assert any("92 % at 30, 92.5 % at 100, 94 % at 500 inputs (simulated)" in note for note in notes)


class TestOthers:
    def test_a_mix_counts_photographs_at_every_weight(self) -> None:
        rows = [
            certified(index, 0, (990, 10) if HARD[index % EACH] > 0.4 else (400, 600), (0.9, 0.1))
            for index in range(4 * EACH)
        ]
        (found,) = rows_at(by_weight(rows, weights=(1.0,), photographs=WHOLE.photographs), (0.1,))
        (plain,) = rows_at(by_weight(rows, weights=(1.0,)), (0.1,))
        counts = 4 * (HARD > 0.4)
        low, high = share_interval(counts.astype(np.int64), np.full(EACH, 4), 0.95)
        for one, other in ((found.accuracy, plain.accuracy), (found.certified[0], plain.certified[0])):
            assert one.count == other.count == counts.sum()
            assert (one.low, one.high) == (low, high) != (other.low, other.high)
        assert (found.unit, found.units, plain.unit, plain.units) == ("photograph", EACH, "input", 4 * EACH)
        assert ("mix_interval_units", "photograph", EACH, "", "", "", "") in list(mixed_text.csv_rows([found]))
        assert found.by_lipschitz[0].high - found.by_lipschitz[0].low > 0.15

    def test_an_evaluation_counts_photographs_at_every_point(self) -> None:
        rows = [
            EvaluationRecord(
                index=index,
                label=0,
                found=tuple(
                    PointResult(point=at, distance=at, prediction=int(HARD[index % EACH] < at), counts=(9, 1))
                    for at in (0.3, 0.6)
                ),
                seed=0,
            )
            for index in range(4 * EACH)
        ]
        spec = EvaluateSpec(
            checkpoint="c", dataset="d", sigma=0.5, evaluation=Attack(epsilons=(0.3, 0.6), m=4, n=10, alpha=0.001)
        )
        report = evaluated(rows, spec, photographs=WHOLE.photographs)
        for point in report.points:
            counts = 4 * (point.point <= HARD)
            assert point.accuracy.count == counts.sum()
            ends = share_interval(counts.astype(np.int64), np.full(EACH, 4), 0.95)
            assert (point.accuracy.low, point.accuracy.high) == ends
        assert "50 photographs (200 images)" in " ".join(report.notes)
        assert "inputs 200 of 50 photographs" in evaluation_table(report)
        assert evaluation_csv(report).splitlines()[1].endswith(",photograph,50")
        partial = evaluated(rows[:130], spec, total=200, photographs=WHOLE.photographs)
        assert partial.points[0].accuracy.low < report.points[0].accuracy.low
        assert evaluated(rows, spec).unit == "input"

    @pytest.mark.parametrize("done", [4 * EACH, 130, 60, 30, 20])
    def test_the_band_of_a_curve_is_that_of_its_report(self, done: int) -> None:
        """At the radii of the grid, where photographs may have no row so far; between two radii it is as wide as at the wider
        one."""
        rows = ROWS[:done]
        figure = certified_accuracy({"a": drawn(rows, WHOLE.photographs)}, totals={"a": 4 * EACH})
        (band,) = figure.axes[0].collections
        corners = band.get_paths()[0].vertices
        largest = max(one.radius for one in rows)
        right = max(one.radius for one in rows if one.correct)
        report: Report = summarize(rows, radii=radii_up_to(largest), total=4 * EACH, grouped=WHOLE)
        shown = [point for point in (report.accuracy_at_0, *report.certified_accuracy) if point.radius <= right]
        assert len(shown) > 3
        for point in shown:
            at = corners[corners[:, 0] == point.radius][:, 1]
            assert at.min() == pytest.approx(point.low, abs=1e-9)
            assert at.max() == pytest.approx(point.high, abs=1e-9)
        legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert legend[-1] == "95 % interval over 50 photographs (200 images), pointwise"

    def test_the_band_of_a_single_compared_run_counts_photographs_too(self) -> None:
        known = run_of("a", ROWS, data="d", photographs=WHOLE.photographs)
        figure = comparison_figure([known], checked([known]))
        legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert legend[-1] == "95 % interval over 50 photographs (200 images), pointwise"
