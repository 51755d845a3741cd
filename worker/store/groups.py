"""What is known of a stored data set's corrupted images: kept with where the data set comes from."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from rs_core.data.corrupted import Corrupted, from_json
from worker.store.tables import Dataset


def corrupted(row: Dataset) -> Corrupted | None:
    """Which images have which corruption; None of a data set of other images, and of one that is not ready."""
    body = (row.source or {}).get("corrupted")
    return None if body is None or row.count is None else from_json(body, row.count, row.id)


def corrupted_among(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of these data sets are of corrupted images; what is known of them is not read."""
    known = Dataset.source["corrupted"].as_string().is_not(None)
    return set(session.scalars(select(Dataset.id).where(Dataset.id.in_(ids), known, Dataset.count.is_not(None))))
