"""Certification and accuracy under common corruptions: by corruption, by severity, and the means over corruptions.

Hendrycks and Dietterich 2019, arXiv 1903.12261, have the corruptions; mACR and mAcc, the plain means over corruptions
of the average certified radius and of the accuracy, are as in Jeong et al. 2023 (CAT-RS), arXiv 2212.09000. A corruption
counts with all its inputs of all severities; inputs that abstained, failed or are missing stay in its denominator. The
sums of each group are made in ``digest``; text is left to ``corruption_text``.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rs_core.certify.decision import ABSTAIN, Prediction
from rs_core.data.corrupted import COMMON, SEVERITIES, Corrupted, differences
from rs_core.digest import ClassSums
from rs_core.photographs import Photographs

NONE = ClassSums()


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
    """Plain means over the common corruptions of one severity, or of all; ``corruptions`` is how many of these there are."""

    severity: int | None
    corruptions: int
    macr: float | None
    macc: float


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
class Grouped:
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
class Part:
    """The rows of one corruption and severity, and how many there are to be."""

    corruption: str
    severity: int | None
    inputs: int
    sums: ClassSums


def report_on_groups(sums: Mapping[int, ClassSums], grouped: Grouped, *, radii: bool = True) -> CorruptionReport:
    """The report of rows whose sums by group are ``sums``; groups of which nothing was chosen are left out."""
    parts = [
        Part(corruption=group.corruption, severity=group.severity, inputs=inputs, sums=sums.get(number, NONE))
        for number, group in enumerate(grouped.corrupted.groups)
        if (inputs := grouped.inputs(number))
    ]
    return report_on(parts, radii=radii)


def report_on(parts: Sequence[Part], *, radii: bool = True) -> CorruptionReport:
    """The report of parts in any number; without ``radii`` they are of predictions."""
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


def report_on_predictions(predictions: Sequence[Prediction], grouped: Grouped) -> CorruptionReport:
    """The same of predictions, in any order."""
    sums: dict[int, ClassSums] = {}
    for row in predictions:
        group = bisect_right(grouped.corrupted.starts, row.index) - 1
        one = ClassSums(inputs=1, correct=int(row.correct), abstained=int(row.prediction == ABSTAIN))
        sums[group] = sums.get(group, NONE).plus(one, 1)
    return report_on_groups(sums, grouped, radii=False)


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
    return (f"{what} over {over} of the {report.of} common corruptions, each counted with all its inputs.{some}",)


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


def _whole(parts: Sequence[Part]) -> Part:
    """All severities of one corruption."""
    sums = NONE
    for part in parts:
        sums = sums.plus(part.sums, 1)
    return Part(corruption=parts[0].corruption, severity=None, inputs=sum(part.inputs for part in parts), sums=sums)


def _row(part: Part, radii: bool) -> CorruptionRow:
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
