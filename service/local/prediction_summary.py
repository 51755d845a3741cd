"""Predictions as text: their results file, and what they come to. Certifications have ``radii.rs_core.reports.certification`` for that."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from radii.service.console import table

if TYPE_CHECKING:
    from radii.rs_core.records import Prediction
    from radii.rs_core.reports.corruptions import CorruptionGroups

COLUMNS = ("idx", "label", "predict", "correct", "time")


def predictions_tsv(predictions: "Iterable[Prediction]") -> Iterator[str]:
    """Header and rows, tab-separated, as Cohen et al. 2019's script writes them; time in seconds."""
    yield "\t".join(COLUMNS) + "\n"
    for row in predictions:
        yield f"{row.index}\t{row.label}\t{row.prediction}\t{int(row.correct)}\t{row.seconds:.6f}\n"


def summarize_predictions(
    predictions: "Sequence[Prediction]", total: int, grouped: "CorruptionGroups | None" = None
) -> dict[str, Any]:
    """Counts and shares; inputs that abstained or are missing stay in the denominator, and what the rows do not say is
    ``None``. ``grouped``: of a data set of corrupted images, which are which. ``warnings`` are sentences about implausible
    results."""
    from radii.rs_core.results.plausibility import implausible_predictions

    correct = sum(row.correct for row in predictions)
    errors = sum(row.error is not None for row in predictions)
    abstained = sum(row.prediction == -1 for row in predictions)
    return {
        "inputs": total,
        "evaluated": len(predictions),
        "correct": correct,
        "accuracy": correct / total,
        "abstained": abstained,
        "abstention_rate": abstained / total,
        "errors": errors,
        "n": predictions[0].n or None,
        "alpha": _known(predictions[0].alpha),
        "sigma": _known(predictions[0].sigma),
        "seed": predictions[0].seed if predictions[0].seed >= 0 else None,
        "warnings": list(implausible_predictions(predictions)),
    } | _by_corruption(predictions, grouped)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _by_corruption(predictions: "Sequence[Prediction]", grouped: "CorruptionGroups | None") -> dict[str, Any]:
    if grouped is None:
        return {}
    from radii.rs_core.reports.corruptions import report_on_predictions

    return {"corruptions": asdict(report_on_predictions(predictions, grouped))}


def predictions_table(
    predictions: "Sequence[Prediction]", total: int, grouped: "CorruptionGroups | None" = None
) -> str:
    """The same as a few lines of text, and of a data set of corrupted images by corruption."""
    sums = summarize_predictions(predictions, total)
    rows = [
        ["inputs", f"{sums['evaluated']:,} of {total:,}"],
        ["accuracy", f"{100 * sums['accuracy']:.2f} %  ({sums['correct']:,} correct)"],
        ["abstained", f"{100 * sums['abstention_rate']:.2f} %  ({sums['abstained']:,})"],
        ["n, alpha", f"{_shown(sums['n'], ',')}, {_shown(sums['alpha'], 'g')}"],
        ["sigma, seed", f"{_shown(sums['sigma'], 'g')}, {_shown(sums['seed'], 'd')}"],
    ]
    from radii.rs_core.reports.certification_text import bulleted

    said = sums["warnings"]
    text = "\n".join([table(["smoothed classifier", ""], rows), *(["", *bulleted(said)] if said else [])])
    if grouped is None:
        return text
    from radii.rs_core.reports.corruptions import notes, report_on_predictions
    from radii.rs_core.reports.corruptions_text import lines_of

    report = report_on_predictions(predictions, grouped)
    return "\n".join([text, "", *lines_of(report), "", *bulleted(notes(report, grouped.corrupted))])
