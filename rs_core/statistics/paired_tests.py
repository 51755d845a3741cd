"""Two runs on the same inputs: is one better than the other by more than the choice of inputs explains?

Certified accuracy at a radius: the exact test of McNemar 1947, "Note on the sampling error of the difference between
correlated proportions or percentages", Psychometrika 12, on the inputs that only one of the two certifies there. ACR: a
percentile bootstrap (Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7) over the
differences of radius x correct, input by input, which pairs the runs. Both speak of inputs alone: how much another training
run would differ they cannot know. statsmodels and scipy compute; which runs are compared with each other is in ``compare``.

Where several inputs show one photograph, photographs take the place of inputs. McNemar's test becomes the sign-flip test of
``sign_flip_test`` on each photograph's difference of wins, which is exact where the two classifiers are exchangeable on each
photograph. The bootstrap draws photographs, with the percentiles moved outwards for few of them (Hesterberg 2015, "What teachers
should know about the bootstrap", The American Statistician 69(4), expanded percentile interval). With one image of each
photograph both are what they are for inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from radii.rs_core.results.aggregate import CONFIDENCE, Columns
from radii.rs_core.statistics.sign_flip_test import sign_flip_p_value

Units = NDArray[np.int64]

RESAMPLES = 2_000
MOST_RESAMPLED = 20_000
"""Inputs up to which ACR's interval is a bootstrap; of more, the mean is normal to within what is printed."""
AT_ONCE = 200_000
"""Values of the resamples that are in memory together; few enough for a processor's cache, which halves the time."""


@dataclass(frozen=True, kw_only=True)
class Discordance:
    """Certified accuracy at one radius of two runs: how many shared inputs both, one or none of them certifies there.

    ``difference``: of certified accuracy, run less baseline; ``p_value``: exact and two-sided, for this radius alone; over
    photographs where several inputs show one.
    """

    radius: float
    both: int
    only_run: int
    only_baseline: int
    neither: int
    difference: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class AcrDifference:
    """ACR of a run less that of a baseline; the interval is pointwise, and None where there is one input alone."""

    difference: float
    low: float | None
    high: float | None
    method: Literal["bootstrap", "normal"]


def discordance(run: Columns, baseline: Columns, radius: float, photograph: Units | None = None) -> Discordance:
    """The two runs' rows of the same inputs at one radius.

    Args:
        run: Its rows.
        baseline: Its rows, of the same inputs in the same order.
        radius: At which certified accuracy is compared.
        photograph: Which one each input shows, numbers from 0, shape (rows,); None where each input shows another.
    """
    ours, theirs = run.certified_at(radius), baseline.certified_at(radius)
    table = [[int((ours & theirs).sum()), int((ours & ~theirs).sum())]]
    table.append([int((~ours & theirs).sum()), int((~ours & ~theirs).sum())])
    (both, only_run), (only_baseline, neither) = table
    return Discordance(
        radius=radius,
        both=both,
        only_run=only_run,
        only_baseline=only_baseline,
        neither=neither,
        difference=(only_run - only_baseline) / len(ours),
        p_value=_mcnemar(table) if photograph is None else _by_photograph(ours, theirs, photograph),
    )


def acr_difference(
    run: Columns,
    baseline: Columns,
    *,
    photograph: Units | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    most: int = MOST_RESAMPLED,
) -> AcrDifference:
    """The difference of the two runs' ACR on the same inputs, with its interval; the same for the same seed.

    Of more than ``most`` inputs, or photographs, the interval is the normal one, to which the bootstrap's tends.
    ``photograph`` as in :func:`discordance`.
    """
    differences = run.certified_radius - baseline.certified_radius
    mean = float(differences.mean())
    if photograph is not None:
        return _acr_by_photograph(differences, photograph, mean, resamples, seed, most)
    if len(differences) < 2:
        return AcrDifference(difference=mean, low=None, high=None, method="bootstrap")
    if len(differences) > most:
        half = float(-ndtri((1 - CONFIDENCE) / 2) * differences.std(ddof=1) / len(differences) ** 0.5)
        return AcrDifference(difference=mean, low=mean - half, high=mean + half, method="normal")
    low, high = _bootstrapped(differences, resamples, seed)
    return AcrDifference(difference=mean, low=low, high=high, method="bootstrap")


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted by Holm 1979, "A simple sequentially rejective multiple test procedure", so that all of them
    may be read together. As statsmodels' ``multipletests``, which collects the garbage of the whole process on every call: a
    service would stand still for that."""
    found = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(found, kind="stable")
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)))
    return [float(value) for value in adjusted]


def _mcnemar(table: Sequence[Sequence[int]]) -> float:
    # Imported on use: pandas comes with it, and a second of every process's start.
    from statsmodels.stats.contingency_tables import mcnemar

    return float(mcnemar(table, exact=True).pvalue)


def _by_photograph(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], photograph: Units) -> float:
    """The sign-flip test on each photograph's wins of one run less those of the other."""
    wins = np.bincount(photograph, ours & ~theirs) - np.bincount(photograph, theirs & ~ours)
    return sign_flip_p_value(np.rint(wins).astype(np.int64))


def _acr_by_photograph(
    differences: NDArray[np.float64], photograph: Units, mean: float, resamples: int, seed: int, most: int
) -> AcrDifference:
    sums = np.bincount(photograph, differences).astype(np.float64)
    sizes = np.bincount(photograph).astype(np.float64)
    method: Literal["bootstrap", "normal"] = "normal" if len(sums) > most else "bootstrap"
    found = mean_interval(sums, sizes, resamples=resamples, seed=seed, most=most)
    low, high = (None, None) if found is None else found
    return AcrDifference(difference=mean, low=low, high=high, method=method)


def mean_interval(
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    most: int = MOST_RESAMPLED,
) -> tuple[float, float] | None:
    """The interval of a mean over inputs whose unit is the photograph; None where there is one photograph alone.

    Args:
        sums: Of the values of each photograph's inputs, shape (photographs,).
        sizes: Inputs of each photograph, at least 1, same shape.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        most: Photographs beyond which the interval is the normal one.
    """
    units, mean = len(sums), float(sums.sum() / sizes.sum())
    if units < 2:
        return None
    if units > most:
        # The mean is a ratio of two sums over photographs; its spread is that of what each adds beyond its share.
        spread = float((sums - mean * sizes).std(ddof=1) / sizes.mean() / units**0.5)
        half = float(-ndtri((1 - CONFIDENCE) / 2)) * spread
        return mean - half, mean + half
    drawn = _resampled_means(sums, sizes, resamples, seed)
    tail = float(ndtr((units / (units - 1)) ** 0.5 * stdtrit(units - 1, (1 - CONFIDENCE) / 2)))
    low, high = (float(end) for end in np.quantile(drawn, (tail, 1 - tail)))
    return low, high


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means over inputs of as many photographs as there are, drawn with replacement."""
    rng, units, at_once = np.random.default_rng(seed), len(sums), max(1, AT_ONCE // len(sums))
    means: list[NDArray[np.float64]] = []
    for first in range(0, resamples, at_once):
        drawn = rng.integers(0, units, (min(at_once, resamples - first), units))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)


def _bootstrapped(differences: NDArray[np.float64], resamples: int, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap  # on use: a second of every process's start

    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, AT_ONCE // len(differences)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
