"""A comparison as text: within a hundred columns, rounded so that nothing is claimed that was not certified; and as CSV."""

import csv
import io
import re

from tests_support.runs import run, uniform

from radii.rs_core.comparisons.compare import Comparison, compare
from radii.rs_core.comparisons.text import comparison_csv, format_comparison, p_value, sides
from radii.rs_core.literature.published_results import published


def seven() -> Comparison:
    runs = [uniform(f"a classifier with a long name, number {k}", k, cap=5.0) for k in range(7)]
    return compare(runs, all_pairs=True, published=[published("imagenet/smoothadv-poster/1.0")])


def test_lines_are_at_most_100_columns_wide() -> None:
    for found in (
        seven(),
        compare([uniform("a", 1, total=1_000_000_000)], published=[published("cifar10/cat_rs/0.5")]),
    ):
        text = format_comparison(found)
        assert max(map(len, text.splitlines())) <= 100
        assert text.endswith("\n") and "\n\n\n" not in text


def test_acr_is_rounded_down_and_its_intervals_outwards() -> None:
    found = compare([run("a", [0.29999, 0.2]), run("b", [0.5, 0.5])], radii=(0.0,))
    text = format_comparison(found)
    assert re.search(r"\na +0\.2499 +100\.00\n", text)
    assert "b less a\nACR +0.2500 [+0.2000, +0.3000]" in text  # of 0.250005, [0.20001, 0.3]


def test_a_bound_that_was_stopped_early_says_at_least_and_is_not_ranked() -> None:
    stopped = uniform("stopped", 1, sampling="at_radii", radii=(0.25,))
    text = format_comparison(compare([uniform("fixed", 2), stopped]))
    assert ">=0." in text
    assert "ACR: not to be ranked, since sampling stopped early" in text


def test_own_inputs_are_shown_where_they_are_others_than_the_shared_ones() -> None:
    same, other = compare([uniform("a", 1), uniform("b", 2)]), compare([uniform("a", 1), uniform("b", 2, 200)])
    assert (sides(same), sides(other)) == (("shared",), ("own", "shared"))
    assert "on the 300 shared inputs" in format_comparison(same)
    assert "on all inputs" not in format_comparison(same)
    text = format_comparison(other)
    assert "on all inputs of each run" in text and "on the 200 shared inputs" in text
    partial = compare([uniform("a", 1, total=900)])
    assert sides(partial) == ("own",)
    assert "300 of 900" in format_comparison(partial)


def test_published_figures_stand_below_the_runs_as_they_were_printed() -> None:
    radii = (0.0, 0.25, 0.3, 0.5)
    found = compare([uniform("a", 1)], radii=radii, published=[published("cifar10/cat_rs/0.25")])
    text = format_comparison(found)
    line = next(line for line in text.splitlines() if line.startswith("cifar10/cat_rs/0.25 "))
    assert line.split()[1:] == ["0.562", "76.3", "68.1", "-", "58.8"]


def test_p_values_have_two_digits_and_never_show_as_zero() -> None:
    assert [p_value(p) for p in (1.0, 0.0123, 1e-20, 0.0)] == ["1", "0.012", "1e-20", "<1e-99"]


def test_csv_has_one_number_per_line_in_full() -> None:
    found = seven()
    rows = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    first = found.runs[0]
    acrs = [float(row["value"]) for row in rows if row["measure"] == "acr"]
    assert acrs == [line.own.acr for line in found.runs]
    at = next(row for row in rows if row["measure"] == "shared_certified_accuracy" and row["run"] == first.name)
    assert (float(at["at"]), int(at["count"])) == (0.0, first.shared.certified_accuracy[0].count)
    p_values = [float(row["value"]) for row in rows if row["measure"] == "p_holm"]
    assert p_values == [test.p_holm for pair in found.pairs for test in pair.tests]
    (difference,) = [
        row
        for row in rows
        if (row["measure"], row["run"], row["baseline"])
        == ("acr_difference", found.pairs[0].run, found.pairs[0].baseline)
    ]
    assert found.pairs[0].acr is not None and float(difference["low"]) == found.pairs[0].acr.low
    printed = [row for row in rows if row["measure"] == "published_certified_accuracy"]
    assert (float(printed[0]["value"]), printed[0]["inputs"]) == (0.4, "500")
