"""Made-up runs to be compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.rs_core.comparisons.alignment import Run, run_of
from radii.rs_core.records import ABSTAIN, Certificate

KNOWN: dict[str, Any] = {"n0": 100, "n": 1_000, "sigma": 0.25, "alpha": 0.001, "seed": 7, "p_lower": 0.9}
UNKNOWN: dict[str, Any] = {
    "n0": 0,
    "n": 0,
    "sigma": float("nan"),
    "alpha": float("nan"),
    "seed": -1,
    "p_lower": float("nan"),
}


def row(index: int, radius: float | None, /, *, label: int = 0, **fields: Any) -> Certificate:
    """A certificate of class 0; ``None`` is an abstention, a negative radius a wrong class of that radius."""
    prediction = ABSTAIN if radius is None else 1 if radius < 0 else 0
    made = {"counts0": (), "counts": (), **KNOWN, **fields}
    return Certificate(index=index, label=label, prediction=prediction, radius=abs(radius or 0.0), **made)


def run(name: str, values: Sequence[float | None], /, *, start: int = 0, step: int = 1, **more: Any) -> Run:
    """A run over evenly spaced indices, of the radii that :func:`row` takes."""
    of_run = {key: more.pop(key) for key in ("total", "cap", "unfinished", "data") if key in more}
    rows = [row(start + place * step, radius, **more) for place, radius in enumerate(values)]
    return run_of(name, rows, **of_run)


def uniform(name: str, number: int, inputs: int = 300, /, **more: Any) -> Run:
    """A run with radii between 0 and 1 at random, the same for the same number."""
    return run(name, [*np.random.default_rng(number).uniform(0, 1, inputs)], **more)
