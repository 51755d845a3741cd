"""What is known of the images of a stored dataset: their corruptions, and which show the same photograph.

It is kept in the column ``source``: ``corrupted`` where the service or the format knows the corruptions, ``photographs`` where
the user has declared their number, ``label_period`` where a conversion has found that labels repeat."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.data.corruption_info import Corrupted, from_json
from radii.rs_core.results.photographs import Photographs
from radii.worker.store.models.tables import Dataset


def corrupted(row: Dataset) -> Corrupted | None:
    """Which images have which corruption; None of a data set of other images, and of one that is not ready."""
    body = (row.source or {}).get("corrupted")
    return None if body is None or row.count is None else from_json(body, row.count, row.id)


def declared(row: Dataset) -> int | None:
    """How many photographs the dataset was declared to show again and again: image i shows photograph i modulo this."""
    found = (row.source or {}).get("photographs")
    return found if isinstance(found, int) else None


def starts(row: Dataset) -> tuple[int, ...]:
    """The first index of each group, where image i of each group shows photograph i; empty of a dataset without groups."""
    if (known := corrupted(row)) is not None:
        return known.starts
    every = declared(row)
    return () if every is None or not row.count else Photographs.repeating(every, row.count - 1).starts


def photographs(row: Dataset, chosen: range) -> Photographs | None:
    """Which images show the same photograph, of a job that looks at ``chosen``; None where each image shows another."""
    found = starts(row)
    return Photographs(found, chosen) if found else None


def label_period(row: Dataset) -> int | None:
    """After how many images the labels repeat, where nothing says which images show the same photograph."""
    found = (row.source or {}).get("label_period")
    return found if isinstance(found, int) and not starts(row) else None


def corrupted_among(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of these data sets are of corrupted images; what is known of them is not read."""
    known = Dataset.source["corrupted"].as_string().is_not(None)
    return set(session.scalars(select(Dataset.id).where(Dataset.id.in_(ids), known, Dataset.count.is_not(None))))
