"""What stopping early would have brought on released logs of the field: the procedures' own rules, no network.

Each row of a log of n = 100,000 samples (the field's TSV) tells about how likely its class is under noise; votes of that
probability are drawn here, for the fixed n, for ``at_radii`` at one radius at a time, and for the pilot, so that the change
of certified accuracy and of ACR is seen over thousands of inputs without a GPU. Rows that abstained are taken for 0.4.
The last line is one JSON object.

    .venv/bin/python benchmarks/released_logs.py NAME=LOG.tsv:SIGMA ... [--out benchmarks/results/released_logs.md]
"""

import argparse
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shown
from scipy.special import ndtr

from radii.rs_core.certify.bounds import lower_bounds
from radii.rs_core.certify.certificates import Decision
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.results.tsv import read_tsv

N, ALPHA = 100_000, 0.001
MULTIPLES = (0.0, 0.5, 1.0, 1.5, 2.0)
ABSTAINED = 0.4


@dataclass(frozen=True, kw_only=True)
class Log:
    """A released log: the probability of each input's class, and whether that is its label."""

    name: str
    sigma: float
    p: np.ndarray
    correct: np.ndarray


def main() -> None:
    """Draws and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=_log, metavar="NAME=LOG.tsv:SIGMA")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures = {"n": N, "alpha": ALPHA, "logs": [_replayed(log) for log in options.logs]}
    shown.finish(_text(figures), figures, options.out)


def _replayed(log: Log) -> dict[str, Any]:
    fixed = Procedure(sigma=log.sigma, n=N, alpha=ALPHA)
    whole, _ = _drawn(log, fixed)
    found: dict[str, Any] = {"name": log.name, "sigma": log.sigma, "inputs": len(log.p), "at_radii": []}
    for radius in (multiple * log.sigma for multiple in MULTIPLES):
        rows, samples = _drawn(log, replace(fixed, sampling="at_radii", radii=(radius,)))
        found["at_radii"].append(
            {
                "radius": radius,
                "fewer_samples": round((N + 100) / statistics.mean(samples), 1),
                "median_samples": statistics.median(samples),
                "certified_accuracy": [_certified(log, whole, radius), _certified(log, rows, radius)],
            }
        )
    rows, samples = _drawn(log, replace(fixed, sampling="pilot"))
    return found | {
        "pilot": {
            "fewer_samples": round((N + 100) / statistics.mean(samples), 2),
            "acr": [round(_acr(log, whole), 4), round(_acr(log, rows), 4)],
            "acr_lost": round(1 - _acr(log, rows) / _acr(log, whole), 4),
        }
    }


def _drawn(log: Log, procedure: Procedure) -> tuple[list[Decision], list[int]]:
    """What the procedure decides of each input, and after how many samples."""
    print(f"{log.name}: {procedure.sampling} {procedure.radii}", file=sys.stderr)
    generator = np.random.default_rng(0)
    found, samples = [], []
    for p in log.p.tolist():
        votes = [[0, 0], [0, 0]]
        while True:
            wanted = procedure.wanted(*votes)
            more = [total - sum(counts) for total, counts in zip(wanted, votes, strict=True)]
            if not any(more):
                break
            for counts, size in zip(votes, more, strict=True):
                first = int(generator.binomial(size, p))
                counts[0], counts[1] = counts[0] + first, counts[1] + size - first
        found.append(procedure.decide(*votes))
        samples.append(sum(map(sum, votes)))
    return found, samples


def _certified(log: Log, rows: list[Decision], radius: float) -> float:
    held = [row.prediction == 0 and row.radius >= radius for row in rows]
    return round(float((np.array(held) & log.correct).mean()), 4)


def _acr(log: Log, rows: list[Decision]) -> float:
    return float((np.array([row.radius * (row.prediction == 0) for row in rows]) * log.correct).mean())


def _log(text: str) -> Log:
    name, equals, place = text.partition("=")
    file, colon, sigma = place.rpartition(":")
    if not equals or not colon:
        raise argparse.ArgumentTypeError(f"expected NAME=LOG.tsv:SIGMA, got {text!r}")
    rows = read_tsv(Path(file), n0=100, n=N, sigma=float(sigma), alpha=ALPHA)
    # The share of votes whose lower bound is the one that gave the radius: found among all that there are.
    shares = np.linspace(0.5, 1.0, 200_001)
    bounds = lower_bounds(shares * N, N, ALPHA)
    p = np.interp([ndtr(row.radius / row.sigma) for row in rows], bounds, shares)
    known = np.array([row.prediction >= 0 for row in rows])
    return Log(
        name=name,
        sigma=float(sigma),
        p=np.where(known, p, ABSTAINED),
        correct=np.array([row.correct for row in rows]) & known,
    )


def _text(figures: dict[str, Any]) -> str:
    at_radii, pilot = [], []
    for log in figures["logs"]:
        for row in log["at_radii"]:
            before, after = row["certified_accuracy"]
            at_radii.append(
                [
                    log["name"],
                    f"{row['radius']:g}",
                    f"{row['fewer_samples']:.0f} x",
                    f"{row['median_samples']:,.0f}",
                    f"{100 * before:.2f} %",
                    f"{100 * (after - before):+.2f}",
                ]
            )
        found = log["pilot"]
        lost = f"{100 * found['acr_lost']:.2f} % of {found['acr'][0]:.3f}"
        pilot.append([log["name"], f"{log['inputs']:,}", f"{found['fewer_samples']:.2f} x", lost])
    columns = ["at_radii", "radius", "fewer samples", "median", "certified accuracy at fixed n", "change, points"]
    return (
        f"# Stopping early on released logs\n\n```\n{shown.command()}\n```\n\nVotes drawn with the probabilities of the logs' rows, "
        f"n = {figures['n']:,} at most, alpha = {figures['alpha']:g}.\n\n{shown.table(columns, at_radii)}\n\n"
        f"{shown.table(['pilot', 'inputs', 'fewer samples', 'ACR lost'], pilot)}\n"
    )


if __name__ == "__main__":
    main()
