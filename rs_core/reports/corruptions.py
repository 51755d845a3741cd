"""Certification and accuracy under common corruptions: by corruption, by severity, and the means over corruptions.

Hendrycks and Dietterich 2019, arXiv 1903.12261, have the corruptions; mACR and mAcc, the plain means over corruptions
of the average certified radius and of the accuracy, are as in Jeong et al. 2023 (CAT-RS), arXiv 2212.09000. A corruption
counts with all its inputs of all severities; inputs that abstained, failed or are missing stay in its denominator. The
sums of each group are made in ``row_statistics``; text is left to ``corruptions_text``.

The means over all severities have intervals that resample photographs, where the means are over inputs, too: all corruptions are
common ones and have equally many inputs. Sums by photograph and by corruption together are not kept, so that rows of one
corruption or of one severity have none.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np

from radii.rs_core.data.corruption_info import COMMON, SEVERITIES, Corrupted, differences
from radii.rs_core.records import ABSTAIN, Prediction
from radii.rs_core.results.aggregate import CONFIDENCE
from radii.rs_core.results.photographs import GroupSizes, Photographs
from radii.rs_core.results.row_statistics import ClassSums, PhotographSums
from radii.rs_core.statistics.paired_tests import mean_interval

NONE = ClassSums()
FEW = 100
"""Photographs below which the interval of mACR covers clearly less often than it says."""


@dataclass(frozen=True, kw_only=True)
class CorruptionRow:
    """The inputs of one corruption at one severity; ``severity`` None: at all that there are. ``accuracy`` is at radius 0.

    ``acr`` is None of predictions, which have no radii.
    """

    corruption: str
    severity: int | None
    inputs: int
    evaluated: int
    acr: float | None
    accuracy: float
    abstention_rate: float


@dataclass(frozen=True, kw_only=True)
class MeanRow:
    """Plain means over the common corruptions of one severity, or of all; ``corruptions`` is how many of these there are.

    The intervals are at ``CONFIDENCE``, lower and upper end, and resample ``photographs``; None where there is none. mACR's is
    somewhat narrow for few photographs: where most radii are 0, it covered in 66 % at 5 photographs, 88 % at 30, 92 % at 100 and
    94 % at 500 (simulated, 600 draws each).
    """

    severity: int | None
    corruptions: int
    macr: float | None
    macc: float
    macr_interval: tuple[float, float] | None = None
    macc_interval: tuple[float, float] | None = None
    photographs: int | None = None


@dataclass(frozen=True, kw_only=True)
class CorruptionReport:
    """Rows by corruption, rows by corruption and severity, and means; the first mean is over all severities.

    ``means`` is empty where no common corruption is among the rows.
    """

    corruptions: tuple[CorruptionRow, ...]
    severities: tuple[CorruptionRow, ...]
    means: tuple[MeanRow, ...]
    of: int = len(COMMON)


@dataclass(frozen=True, kw_only=True)
class CorruptionGroups:
    """The groups of a data set, and the indices of it that a job looks at."""

    corrupted: Corrupted
    chosen: range

    @property
    def photographs(self) -> Photographs:
        """Which images show the same photograph."""
        return Photographs(self.corrupted.starts, self.chosen)

    def inputs(self, group: int) -> int:
        """How many of a group's images the job looks at."""
        found = self.corrupted.groups[group]
        return _below(self.chosen, found.stop) - _below(self.chosen, found.start)


@dataclass(frozen=True, kw_only=True)
class CorruptionRows:
    """The rows of one corruption and severity, and how many there are to be."""

    corruption: str
    severity: int | None
    inputs: int
    sums: ClassSums


def report_on_groups(
    sums: Mapping[int, ClassSums],
    grouped: CorruptionGroups,
    by_photograph: PhotographSums | None = None,
    *,
    radii: bool = True,
) -> CorruptionReport:
    """The report of rows whose sums by group are ``sums``, and by photograph ``by_photograph``; groups of which nothing was
    chosen are left out."""
    parts = [
        CorruptionRows(corruption=group.corruption, severity=group.severity, inputs=inputs, sums=sums.get(number, NONE))
        for number, group in enumerate(grouped.corrupted.groups)
        if (inputs := grouped.inputs(number))
    ]
    sizes = None if by_photograph is None else grouped.photographs.sizes(by_photograph.evaluated)
    return with_intervals(report_on(parts, radii=radii), by_photograph, sizes)


def with_intervals(report: CorruptionReport, sums: PhotographSums | None, sizes: GroupSizes | None) -> CorruptionReport:
    """With the intervals of the means over all severities, where there can be any.

    While inputs are missing, mAcc's upper end counts them as correct, and mACR has no interval.
    """
    common = all(row.corruption in COMMON for row in report.corruptions)
    if sums is None or sizes is None or not common or len({row.inputs for row in report.corruptions}) != 1:
        return report
    mean, shown = report.means[0], sizes.inputs > 0
    radius = np.pad(sums.radius, (0, len(shown) - len(sums.radius)))
    whole = mean.macr is not None and not sizes.missing.any()
    found = replace(
        mean,
        macr_interval=mean_interval(radius[shown], sizes.inputs[shown].astype(np.float64)) if whole else None,
        macc_interval=sizes.interval(sums.correct, CONFIDENCE),
        photographs=sizes.photographs,
    )
    return replace(report, means=(found, *report.means[1:]))


def report_on(parts: Sequence[CorruptionRows], *, radii: bool = True) -> CorruptionReport:
    """The report of parts in any number, without intervals; without ``radii`` they are of predictions."""
    names = list(dict.fromkeys(part.corruption for part in parts))
    whole = [_whole([part for part in parts if part.corruption == name]) for name in names]
    rows = tuple(_row(part, radii) for part in whole)
    by_severity = tuple(_row(part, radii) for part in parts if part.severity is not None)
    some = [_mean([row for row in by_severity if row.severity == severity], severity) for severity in SEVERITIES]
    return CorruptionReport(
        corruptions=rows,
        severities=by_severity,
        means=tuple(mean for mean in (_mean(rows, None), *some) if mean is not None),
    )


def report_on_predictions(predictions: Sequence[Prediction], grouped: CorruptionGroups) -> CorruptionReport:
    """The same of predictions, in any order."""
    sums: dict[int, ClassSums] = {}
    for row in predictions:
        group = bisect_right(grouped.corrupted.starts, row.index) - 1
        one = ClassSums(inputs=1, correct=int(row.correct), abstained=int(row.prediction == ABSTAIN))
        sums[group] = sums.get(group, NONE).plus(one, 1)
    return report_on_groups(sums, grouped, _by_photograph(predictions, grouped), radii=False)


def _by_photograph(predictions: Sequence[Prediction], grouped: CorruptionGroups) -> PhotographSums:
    numbers = grouped.photographs.numbers(np.array([row.index for row in predictions], dtype=np.int64))
    correct = np.array([row.correct for row in predictions], dtype=np.bool_)
    evaluated, right = np.bincount(numbers), np.bincount(numbers, correct)
    return PhotographSums(
        evaluated.astype(np.int64),
        right.astype(np.int64),
        np.zeros((0, len(evaluated)), np.int64),
        np.zeros(len(evaluated)),
    )


def notes(report: CorruptionReport, corrupted: Corrupted) -> tuple[str, ...]:
    """Plain sentences about where the images come from, and what the means are over."""
    return (origin(corrupted), *different(corrupted), *shortened(corrupted), *means_note(report))


def means_note(report: CorruptionReport) -> tuple[str, ...]:
    """What mACR and mAcc are over."""
    if not report.means:
        return ("None of the corruptions is one of the common ones, so that there are no mACR and mAcc.",)
    over = report.means[0].corruptions
    what = "mAcc is the plain mean" if report.means[0].macr is None else "mACR and mAcc are plain means"
    some = "" if over == report.of else " Means over fewer are not to be laid beside those over all."
    said = f"{what} over {over} of the {report.of} common corruptions, each counted with all its inputs.{some}"
    return (said, *_interval_note(report.means[0]))


def _interval_note(mean: MeanRow) -> tuple[str, ...]:
    if mean.macc_interval is None or mean.photographs is None:
        return ()
    few = ", which is too narrow for so few" if mean.photographs < FEW else ""
    of_radii = f" mACR's is a bootstrap{few}." if mean.macr_interval is not None else ""
    return (
        f"Intervals of means over corruptions are at {100 * CONFIDENCE:.0f} % and resample {mean.photographs:,} photographs."
        f"{of_radii} mAcc's is Clopper-Pearson at the effective number of inputs.",
    )


def origin(corrupted: Corrupted) -> str:
    """Who made the images, with whose constants."""
    if corrupted.library is None:
        return f"The corrupted images are those of the files of {corrupted.constants} (Hendrycks and Dietterich 2019)."
    return (
        f"The corrupted images were made by {corrupted.library} {corrupted.version} with the constants of "
        f"{corrupted.constants}, which are for photographs of 224x224 pixels (those of CIFAR-10-C are others), from seed "
        f"{corrupted.seed}."
    )


def different(corrupted: Corrupted) -> tuple[str, ...]:
    """In what the images differ from those of the published code, corruption by corruption."""
    found = "; ".join(f"{name} {how}" for name, how in differences(corrupted).items())
    return (f"Not as in the published code of {corrupted.constants}: {found}.",) if found else ()


def shortened(corrupted: Corrupted) -> tuple[str, ...]:
    padded = "Images of fewer than 32 pixels were padded by their edge pixels to be corrupted, and cut back."
    rounded = "Pixels were rounded to whole multiples of 1/255 before they were corrupted."
    return (*((padded,) if corrupted.padded else ()), *((rounded,) if corrupted.rounded else ()))


def _below(chosen: range, bound: int) -> int:
    """How many indices of an ascending range are below ``bound``."""
    return len(range(chosen.start, min(bound, chosen.stop), chosen.step))


def _whole(parts: Sequence[CorruptionRows]) -> CorruptionRows:
    """All severities of one corruption."""
    sums = NONE
    for part in parts:
        sums = sums.plus(part.sums, 1)
    return CorruptionRows(
        corruption=parts[0].corruption, severity=None, inputs=sum(part.inputs for part in parts), sums=sums
    )


def _row(part: CorruptionRows, radii: bool) -> CorruptionRow:
    sums, inputs = part.sums, part.inputs
    return CorruptionRow(
        corruption=part.corruption,
        severity=part.severity,
        inputs=inputs,
        evaluated=sums.inputs,
        acr=sums.radius_sum / inputs if radii else None,
        accuracy=sums.correct / inputs,
        abstention_rate=sums.abstained / inputs,
    )


def _mean(rows: Sequence[CorruptionRow], severity: int | None) -> MeanRow | None:
    common = [row for row in rows if row.corruption in COMMON]
    if not common:
        return None
    radii = [row.acr for row in common if row.acr is not None]
    return MeanRow(
        severity=severity,
        corruptions=len(common),
        macr=fsum(radii) / len(radii) if radii else None,
        macc=fsum(row.accuracy for row in common) / len(common),
    )
