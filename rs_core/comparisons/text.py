"""A comparison as text: aligned tables for a terminal, and CSV with one number per line for a spreadsheet.

ACR and certified accuracy are rounded as in ``reports.certification_text``, intervals outwards; CSV carries full precision. The figures
themselves come from ``compare``.
"""

import textwrap
from collections.abc import Iterator
from typing import Literal

from radii.rs_core.comparisons.compare import ComparedRun, Comparison, PairedComparison, RunFigures
from radii.rs_core.reports.certification_text import WIDTH, percent
from radii.rs_core.results.csv_text import csv_text
from radii.rs_core.results.tsv import rounded_down

CSV_COLUMNS = ("measure", "run", "baseline", "at", "value", "low", "high", "count", "inputs")
NAME = 34
"""Characters of a name; longer ones are cut."""
AT_ONCE = 8
"""Radii beside each other in one table."""
SMALLEST = 1e-99
"""p-values below it are shown as that."""

Of = Literal["own", "shared"]


def format_comparison(found: Comparison) -> str:
    """The comparison as plain text, at most 100 columns wide, ending in a newline."""
    blocks = [_runs(found), *_accuracies(found), *(_pair(pair) for pair in found.pairs), _notes(found)]
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block) + "\n"


def comparison_csv(found: Comparison) -> str:
    """The comparison as CSV; ``at`` is a radius, ``run`` a run or a published result, shares are of ``inputs``."""
    rows: list[tuple[object, ...]] = [CSV_COLUMNS]
    for line in found.runs:
        rows.extend(_figure_rows(line.name, "", line.own))
        rows.extend(_figure_rows(line.name, "shared_", line.shared))
        for name in ("procedure", "sigma", "n0", "n", "alpha", "cap"):
            rows.append((name, line.name, "", "", getattr(line, name), "", "", "", ""))
    for pair in found.pairs:
        rows.extend(_pair_rows(pair, found.shared))
    for one in found.published:
        rows.append(("published_acr", one.name, "", "", one.acr, "", "", "", one.inputs))
        for share in one.certified_accuracy:
            row = ("published_certified_accuracy", one.name, "", share.radius, share.percent / 100)
            rows.append((*row, "", "", "", one.inputs))
    rows.append(("tests", "", "", "", found.tests, "", "", "", found.shared))
    rows.append(("interval_units", "", "", found.unit, found.units, "", "", "", found.shared))
    return csv_text(rows)


def sides(found: Comparison) -> tuple[Of, ...]:
    """Which figures are worth showing: those on the shared inputs, and those on each run's own where these are others."""
    own = any(line.own.inputs != found.shared for line in found.runs)
    return ("own", "shared") if own and len(found.runs) > 1 else ("own",) if own else ("shared",)


def heading(found: Comparison, of: Of) -> str:
    """On which inputs."""
    if of == "own":
        return "on all inputs of the run" if len(found.runs) == 1 else "on all inputs of each run"
    shown = "" if found.unit == "input" else f" of {found.units:,} photographs"
    return f"on the {found.shared:,} {'inputs' if len(found.runs) == 1 else 'shared inputs'}{shown}"


def p_value(p: float) -> str:
    """A p-value with two digits."""
    return f"<{SMALLEST:.0e}" if p < SMALLEST else f"{p:.2g}"


def acr(line: ComparedRun, of: Of) -> str:
    """ACR rounded down; where sampling stopped early it is only known to be at least that."""
    return (">=" if line.sampling == "at_radii" else "") + rounded_down(getattr(line, of).acr, 4)


def signed(value: float, decimals: int = 4) -> str:
    """A difference with its sign."""
    return f"{value:+.{decimals}f}"


def _figure_rows(name: str, prefix: str, own: RunFigures) -> Iterator[tuple[object, ...]]:
    yield (f"{prefix}acr", name, "", "", own.acr, "", "", "", own.inputs)
    for p in own.certified_accuracy:
        value = (p.certified_accuracy, p.low, p.high, p.count, own.inputs)
        yield (f"{prefix}certified_accuracy", name, "", p.radius, *value)
    zero = own.accuracy_at_0
    yield (
        *(f"{prefix}accuracy_at_0", name, "", "", zero.certified_accuracy),
        *(zero.low, zero.high, zero.count, own.inputs),
    )
    yield (f"{prefix}abstention_rate", name, "", "", own.abstention_rate, "", "", own.abstained, own.inputs)
    yield (f"{prefix}share_at_cap", name, "", "", own.share_at_cap, "", "", own.at_cap, own.inputs)
    yield (f"{prefix}evaluated", name, "", "", own.evaluated, "", "", "", own.inputs)


def _pair_rows(pair: PairedComparison, inputs: int) -> Iterator[tuple[object, ...]]:
    if pair.acr is not None:
        found = (pair.acr.difference, pair.acr.low, pair.acr.high)
        yield ("acr_difference", pair.run, pair.baseline, "", *found, "", inputs)
    for test in pair.tests:
        at = (pair.run, pair.baseline, test.radius)
        yield ("difference", *at, test.difference, "", "", "", inputs)
        for name in ("both", "only_run", "only_baseline", "neither"):
            yield (name, *at, "", "", "", getattr(test, name), inputs)
        yield ("p_value", *at, test.p_value, "", "", "", inputs)
        yield ("p_holm", *at, test.p_holm, "", "", "", inputs)


def _runs(found: Comparison) -> list[str]:
    head = f"{'run':<{NAME}}{'inputs':>18}{'abstained':>11}{'at cap':>10}{'sigma':>8}{'n':>13}"
    return [head, *(_run(line) for line in found.runs)]


def _run(line: ComparedRun) -> str:
    own = line.own
    inputs = f"{own.inputs:,}" if line.complete else f"{own.evaluated:,} of {own.inputs:,}"
    cap = "unknown" if own.share_at_cap is None else percent(own.share_at_cap)
    sigma = "unknown" if line.sigma is None else f"{line.sigma:g}"
    n = "unknown" if line.n is None else f"{line.n:,}"
    return f"{_cut(line.name):<{NAME}}{inputs:>18}{percent(own.abstention_rate):>11}{cap:>10}{sigma:>8}{n:>13}"


def _accuracies(found: Comparison) -> Iterator[list[str]]:
    for of in sides(found):
        for first in range(0, len(found.radii), AT_ONCE):
            places = range(first, min(first + AT_ONCE, len(found.radii)))
            title = f"Certified accuracy, per cent, {heading(found, of)}"
            columns = "".join(f"{found.radii[place]:>7.4g}" for place in places)
            yield [title, f"{'radius':<{NAME}}{'ACR':>10}{columns}", *_accuracy_rows(found, of, places)]


def _accuracy_rows(found: Comparison, of: Of, places: range) -> Iterator[str]:
    for line in found.runs:
        points = getattr(line, of).certified_accuracy
        cells = "".join(f"{100 * points[place].certified_accuracy:>7.2f}" for place in places)
        yield f"{_cut(line.name):<{NAME}}{acr(line, of):>10}{cells}"
    for one in found.published:
        printed = (one.percent_at(found.radii[place]) for place in places)
        cells = "".join(f"{'-' if percents is None else f'{percents:g}':>7}" for percents in printed)
        yield f"{_cut(one.name):<{NAME}}{'-' if one.acr is None else f'{one.acr:.3f}':>10}{cells}"


def _pair(pair: PairedComparison) -> list[str]:
    lines = [f"{_cut(pair.run, 45)} less {_cut(pair.baseline, 45)}"]
    if pair.acr is None:
        lines.append("ACR: not to be ranked, since sampling stopped early")
    else:
        lines.append(f"ACR {signed(pair.acr.difference)}{interval(pair)}")
    lines.append(
        f"{'radius':>8}{'points':>10}{'both':>11}{'only it':>11}{'only other':>12}{'neither':>11}{'p':>12}{'Holm p':>12}"
    )
    for test in pair.tests:
        counts = f"{test.both:>11,}{test.only_run:>11,}{test.only_baseline:>12,}{test.neither:>11,}"
        values = f"{p_value(test.p_value):>12}{p_value(test.p_holm):>12}"
        lines.append(f"{test.radius:>8.4g}{signed(100 * test.difference, 2):>10}{counts}{values}")
    return lines


def interval(pair: PairedComparison) -> str:
    """Of the difference of ACR, outwards; nothing where there is none."""
    if pair.acr is None or pair.acr.low is None or pair.acr.high is None:
        return ""
    low, high = float(rounded_down(pair.acr.low, 4)), -float(rounded_down(-pair.acr.high, 4))
    return f" [{signed(low)}, {signed(high)}]"


def _notes(found: Comparison) -> list[str]:
    return [
        line for note in found.notes for line in textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")
    ]


def _cut(name: str, length: int = NAME - 1) -> str:
    return name if len(name) <= length else name[: length - 3] + "..."
