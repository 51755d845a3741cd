"""Results as arrays: the columns that a comparison of many rows needs, and no counts of votes.

The one place that knows which jobs have certificates to compare, and where their rows are.
"""

from itertools import chain

import numpy as np
from sqlalchemy import case, select
from sqlalchemy.orm import Session

from radii.rs_core.results.aggregate import Columns
from radii.worker.store.models.result_tables import CertificateRow

KINDS = ("certify",)
"""Kinds of jobs whose results can be compared."""
AT_ONCE = 10_000
"""Rows that are between database and arrays."""


def columns(session: Session, job_id: str) -> Columns:
    """A job's results so far, by index; some 40 bytes for each.

    Lower bounds and whether all votes agreed are left unknown, since they lie in the votes: who knows the largest radius
    possible finds the inputs at the cap by it.
    """
    row = CertificateRow.__table__.c
    failed = case((row.error.is_not(None), 1), else_=0)
    query = select(row.index, row.label, row.prediction, row.radius, failed).where(row.job_id == job_id)
    # On the connection, since what the session adds to each row takes longer than reading it.
    found = session.connection().execute(query.order_by(row.index), execution_options={"yield_per": AT_ONCE})
    # Indices and labels are exact as floats: they are below 2^53.
    parts = [np.fromiter(chain.from_iterable(part), np.float64, 5 * len(part)) for part in found.partitions()]
    rows = np.concatenate([np.zeros(0), *parts]).reshape(-1, 5)
    index, label, prediction = (rows[:, place].astype(np.int64) for place in range(3))
    return Columns(
        index=index,
        label=label,
        prediction=prediction,
        radius=rows[:, 3].copy(),
        p_lower=np.broadcast_to(np.float64(np.nan), index.shape),
        failed=rows[:, 4].astype(np.bool_),
        full=np.broadcast_to(np.int64(-1), index.shape),
    )
