"""Plain sentences that a reader of a report needs: what its intervals count, what is missing, what a number does not say."""

from radii.rs_core.results.aggregate import CONFIDENCE
from radii.rs_core.results.photographs import GroupSizes, unit_note
from radii.rs_core.results.row_statistics import RowStatistics
from radii.rs_core.results.tsv import rounded_down


def notes_of(
    statistics: RowStatistics, inputs: int, alpha: float | None, cap: float | None, sizes: GroupSizes | None
) -> tuple[str, ...]:
    """Plain sentences that a reader of the numbers needs."""
    evaluated, errors, unlabelled = statistics.sums.evaluated, statistics.sums.errors, statistics.unlabelled
    found = (
        unit_note(CONFIDENCE, sizes, "and pointwise: each holds for its radius alone."),
        _alpha_note(alpha, evaluated) if alpha is not None else None,
        _partial_note(evaluated, inputs) if evaluated < inputs else None,
        f"Inputs not certified because of an error, counted as abstentions: {errors:,}." if errors else None,
        f"Inputs without a label, which never count as correct: {unlabelled:,}." if unlabelled else None,
        _constant_note(statistics, cap),
    )
    return tuple(note for note in found if note is not None)


def steps_note(statistics: RowStatistics) -> tuple[str, ...]:
    """What the statistics of very many rows do not keep."""
    if not statistics.step:
        return ()
    return (
        f"Of so many rows, quantiles and plots are rounded down: radii to whole steps of {rounded_down(statistics.step, 8)}, lower "
        f"bounds to {statistics.p_step:g}. ACR, certified accuracy and counts are exact.",
    )


def _alpha_note(alpha: float, evaluated: int) -> str:
    return (
        f"Each certificate is wrong with probability at most alpha = {alpha:g}: "
        f"at most {alpha * evaluated:g} wrong ones are expected among {evaluated:,}."
    )


def _partial_note(evaluated: int, inputs: int) -> str:
    return (
        f"Partial: {evaluated:,} of {inputs:,} inputs are evaluated. The others count as not certified, so that ACR "
        "and certified accuracy can only grow; the intervals' upper ends count them as certified. Abstentions and "
        "inputs at the cap are counted so far; per-class rows are about evaluated inputs."
    )


def norms_note(pixels: int | None) -> tuple[str, ...]:
    """What a ball of one norm says of the balls of others that lie inside it."""
    if pixels is None:
        return ()
    return (
        f"Radii are l2. A certificate of radius R holds for every change of l1 norm up to R too, and of linf norm up to "
        f"R / sqrt({pixels:,}) = {rounded_down(pixels**-0.5, 5)} R.",
    )


def _constant_note(statistics: RowStatistics, cap: float | None) -> str | None:
    """A warning where one class takes every certificate, because ACR alone does not show it."""
    given, labels = [label for label, count in statistics.certified_as.items() if count], len(statistics.classes)
    if len(given) != 1 or labels < 2:
        return None
    score = "the cap" if cap is None else f"the cap {cap:.4g}"
    return (
        f"Class {given[0]} is the only class ever certified. A classifier that always answers the same scores an ACR "
        f"of about {score} divided by the number of classes ({labels}): read ACR beside the per-class rows."
    )
