"""The tables of results: a row for each input or epoch, and of each job the sums and the statistics that are kept with them.

``job_summary`` is what a poll needs, updated in the transaction that stores the results. Times are as in ``tables``.
"""

from typing import Any

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from radii.worker.store.clock import clock
from radii.worker.store.models.column_types import Base


class JobSummary(Base):
    """What a poll or a report of a large job needs, kept up to date as results arrive.

    ``work`` is in noise samples (certify, predict), passes of the network (evaluate), optimiser steps (train) or conversions;
    ``correct_at`` counts the inputs that are correct at each of ``radii``, or right at each point of an evaluation; ``given_up`` are the inputs given up since the last one that was done.
    """

    __tablename__ = "job_summary"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    total: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    work_total: Mapped[int]
    work_done: Mapped[int] = mapped_column(default=0)
    device_seconds: Mapped[float] = mapped_column(default=0.0)
    radii: Mapped[list[Any]]
    correct_at: Mapped[list[Any]]
    radius_sum: Mapped[float] = mapped_column(default=0.0)
    correct: Mapped[int] = mapped_column(default=0)
    abstained: Mapped[int] = mapped_column(default=0)
    at_cap: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    given_up: Mapped[int] = mapped_column(default=0)
    updated: Mapped[float] = mapped_column(default=clock(), onupdate=clock())


class JobDigest(Base):
    """What a report needs of very many certificates, see ``store.row_statistics``."""

    __tablename__ = "job_digest"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class CertificateRow(Base):
    """A stored certificate; ``prediction`` -1 is an abstention, ``standard`` is of mixes alone."""

    __tablename__ = "certificate"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[int]
    prediction: Mapped[int]
    radius: Mapped[float]
    p_lower: Mapped[float]
    p_upper: Mapped[float | None]
    counts0: Mapped[list[Any]]
    counts: Mapped[list[Any]]
    standard: Mapped[list[Any] | None]
    n0: Mapped[int]
    n: Mapped[int]
    sigma: Mapped[float]
    alpha: Mapped[float]
    seed: Mapped[int]
    seconds: Mapped[float]
    batch_size: Mapped[int | None]
    error: Mapped[str | None]


class PredictionRow(Base):
    """A stored prediction; ``prediction`` -1 is an abstention."""

    __tablename__ = "prediction"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[int]
    prediction: Mapped[int]
    p_value: Mapped[float]
    counts: Mapped[list[Any]]
    n: Mapped[int]
    sigma: Mapped[float]
    alpha: Mapped[float]
    seed: Mapped[int]
    seconds: Mapped[float]
    batch_size: Mapped[int | None]
    error: Mapped[str | None]


class EvaluationRow(Base):
    """What an evaluation has found of one input, point by point."""

    __tablename__ = "evaluation"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[int]
    found: Mapped[list[Any]]
    seed: Mapped[int]
    seconds: Mapped[float]
    batch_size: Mapped[int | None]
    error: Mapped[str | None]


class SampleProgress(Base):
    """The unfinished input: votes so far by stage, and how often it ended the child that worked on it."""

    __tablename__ = "sample_progress"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    votes: Mapped[dict[str, Any]]
    drawn: Mapped[int]
    seconds: Mapped[float]
    batch_size: Mapped[int | None]
    deaths: Mapped[int] = mapped_column(default=0)


class EpochMetric(Base):
    """What one epoch of a training job came to."""

    __tablename__ = "epoch_metric"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    steps: Mapped[int]
    learning_rate: Mapped[float]
    loss: Mapped[float]
    terms: Mapped[dict[str, Any]]
    accuracy: Mapped[float]
    test_accuracy: Mapped[float | None]
    certification: Mapped[dict[str, Any] | None]
    seconds: Mapped[float]
