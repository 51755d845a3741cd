"""Inputs that show the same photograph, and intervals of shares that count photographs.

A dataset of corrupted images holds each photograph many times (15 corruptions x 5 severities: 75 times). Answers to images of
one photograph are alike, so that an interval over images would be too narrow: the unit of every interval and test is the
photograph. With one image of each photograph everything here reduces to the interval over inputs, to the last bit.

The interval of a share is that of Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
positive counts estimated from survey data", Survey Methodology 24(2): Clopper-Pearson at the effective number of inputs, which
the spread between photographs tells. Two changes keep it honest where that spread is not seen because almost all images, or
almost none, are right (their interval then covers 81 % in place of 95 % in our simulations): half a photograph that is right
in all images and half of one that is wrong in all are added to the spread, and the effective number lies between that of the
photographs (Kish 1965, "Survey Sampling": (sum of sizes)^2 / sum of squared sizes) and that of the images.
Simulated coverage is in ``tests/statistics/test_photographs.py``. Torch-free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from radii.rs_core.certify.bounds import interval
from radii.rs_core.errors import InvalidDataset, InvalidResults

Counts = NDArray[np.int64]
Unit = Literal["input", "photograph"]
"""What intervals and tests count as independent of each other."""

UNKNOWN_PHOTOGRAPHS = (
    "Nothing says which inputs show the same photograph, so that each counts as one of its own: of corrupted images, tests and "
    "intervals are far too narrow then. For these, give --photographs N (`radii report`, `radii compare`), or keep the record of "
    "the run (.run.json) next to the file."
)
MOST_REPEATS = 1_000
"""Images of one photograph that a dataset may have."""
PRIOR = 0.5
"""Photographs all right, and as many all wrong, that are added to the observed spread."""


@dataclass(frozen=True)
class Photographs:
    """Which images of a dataset show the same photograph: image i of each group that begins at one of ``starts`` (ascending,
    the first is 0) shows photograph i. ``chosen``: the indices that a job looks at; None where they are not known."""

    starts: tuple[int, ...]
    chosen: range | None = None

    @classmethod
    def repeating(cls, every: int, largest: int) -> "Photographs":
        """Of images whose photographs come again after ``every`` images, as in CIFAR-10-C, up to index ``largest``."""
        return cls(tuple(range(0, largest + 1, every)))

    def numbers(self, index: NDArray[np.int64]) -> Counts:
        """The photograph of each index; ``index`` and the result have shape (indices,). Photographs count from 0."""
        starts = np.asarray(self.starts, dtype=np.int64)
        return index - starts[np.searchsorted(starts, index, side="right") - 1]

    def sizes(self, evaluated: Counts) -> "GroupSizes":
        """How many images of each photograph there are, and how many are missing.

        Args:
            evaluated: How many images of each photograph have a row, shape (photographs,); later photographs may be left out.

        Returns:
            Counts of shape (photographs,). Without ``chosen`` nothing is taken to be missing.
        """
        if self.chosen is None:
            return GroupSizes(evaluated, np.zeros_like(evaluated))
        inputs = np.bincount(self.numbers(np.asarray(self.chosen, dtype=np.int64)), minlength=len(evaluated))
        return GroupSizes(inputs.astype(np.int64), np.maximum(inputs - _padded(evaluated, len(inputs)), 0))


@dataclass(frozen=True, eq=False)
class GroupSizes:
    """For each photograph, of how many ``inputs`` it is shown by, and how many of these are ``missing`` so far."""

    inputs: Counts
    missing: Counts

    @property
    def photographs(self) -> int:
        """That have an input."""
        return int(np.count_nonzero(self.inputs))

    @property
    def evaluated(self) -> int:
        """Photographs of which an input is not missing."""
        return int(np.count_nonzero(self.inputs > self.missing))

    @property
    def repeated(self) -> bool:
        """Whether any photograph comes more than once."""
        return bool(self.inputs.max(initial=0) > 1)

    def interval(self, counts: Counts, confidence: float) -> tuple[float, float]:
        """Of the share of inputs, ``counts`` of each photograph; the upper end counts missing ones as right."""
        counts = _padded(counts, len(self.inputs))
        low, _ = share_interval(counts, self.inputs, confidence)
        _, high = share_interval(counts + self.missing, self.inputs, confidence)
        return low, high

    def effective(self, counts: NDArray[np.int64], confidence: float) -> NDArray[np.float64]:
        """The effective numbers of inputs, shape (rows,), of ``counts``: right inputs, shape (rows, photographs).
        ``confidence`` is that of the interval, such as 0.95."""
        return effective_inputs(_padded(counts, len(self.inputs)), self.inputs, confidence)


def known_sizes(sizes: GroupSizes, missing: int) -> GroupSizes | None:
    """The sizes where some photograph comes more than once, else None. Raises :class:`InvalidResults` where ``missing`` inputs
    are to be counted and it is not known of which photographs they are."""
    known = int(sizes.missing.sum())
    if known != missing:
        raise InvalidResults(
            expected="rows of all inputs, or the record of the run (.run.json) that says which inputs are missing, since "
            "intervals count photographs",
            got=f"{missing:,} missing inputs, of which {known:,} are known",
        )
    return sizes if sizes.repeated else None


def share_interval(counts: Counts, inputs: Counts, confidence: float) -> tuple[float, float]:
    """The two-sided interval of the share of right inputs, whose unit is the photograph.

    Args:
        counts: Right inputs of each photograph, shape (photographs,).
        inputs: All inputs of each photograph, same shape.
        confidence: Such as 0.95.

    Returns:
        Lower and upper end, in [0, 1].
    """
    effective = float(effective_inputs(counts[None], inputs, confidence)[0])
    # A factor, not a share: with one image of each photograph it is 1, and the count stays a whole number.
    right = float(counts.sum()) * (effective / float(inputs.sum()))
    return interval(
        min(right, effective), effective, confidence
    )  # where all are right, rounding may exceed their number


def effective_inputs(counts: NDArray[np.int64], inputs: Counts, confidence: float) -> NDArray[np.float64]:
    """How many independent inputs tell as much about a share as these do: the rows of ``counts`` have shape (rows, photographs)."""
    counts, inputs = counts[:, inputs > 0], inputs[inputs > 0]
    photographs, total = len(inputs), float(inputs.sum())
    least = total**2 / float((inputs.astype(np.float64) ** 2).sum())
    if photographs < 2 or total == photographs:
        return np.full(len(counts), least)
    share = counts.sum(axis=1, keepdims=True) / total
    spread = ((counts - share * inputs) ** 2).sum(axis=1)
    prior = PRIOR * (total / photographs) ** 2 * (share**2 + (1 - share) ** 2)[:, 0]
    variance = photographs / (photographs - 1) * (spread + prior) / total**2
    independent = (share * (1 - share))[:, 0] / (total - 1)
    tail = (1 + confidence) / 2
    fewer = float(stdtrit(total - 1, tail) / stdtrit(photographs - 1, tail)) ** 2
    found = total * independent / variance * fewer
    return np.asarray(np.clip(found, least, total))


def check_photographs(labels: NDArray[np.int64], photographs: int, where: str) -> None:
    """Checks the statement that image i of a dataset shows photograph i modulo ``photographs``.

    Args:
        labels: Of all images, shape (images,).
        photographs: How many there are.
        where: The field or flag of the statement, for the message.

    Raises:
        InvalidDataset: Nothing repeats, photographs are shown too often, or images of one photograph differ in their label.
    """
    rows = len(labels)
    if not photographs < rows <= photographs * MOST_REPEATS:
        raise InvalidDataset(
            expected=f"a number of photographs that is less than that of the images, {rows:,}, and shown by at most "
            f"{MOST_REPEATS:,} images each",
            got=f"{photographs:,}; leave it out where each image shows another photograph",
            where=where,
        )
    (different,) = np.nonzero(labels[photographs:] != labels[:-photographs])
    if len(different):
        first = int(different[0])
        raise InvalidDataset(
            expected=f"labels that come again every {photographs:,} images, since image i shows photograph i modulo this",
            got=f"label {labels[first]} of image {first:,} and label {labels[first + photographs]} of image "
            f"{first + photographs:,}",
            where=where,
        )


def repeat_of(labels: NDArray[np.int64], *, least: int = 20, chance: float = 1e-9) -> int | None:
    """The period of the labels, which hints at photographs that are shown several times.

    Args:
        labels: In the order of the images, shape (images,).
        least: The shortest period to report. At least two periods must be there.
        chance: Labels that have this probability or more to repeat by chance are not reported.

    Returns:
        After how many images all labels repeat. None if they do not, and for a cycle through the classes (0, 1, ..., 9, 0,
        1, ...), which balanced subsets have.
    """
    rows = len(labels)
    if rows < 2 * least:
        return None
    _, counts = np.unique(labels, return_counts=True)
    alike = float(((counts / rows) ** 2).sum())
    if (rows - rows // 2) * np.log(alike) > np.log(chance):
        return None
    period = _period(labels, least)
    if period is None or period < least or len(np.unique(labels[:period])) == period:
        return None
    return period


def _period(labels: NDArray[np.int64], probes: int) -> int | None:
    """The shortest period, of at most half the rows. Candidates must agree with the first few changes of the label, which
    leaves few of them even where labels are sorted."""
    half = len(labels) // 2
    (changes,) = np.nonzero(labels[1:half] != labels[: half - 1])
    candidates = np.arange(1, half + 1)
    for place in changes[:probes]:
        for probe in (place, place + 1):
            candidates = candidates[labels[candidates + probe] == labels[probe]]
    return next((int(every) for every in candidates[:100] if (labels[every:] == labels[:-every]).all()), None)


def repeats_note(every: int | None) -> str:
    """What labels that come again hint at; nothing of others."""
    if every is None:
        return ""
    return (
        f" The labels come again every {every:,} rows, as those of corrupted images of {every:,} photographs do: it is likely "
        "that these are such."
    )


def dataset_repeats_note(every: int | None) -> tuple[str, ...]:
    """A note about a dataset that does not say which images show the same photograph and whose labels have this period."""
    if every is None:
        return ()
    return (
        f"The labels of the dataset come again every {every:,} images, as those of corrupted images of {every:,} photographs do. "
        f"If image i shows photograph i modulo {every:,}, tests and intervals are far too narrow here: register the dataset with "
        f"that number (`radii add-dataset --photographs {every}`), or give it with the file of results (`radii report`, `radii "
        f"compare`: --photographs {every}).",
    )


def joined(groupings: Sequence[Counts]) -> Counts:
    """One grouping of the same inputs out of several, of shape (inputs,) each: inputs that any of them puts together are
    together. The result has shape (inputs,) and numbers groups from 0. Raises ``ValueError`` for different shapes."""
    if len(groupings) == 1 or all(np.array_equal(groupings[0], other) for other in groupings[1:]):
        return np.unique(groupings[0], return_inverse=True)[1].astype(np.int64)
    from scipy.sparse import coo_array  # on use: few comparisons need it
    from scipy.sparse.csgraph import connected_components

    inputs, first, edges = len(groupings[0]), len(groupings[0]), []
    for numbers in groupings:
        _, place = np.unique(numbers, return_inverse=True)
        edges.append((np.arange(inputs), first + place))
        first += int(place.max(initial=-1)) + 1
    rows, columns = (np.concatenate([edge[side] for edge in edges]) for side in (0, 1))
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(first, first))
    found = connected_components(graph, directed=False)[1][:inputs]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def told(photographs: int, inputs: int) -> str:
    """The unit in words."""
    return f"{photographs:,} photographs ({inputs:,} images)"


def unit_note(confidence: float, sizes: GroupSizes | None, holds: str) -> str:
    """How the intervals of shares were made; ``holds`` says for what each of them holds."""
    level = f"{100 * confidence:.0f} %"
    if sizes is None:
        return f"Intervals are Clopper-Pearson over inputs at {level}, {holds}"
    unit = told(sizes.photographs, int(sizes.inputs.sum()))
    return (
        f"Intervals resample {unit}, since answers to images of one photograph are alike: Clopper-Pearson at the effective "
        f"number of inputs (Korn and Graubard 1998), at {level}, {holds}"
    )


def _padded(counts: NDArray[np.int64], photographs: int) -> NDArray[np.int64]:
    """With photographs that no row is of; along the last axis."""
    room = max(0, photographs - counts.shape[-1])
    return np.pad(counts, [*[(0, 0)] * (counts.ndim - 1), (0, room)]) if room else counts
