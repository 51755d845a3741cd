"""What the tables of published results are written in: a data set, and one row per way of training with its figures.

A row has figures for each noise level at which it was reported: ACR in [0, 1]-pixel l2 units as printed, and certified
accuracy in per cent, as printed, at evenly spaced radii. A note says what is disputed, truncated or of another run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SLIDES = "table of the SmoothMix slides (Jeong et al., NeurIPS 2021)"
POSTER = "table of the CAT-RS poster (Jeong, Kim and Shin, AAAI 2023)"
PRINTED = f"{SLIDES} or {POSTER}; the released log gives the same"


OF_THE_TABLE = -1


@dataclass(frozen=True)
class PublishedFigures:
    """What was reported at one noise level; ``acr`` is None where none was, ``percents`` are in the order of the radii."""

    acr: float | None
    percents: tuple[float, ...]
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One way of training; ``first`` is the smallest radius of its figures, ``inputs`` are those certified where they are others
    than the table's, None where that is not known; the noise level ``None`` is the best of several at each radius."""

    name: str
    title: str
    source: str
    figures: Mapping[float | None, PublishedFigures]
    first: float = 0.0
    inputs: int | None = OF_THE_TABLE


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A data set: what its rows share. ``inputs`` were certified, ``step`` lies between two radii of the figures."""

    dataset: str
    title: str
    architecture: str
    inputs: int
    rows: tuple[ResultRow, ...]
    step: float = 0.25


def figures(acr: float | None, *percents: float, note: str | None = None) -> PublishedFigures:
    """The figures of one noise level."""
    return PublishedFigures(acr, percents, note)
