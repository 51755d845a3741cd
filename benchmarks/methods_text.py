"""The methods tables as text: what `methods.py` prints and keeps."""

import json
import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from radii.rs_core.certify.bounds import max_radius

SIGMA = 0.5
RADII = (0.0, 0.5, 1.0, 1.5)
Figures = dict[str, dict[str, Any]]


def methods_text(rows: Figures, settings: dict[str, int], made: str, cost_rounds: int) -> str:
    """Every method at one budget; ``made`` says by which command and where."""
    attacked = ""
    if share := rows.get("CAT-RS", {}).get("attacked"):
        attacked = (
            f" CAT-RS attacked {100 * share:.0f} % of the images over its epochs; its passes and cost are of all."
        )
    return (
        "# Every training method, MNIST\n\n"
        f"{_budget(settings)} Passes per training image: forward and backward for the weights + for the input alone, after "
        "every warm-up; cost: time of an epoch beside Gaussian's, whole batches timed in turn "
        f"({cost_rounds} rounds, medians).{attacked}\n\n"
        f"{made}\n\n{_table(rows)}\n\n{_steps_up(rows)}\n"
    )


def cat_rs_text(rows: Figures, settings: dict[str, int], made: str, methods: Figures) -> str:
    """CAT-RS and what it is compared with: another seed, more epochs."""
    rows = {name: methods[name] for name in ("Consistency + SmoothAdv", "CAT-RS") if name in methods} | rows
    return (
        "# CAT-RS at a small budget, MNIST\n\n"
        f"{_budget(settings)} Rows of 17 epochs drop the rate every 6. The first two rows are those of `methods.md`.\n\n"
        f"{made}\n\n{_table(rows)}\n\n{_above(rows, 'Consistency + SmoothAdv')}\n"
    )


def write(out: Path, text: str, body: dict[str, Any]) -> None:
    """The text and, beside it, every figure; what a reader has written under the tables of an earlier text stays."""
    _, heading, remarks = (out.read_text() if out.exists() else "").partition("\n## ")
    out.write_text(text + heading + remarks)
    out.with_suffix(".json").write_text(json.dumps(body, separators=(",", ":")) + "\n")


def _budget(settings: dict[str, int]) -> str:
    return (
        f"LeNet, sigma {SIGMA:g}, the first {settings['images']:,} training images, {settings['epochs']} epochs, learning rate "
        f"0.01 with a drop every {settings['lr_step']} epochs, batch 256; soft labels of CAT-RS from 100 votes; the first "
        f"{settings['inputs']} test images, n = {settings['n']:,}, alpha 0.001 "
        f"(cap {max_radius(settings['n'], 0.001, SIGMA):.3f}). Attacks without a warm-up. "
        "Accuracies in per cent. Every figure, and the radius of each input: the JSON file of this name."
    )


def _table(rows: Figures) -> str:
    """One line a row; the columns that no row has a figure for are left out."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "ACR": lambda row: f"{row['acr']:.3f}",
        **{f"at {radius:g}": _accuracy_at(radius) for radius in RADII},
        "abstained": lambda row: f"{100 * row['abstained']:.1f}",
        "steps": lambda row: f"{row['steps']:,}",
    }
    if all("passes" in row for row in rows.values()):
        columns["passes"] = lambda row: " + ".join(f"{count:.3g}" for count in row["passes"])
        columns["cost"] = lambda row: f"{row['cost']:.1f}"
        columns["published ACR"] = lambda row: row["published_acr"]
    lines = [f"| method | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(cell(row) for cell in columns.values())} |")
    return "\n".join(lines)


def _accuracy_at(radius: float) -> Callable[[dict[str, Any]], str]:
    return lambda row: f"{100 * row['certified_accuracy'][f'{radius:g}']:.1f}"


def _steps_up(rows: Figures) -> str:
    """By how much each row's ACR is above the next lower one, over the same inputs, where both have their radii."""
    lines = ["| by ACR | above the row before | standard error |", "|---|---|---|"]
    known = sorted((row["acr"], name) for name, row in rows.items() if row.get("radii"))
    for (_, before), (_, name) in pairwise(known):
        lines.append(f"| {name} over {before} | {_difference(rows[name], rows[before])} |")
    return "\n".join(lines)


def _above(rows: Figures, base: str) -> str:
    """By how much each row's ACR is above that of ``base``, over the same inputs."""
    lines = [f"| ACR above {base} | difference | standard error |", "|---|---|---|"]
    if base in rows:
        lines += [f"| {name} | {_difference(rows[name], rows[base])} |" for name in rows if name != base]
    return "\n".join(lines)


def _difference(row: dict[str, Any], base: dict[str, Any]) -> str:
    differences = [b - a for a, b in zip(base["radii"], row["radii"], strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return f"{statistics.mean(differences):.4f} | {error:.4f}"
