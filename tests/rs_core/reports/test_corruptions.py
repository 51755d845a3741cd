"""Rows by corruption: sums of the right inputs over the right denominators, and plain means over the common ones."""

from dataclasses import replace

import numpy as np
import pytest

from radii.rs_core.data.corruption_info import COMMON, Corrupted, in_a_row
from radii.rs_core.records import ABSTAIN, Certificate, Prediction
from radii.rs_core.reports.certification import summarize
from radii.rs_core.reports.certification_text import format_table, to_csv
from radii.rs_core.reports.corruptions import (
    CorruptionGroups,
    CorruptionRows,
    different,
    notes,
    report_on,
    report_on_groups,
    report_on_predictions,
)
from radii.rs_core.reports.corruptions_text import csv_rows, lines_of
from radii.rs_core.results.aggregate import columns
from radii.rs_core.results.photographs import share_interval
from radii.rs_core.results.row_statistics import STEPS, ClassSums, from_bytes, group_sums, statistics_of, to_bytes
from radii.rs_core.results.tsv import rounded_down
from radii.rs_core.statistics.paired_tests import mean_interval

KINDS = [("gaussian_noise", 1), ("gaussian_noise", 5), ("fog", 1), ("fog", 5), ("spatter", 1)]
MARKS = Corrupted(groups=in_a_row(KINDS, 10), constants="ImageNet-C", library="a-library", version="1.2", seed=3)
WHOLE = CorruptionGroups(corrupted=MARKS, chosen=range(50))


def row(index: int, radius: float = 0.5, prediction: int = 0) -> Certificate:
    return Certificate(
        index=index,
        label=0,
        prediction=prediction,
        radius=radius,
        p_lower=0.9,
        counts0=(100, 0),
        counts=(900, 100),
        n0=100,
        n=1_000,
        sigma=0.25,
        alpha=0.001,
        seed=0,
    )


ROWS = [
    *(row(index, radius=0.1 * (index + 1)) for index in range(10)),  # gaussian_noise 1: 0.1 to 1.0
    *(row(index, radius=0.0, prediction=ABSTAIN) for index in range(10, 20)),
    *(row(index, radius=0.2) for index in range(20, 30)),
    *(row(index, radius=0.9, prediction=1) for index in range(30, 40)),  # wrong
    *(row(index, radius=0.7) for index in range(40, 50)),
]


def test_each_corruption_has_the_numbers_of_all_its_inputs() -> None:
    found = report_on_groups(group_sums(columns(ROWS[::-1]), MARKS.starts), WHOLE)
    noise, fog, spatter = found.corruptions
    assert (noise.corruption, noise.severity, noise.inputs, noise.evaluated) == ("gaussian_noise", None, 20, 20)
    assert noise.acr == pytest.approx(5.5 / 20)
    assert (noise.accuracy, noise.abstention_rate) == (0.5, 0.5)
    assert (fog.acr, fog.accuracy, fog.abstention_rate) == (pytest.approx(0.1), 0.5, 0.0)
    assert spatter.acr == pytest.approx(0.7)
    assert [(part.corruption, part.severity) for part in found.severities] == KINDS
    assert [part.accuracy for part in found.severities] == [1, 0, 1, 0, 1]


def test_means_are_plain_and_over_the_common_corruptions() -> None:
    found = report_on_groups(group_sums(columns(ROWS), MARKS.starts), WHOLE)
    whole, one, five = found.means
    assert (whole.severity, whole.corruptions, found.of) == (None, 2, 15)
    assert whole.macr == pytest.approx((5.5 / 20 + 0.1) / 2)
    assert whole.macc == 0.5
    assert (one.severity, one.macr, one.macc) == (1, pytest.approx((0.55 + 0.2) / 2), 1.0)
    assert (five.severity, five.macr, five.macc) == (5, 0.0, 0.0)


def test_a_mean_counts_each_corruption_once_however_many_inputs_it_has() -> None:
    sums = {"fog": ClassSums(inputs=1, radius_sum=1.0, correct=1), "snow": ClassSums(inputs=99)}
    parts = [
        CorruptionRows(corruption=name, severity=None, inputs=found.inputs, sums=found) for name, found in sums.items()
    ]
    assert report_on(parts).means[0].macr == 0.5


def test_without_a_common_corruption_there_is_no_mean() -> None:
    found = report_on([CorruptionRows(corruption="spatter", severity=1, inputs=1, sums=ClassSums(inputs=1))])
    assert found.means == ()
    assert any("None of the corruptions is one of the common ones" in note for note in notes(found, MARKS))


def test_a_selection_has_what_was_chosen_of_each_group() -> None:
    """Every 7th of 50: 0 7 | 14 | 21 28 | 35 | 42 49."""
    chosen = range(0, 50, 7)
    found = report_on_groups(
        group_sums(columns([ROWS[index] for index in chosen]), MARKS.starts),
        CorruptionGroups(corrupted=MARKS, chosen=chosen),
    )
    assert [part.inputs for part in found.severities] == [2, 1, 2, 1, 2]
    assert found.severities[0].acr == pytest.approx((0.1 + 0.8) / 2)


def test_groups_of_which_nothing_was_chosen_are_left_out() -> None:
    found = report_on_groups({}, CorruptionGroups(corrupted=MARKS, chosen=range(25, 50)[:10]))
    assert [(part.corruption, part.severity, part.inputs) for part in found.severities] == [
        ("fog", 1, 5),
        ("fog", 5, 5),
    ]


def test_missing_inputs_stay_in_every_denominator() -> None:
    found = report_on_groups(group_sums(columns(ROWS[:5]), MARKS.starts), WHOLE)
    noise, fog, _ = found.corruptions
    assert (noise.inputs, noise.evaluated, noise.accuracy) == (20, 5, 0.25)
    assert (fog.inputs, fog.evaluated, fog.acr) == (20, 0, 0.0)


def test_predictions_have_accuracy_alone() -> None:
    known = {"label": 0, "p_value": 0.0, "counts": (9, 1), "n": 10, "sigma": 0.25, "alpha": 0.001, "seed": 0}
    rows = [Prediction(index=index, prediction=-(index % 2), **known) for index in range(20)]  # type: ignore[arg-type]
    found = report_on_predictions(rows, WHOLE)
    assert [(part.acr, part.accuracy, part.abstention_rate) for part in found.corruptions[:2]] == [
        (None, 0.5, 0.5),
        (None, 0.0, 0.0),
    ]
    assert (found.means[0].macr, found.means[0].macc) == (None, 0.25)
    assert not any("ACR at severity" in line for line in lines_of(found))
    assert not any(cells[0] in ("macr", "corruption_acr") for cells in csv_rows(found))


def test_statistics_of_groups_add_up_and_are_kept_whole() -> None:
    cap = 1.0
    parts = [
        statistics_of(ROWS[first : first + 7], (0.0,), cap=cap, steps=STEPS, starts=MARKS.starts)
        for first in range(0, 50, 7)
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = from_bytes(to_bytes(whole.plus(part)))
    wanted = group_sums(columns(ROWS), MARKS.starts)
    assert whole.groups.keys() == wanted.keys()
    for number, sums in wanted.items():
        assert replace(whole.groups[number], radius_sum=0) == replace(sums, radius_sum=0)
        assert whole.groups[number].radius_sum == pytest.approx(sums.radius_sum)
    assert whole.plus(parts[0], -1).groups[0].inputs == 3
    assert statistics_of(ROWS, (0.0,)).groups == {}


COMMON_MARKS = replace(
    MARKS, groups=in_a_row([("gaussian_noise", 1), ("fog", 1), ("fog", 2), ("gaussian_noise", 2)], 10)
)
COMMON_WHOLE = CorruptionGroups(corrupted=COMMON_MARKS, chosen=range(40))


def test_means_over_common_corruptions_of_equal_size_have_intervals_by_photograph() -> None:
    found = summarize(ROWS[:40], grouped=COMMON_WHOLE)
    assert found.corruptions is not None
    mean = found.corruptions.means[0]
    by_photograph = np.array([[row.radius * row.correct for row in ROWS[g : g + 10]] for g in (0, 10, 20, 30)])
    right = np.array([[row.correct for row in ROWS[g : g + 10]] for g in (0, 10, 20, 30)]).sum(axis=0)
    assert mean.macr == pytest.approx(by_photograph.mean())
    assert mean.macr_interval == pytest.approx(mean_interval(by_photograph.sum(axis=0), np.full(10, 4.0)))
    assert mean.macr_interval[0] < mean.macr < mean.macr_interval[1]
    assert mean.macc_interval == share_interval(right, np.full(10, 4), 0.95)
    assert mean.macc_interval == (found.accuracy_at_0.low, found.accuracy_at_0.high), (
        "the same share, the same interval"
    )
    assert all(row.macc_interval is None and row.macr_interval is None for row in found.corruptions.means[1:])
    assert any(
        "at 95 % and resample 10 photographs. mACR's is a bootstrap, which is too narrow" in note
        for note in found.notes
    )


def test_the_intervals_of_means_are_printed_and_written() -> None:
    report = summarize(ROWS[:40], grouped=COMMON_WHOLE)
    assert report.corruptions is not None
    macr, macc = report.corruptions.means[0].macr_interval, report.corruptions.means[0].macc_interval
    assert macr is not None and macc is not None
    lines = format_table(report).splitlines()
    low, high = (next(line for line in lines if line.startswith(f"95 % interval {end}")) for end in ("from", "to"))
    assert low.split()[-3:-1] == [rounded_down(macr[0], 4), f"{100 * macc[0]:.2f}"]
    assert high.split()[-3:-1] == [rounded_down(macr[1], 4), f"{100 * macc[1]:.2f}"]
    written = to_csv(report).splitlines()
    assert f"macr,,{report.corruptions.means[0].macr},{macr[0]},{macr[1]},,2" in written
    assert f"macc,,0.5,{macc[0]},{macc[1]},,2" in written


def test_means_that_are_not_over_inputs_have_no_interval() -> None:
    """Spatter is no common corruption; every third input is 14 of one corruption and 13 of the other."""
    for grouped, rows in ((WHOLE, ROWS), (replace(COMMON_WHOLE, chosen=range(0, 40, 3)), ROWS[:40:3])):
        found = summarize(rows, grouped=grouped)
        assert found.corruptions is not None
        assert (found.corruptions.means[0].macr_interval, found.corruptions.means[0].macc_interval) == (None, None)
        assert not any("Intervals of means" in note for note in found.notes)
        assert "95 % interval from" not in format_table(found)


def test_missing_inputs_are_counted_as_correct_at_the_upper_end_of_macc_and_leave_macr_without_interval() -> None:
    found = summarize(ROWS[:30], total=40, grouped=COMMON_WHOLE)
    assert found.corruptions is not None
    mean = found.corruptions.means[0]
    assert mean.macr_interval is None and mean.macc_interval is not None
    assert mean.macc_interval[0] < mean.macc == 0.5 and mean.macc_interval[1] > 0.75


def test_predictions_have_the_interval_of_their_accuracy() -> None:
    known = {"label": 0, "p_value": 0.0, "counts": (9, 1), "n": 10, "sigma": 0.25, "alpha": 0.001, "seed": 0}
    rows = [Prediction(index=i, prediction=-int(i % 10 == 3), **known) for i in range(40)]  # type: ignore[arg-type]
    (mean, *_) = report_on_predictions(rows, COMMON_WHOLE).means
    wanted = share_interval(np.where(np.arange(10) == 3, 0, 4), np.full(10, 4), 0.95)
    assert (mean.macr_interval, mean.macc_interval) == (None, wanted)
    assert "95 % interval from" in "\n".join(lines_of(report_on_predictions(rows, COMMON_WHOLE)))


def test_the_report_carries_them_with_their_notes() -> None:
    found = summarize(ROWS, grouped=WHOLE)
    assert found.corruptions == report_on_groups(group_sums(columns(ROWS), MARKS.starts), WHOLE)
    assert found.to_json()["corruptions"]["means"][0]["macc"] == 0.5
    assert any("made by a-library 1.2 with the constants of ImageNet-C" in note for note in found.notes)
    assert any("means over 2 of the 15 common corruptions" in note for note in found.notes)
    assert summarize(ROWS).corruptions is None


def test_padding_and_rounding_are_said() -> None:
    found = report_on_groups({}, WHOLE)
    text = " ".join(notes(found, replace(MARKS, padded=True, rounded=True)))
    assert "padded by their edge pixels" in text and "rounded to whole multiples of 1/255" in text
    assert "padded" not in " ".join(notes(found, MARKS))
    published = Corrupted(groups=MARKS.groups, constants="CIFAR-10-C")
    assert "those of the files of CIFAR-10-C" in notes(found, published)[0]


def test_the_text_has_a_line_for_each_corruption_and_a_table_by_severity() -> None:
    text = format_table(summarize(ROWS, grouped=WHOLE))
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("corruption"))
    assert lines[start : start + 5] == [
        "corruption             inputs       ACR    accuracy   abstained",
        "gaussian_noise             20    0.2750     50.00 %     50.00 %",
        "fog                        20    0.1000     50.00 %      0.00 %",
        "spatter                    10    0.7000    100.00 %      0.00 %",
        "mACR, mAcc            2 of 15    0.1875     50.00 %",
    ]
    assert lines[start + 6 : start + 11] == [
        "ACR at severity                  1         5",
        "gaussian_noise              0.5500    0.0000",
        "fog                         0.2000    0.0000",
        "spatter                     0.7000",
        "mACR                        0.3750    0.0000",
    ]
    assert max(map(len, lines)) <= 100


def test_the_text_of_all_corruptions_and_severities_fits_a_terminal() -> None:
    marks = Corrupted(
        groups=in_a_row([(name, s) for name in COMMON for s in range(1, 6)], 10_000), constants="CIFAR-10-C"
    )
    found = summarize(ROWS, total=750_000, grouped=CorruptionGroups(corrupted=marks, chosen=range(750_000)))
    assert max(map(len, format_table(found).splitlines())) <= 100


def test_csv_has_every_number_in_full() -> None:
    lines = to_csv(summarize(ROWS, grouped=WHOLE)).splitlines()
    assert "corruption_accuracy,fog,0.5,,,,20" in lines
    assert "corruption_accuracy,fog/1,1.0,,,,10" in lines
    assert "macc,,0.5,,,,2" in lines
    assert "macc,5,0.0,,,,2" in lines


def test_reports_say_how_images_differ_from_the_published_code() -> None:
    kinds = [("frost", 1), ("fog", 1), ("elastic_transform", 2)]
    marks = Corrupted(groups=in_a_row(kinds, 10), constants="ImageNet-C", library="a-library", version="1", revision=2)
    (said,) = different(marks)
    assert said == (
        "Not as in the published code of ImageNet-C: frost enlarges its textures by a tenth before it cuts them; "
        "elastic_transform has no random affine part, and other strengths."
    )
    (older,) = different(replace(marks, revision=1))
    assert "frost draws from six textures, of which ImageNet-C has five" in older
    assert different(Corrupted(groups=in_a_row([("fog", 1)], 10), constants="ImageNet-C", library="a-library")) == ()
    assert different(Corrupted(groups=in_a_row(kinds, 10), constants="CIFAR-10-C")) == ()
