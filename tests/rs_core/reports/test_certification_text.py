"""The report as text: exact lines, nothing wider than a terminal, nothing rounded up."""

import csv
import io
import math
from dataclasses import replace

from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.reports.certification import Report, summarize
from radii.rs_core.reports.certification_text import format_table, to_csv

ROW = Certificate(
    index=0,
    label=0,
    prediction=0,
    radius=0.52999,
    p_lower=0.98299,
    counts0=(100, 0),
    counts=(990, 10),
    n0=100,
    n=1_000,
    sigma=0.25,
    alpha=0.001,
    seed=7,
)
ABSTAINED = replace(ROW, index=1, prediction=ABSTAIN, radius=0.0, p_lower=0.4, counts=(400, 600))
BARE = replace(ROW, counts=(), n0=0, n=0, sigma=math.nan, alpha=math.nan, p_lower=math.nan, seed=-1)


def cells(report: Report) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["measure"], row["at"]): row for row in csv.DictReader(io.StringIO(to_csv(report)))}


def test_the_table_shows_the_numbers_and_what_must_stand_beside_them() -> None:
    lines = format_table(summarize([ROW, ABSTAINED], radii=(0, 0.25, 0.75))).splitlines()
    assert lines[:11] == [
        "ACR 0.2649   accuracy at 0 50.00 %   abstained 50.00 %   at the cap (0.6158) 0.00 %",
        "n0 100   n 1,000   alpha 0.001   sigma 0.25   (fixed n)",
        "inputs 2   seed 7",
        "",
        "  radius   certified accuracy   95 % interval       inputs",
        "    0.00              50.00 %   [  1.25,  98.75]           1",
        "    0.25              50.00 %   [  1.25,  98.75]           1",
        "    0.75               0.00 %   [  0.00,  84.19]           0",
        "",
        "quantiles              min       5 %      25 %      50 %      75 %      95 %       max",
        "radius x correct    0.0000    0.0000    0.0000    0.0000    0.5299    0.5299    0.5299",
    ]
    assert lines[13].startswith("- Intervals are Clopper-Pearson")


def test_no_line_is_wider_than_100_columns() -> None:
    longest = replace(
        ROW, n0=100_000_000, n=100_000_000, alpha=1.23456e-10, sigma=0.123456, seed=2**63 - 1, error="lost"
    )
    rows = [replace(longest, index=index, label=index, error=None) for index in range(3)]
    for report in (summarize(rows, total=10_000_000), summarize([longest]), summarize([BARE])):
        assert max(map(len, format_table(report).splitlines())) <= 100


def test_what_is_unknown_is_said_to_be() -> None:
    text = format_table(summarize([BARE]))
    assert "at the cap unknown" in text
    assert (
        "n0 unknown   n unknown   alpha unknown   sigma unknown   (procedure unknown)\ninputs 1   seed unknown" in text
    )
    assert "p_lower            unknown" in text


def test_a_partial_job_is_said_to_be() -> None:
    assert "inputs 1 of 4 (partial)" in format_table(summarize([ROW], total=4))


def test_fine_radii_are_shown_with_all_their_decimals() -> None:
    text = format_table(summarize([ROW], radii=(0.0, 0.125, 1e-5)))
    assert [line.split()[0] for line in text.splitlines()[5:8]] == ["0.00000", "0.00001", "0.12500"]


def test_csv_holds_every_number_in_full() -> None:
    found = cells(summarize([ROW, ABSTAINED], radii=(0.25,)))
    assert float(found["acr", ""]["value"]) == 0.52999 / 2
    curve = found["certified_accuracy", "0.25"]
    assert (curve["value"], curve["count"], curve["inputs"]) == ("0.5", "1", "2")
    assert found["abstention_rate", ""]["count"] == "1"
    assert (found["n", ""]["value"], found["seed", ""]["value"]) == ("1000", "7")
    assert found["radius_quantile", "1"]["value"] == "0.52999"
    assert found["class_accuracy", "0"]["value"] == "0.5"


def test_csv_leaves_the_unknown_empty() -> None:
    found = cells(summarize([BARE]))
    assert (found["sigma", ""]["value"], found["share_at_cap", ""]["value"]) == ("", "")
    assert ("p_lower_quantile", "0.5") not in found
