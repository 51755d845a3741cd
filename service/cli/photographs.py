"""Which inputs of a results file show the same photograph: by a record next to the file, or by a flag."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from radii.service.console import CommandError

if TYPE_CHECKING:
    from radii.rs_core.reports.corruptions import CorruptionGroups
    from radii.rs_core.results.photographs import Photographs

FETCHED = ("certificates", "evaluations")
"""Names of the files of rows that `radii fetch` writes next to a report."""

Repeating = Annotated[
    int | None,
    typer.Option(
        "--photographs",
        metavar="N",
        min=1,
        help="Of files of corrupted images without a record of their run: index i shows photograph i modulo N, 10000 in "
        "CIFAR-10-C. Intervals and tests then resample photographs. (default: by the record)",
    ),
]


class KnownPhotographs(NamedTuple):
    """Which inputs show the same photograph, None where each shows another; ``known``: whether anything says so; ``data``: the
    content hash of the dataset, where a record has it."""

    photographs: "Photographs | None"
    known: bool
    data: str | None = None


def shown_in(file: Path, run: Mapping[str, Any], rows: Iterable[Any], repeating: int | None = None) -> KnownPhotographs:
    """Of the rows of a results file: by --photographs, by the record of the run, or by the report that `radii fetch` wrote
    next to it. Raises :class:`CommandError` for a flag where the record says which images show the same photograph."""
    from radii.rs_core.results.photographs import Photographs

    known = _by_run(run) or _by_report(file)
    if repeating is None:
        return known or KnownPhotographs(None, known=False)
    if known is not None and known.photographs is not None:
        raise CommandError(
            f"Expected no --photographs with {file}, since the record next to it says which images show the same photograph, got "
            f"{repeating:,}."
        )
    data = None if known is None else known.data
    return KnownPhotographs(Photographs.repeating(repeating, max(row.index for row in rows)), known=True, data=data)


def grouped_of(run: Mapping[str, Any]) -> "CorruptionGroups | None":
    """What the record next to a run says about its corrupted images."""
    body, count = run.get("corrupted"), run.get("count")
    if not body or not isinstance(count, int):
        return None
    from radii.rs_core.data.corruption_info import from_json
    from radii.rs_core.reports.corruptions import CorruptionGroups
    from radii.rs_core.specs.jobs import Selection

    chosen = Selection(**run["spec"]["inputs"]).indices(count)
    return CorruptionGroups(corrupted=from_json(body, count, "corrupted"), chosen=chosen)


def shown_by(
    corrupted: Mapping[str, Any] | None, chosen: range | None = None, *, declared: int | None = None, count: int = 0
) -> "Photographs | None":
    """By what a service says of a dataset of ``count`` images: of its corrupted images, corruption by corruption, or how many
    photographs were ``declared``. None of clean images."""
    if not corrupted and not declared:
        return None
    from radii.rs_core.results.photographs import Photographs

    if not corrupted:
        return Photographs(Photographs.repeating(declared or count, count - 1).starts, chosen)
    starts = [
        group["start"] + place * (group["count"] // len(group["severities"]))
        for group in corrupted["groups"]
        for place in range(len(group["severities"]))
    ]
    return Photographs(tuple(sorted(starts)), chosen)


def unknown_notes(shown: KnownPhotographs, labels: Iterable[int]) -> tuple[str, ...]:
    """What a reader of intervals has to know where nothing says which inputs show the same photograph; ``labels`` are in the
    order of the inputs."""
    if shown.photographs is not None:
        return ()
    import numpy as np

    from radii.rs_core.results.photographs import UNKNOWN_PHOTOGRAPHS, dataset_repeats_note, repeat_of, repeats_note

    period = repeat_of(np.array(list(labels), dtype=np.int64))
    return dataset_repeats_note(period) if shown.known else (UNKNOWN_PHOTOGRAPHS + repeats_note(period),)


def _by_run(run: Mapping[str, Any]) -> KnownPhotographs | None:
    if "corrupted" not in run:
        return None
    grouped = grouped_of(run)
    return KnownPhotographs(None if grouped is None else grouped.photographs, known=True, data=run.get("dataset"))


def _by_report(file: Path) -> KnownPhotographs | None:
    from radii.rs_core.specs.jobs import Selection

    if file.stem not in FETCHED:
        return None
    try:
        data = json.loads((file.parent / "report.json").read_text(encoding="utf-8"))["dataset"]
        chosen = Selection(**data["selection"]).indices(data["count"])
        declared, count = data.get("photographs"), data["count"]
        found = shown_by(data.get("corrupted"), chosen, declared=declared, count=count)
        return KnownPhotographs(found, known=True, data=data["content_hash"])
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return None
