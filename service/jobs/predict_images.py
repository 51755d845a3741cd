"""From a request's images to an urgent job, and from that job to an answer.

The job is a certification by ``anytime`` of one shard, whose data set came with it: it is claimed before all others, and
every certificate that it has stored holds as it is.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from radii.rs_core.certify.procedure import PART
from radii.rs_core.data import dataset_header
from radii.rs_core.data.content_hash import ContentHash
from radii.rs_core.data.dataset_info import Shape
from radii.rs_core.data.memmap import chunks
from radii.rs_core.records import ABSTAIN, UNKNOWN_LABEL, Certificate
from radii.rs_core.results.plausibility import implausible_answers
from radii.rs_core.specs.jobs import CertifySpec
from radii.service.errors import NotFound
from radii.service.jobs import quotas
from radii.service.jobs.disk_space import check_room
from radii.service.jobs.idempotency import came_before, once
from radii.service.jobs.watcher import JobSnapshot
from radii.service.kinds import forecast
from radii.service.kinds.certify import CERTIFY
from radii.service.kinds.planned_job import new_job, ready
from radii.service.kinds.planning import JobResources, Pace
from radii.service.lookup import get, shown
from radii.service.schemas.prediction_query import PredictionQuery
from radii.service.schemas.predictions import Predictions, SmoothedPrediction
from radii.service.schemas.responses import MOST_NUMBERS
from radii.service.views import resource_views
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs, resources, storage_usage, urgent_jobs
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.result_rows import numbers_in

SEED_BITS = 53
"""Of a seed that is drawn here: as many as a number in JavaScript keeps."""
LEAVES_OUT = {"wait", "until"}
"""Fields of a query that are about the answer alone."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a request's images have to fit."""

    checkpoint: str
    shape: Shape


@dataclass(frozen=True, kw_only=True)
class Images:
    """A request's images (N, C, H, W), and the query that came with them."""

    pixels: NDArray[Any]
    query: PredictionQuery


def admitted(database: Database, settings: Settings, tenant_id: str, identifier: str, key: str | None = None) -> Model:
    """The tenant's checkpoint, if it can be used now. Raises as :func:`submit` does where the queue is full already, before
    any image is read; not for a ``key`` that came before, which makes nothing new."""
    with database.read() as session:
        get(session, Checkpoint, tenant_id, identifier)
        if not came_before(session, tenant_id, key):
            quotas.require_urgent(session, tenant_id, settings, seconds=0.0, final=False)
        row = ready(session, Checkpoint, tenant_id, identifier, "checkpoint")
        return Model(checkpoint=row.id, shape=cast(Shape, tuple(row.input_shape or ())))


def make_room(database: Database, settings: Settings, tenant_id: str) -> None:
    """Deletes the tenant's oldest requests that have ended, with their images, where there are more than are kept."""
    limits = {"most": settings.tenant_kept_predictions, "most_bytes": settings.tenant_prediction_bytes}
    with database.read() as session:
        count, size = urgent_jobs.kept(session, tenant_id)
    if count <= limits["most"] and size <= limits["most_bytes"]:
        return
    with database.write() as session:
        gone = urgent_jobs.forget_beyond(session, tenant_id, **limits)
    for sha256 in dict.fromkeys(gone):
        with database.write() as session:
            resources.discard(session, settings.blobs, sha256)


def submit(
    database: Database, settings: Settings, tenant_id: str, images: Images, key: str | None = None
) -> tuple[str, bool]:
    """Stores the images and writes their job, or with a ``key`` that came before finds it; its identifier, and whether it
    was found. Raises the problem where there is too much work, in it or in the queue, or no room on the disk."""
    with database.read() as session:
        checkpoint = get(session, Checkpoint, tenant_id, images.query.checkpoint)
    labels = np.full(len(images.pixels), UNKNOWN_LABEL, dtype=np.int64)
    names = class_names(checkpoint)
    check_room(images.pixels.nbytes, settings)
    with blob_files.writing(settings.blobs) as writer:
        for piece in dataset_header.pieces(images.pixels, labels, names, "request"):
            writer.write(piece)
        sealed = writer.seal()
    columns = _columns(images.pixels, labels, names) | {"sha256": sealed.sha256}

    def make(session: Session) -> str:
        storage_usage.hold(session, tenant_id)  # before any other row, as an upload does
        resources.put_blob(session, settings.blobs, sealed)
        dataset = resources.attach(session, tenant_id, columns)
        new = _planned(session, settings, tenant_id, images.query, checkpoint, dataset)
        quotas.require_urgent(session, tenant_id, settings, seconds=new.estimated_seconds)
        rows = storage_usage.rows_of(new.total, len(names))
        storage_usage.require_within(session, tenant_id, settings, sealed.size, more=rows, exact=False)
        return jobs.submit(session, new).id

    asked = images.query.model_dump(mode="json", exclude=LEAVES_OUT)
    try:
        return once(database, tenant_id, key, {"make": "predictions", **asked, "images": sealed.sha256}, make)
    finally:
        sealed.path.unlink(missing_ok=True)  # where nothing was made of it


def _columns(pixels: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    count, *shape = pixels.shape
    digest = ContentHash(pixels.shape, str(pixels.dtype), labels, tuple(names))
    for piece in chunks(pixels):
        digest.update(piece)
    known = {"content_hash": digest.hexdigest(), "count": count, "shape": shape}
    eight_bit = True if pixels.dtype == np.uint8 else None
    return known | {"num_classes": len(names), "eight_bit": eight_bit}  # the names are the checkpoint's


def _planned(
    session: Session,
    settings: Settings,
    tenant_id: str,
    query: PredictionQuery,
    checkpoint: Checkpoint,
    dataset: Dataset,
) -> jobs.NewJob:
    """The job, in one shard; raises the problem where there is too much work in it."""
    spec = CertifySpec(
        checkpoint=checkpoint.id,
        dataset=dataset.id,
        sampling="anytime",
        sigma=query.sigma,
        n=query.n,
        alpha=query.alpha,
        precision=query.precision,
        seed=secrets.randbits(SEED_BITS) if query.seed is None else query.seed,
    )
    rate = forecast.rate_of_earlier_jobs(session, tenant_id, checkpoint, spec.precision)
    new, seconds = new_job(
        CERTIFY,
        spec,
        JobResources(dataset=dataset, checkpoint=checkpoint),
        tenant_id=tenant_id,
        pace=Pace(rate=rate),
        max_job_seconds=settings.prediction_seconds,
    )
    one = [(0, dataset.count or 0)]
    return replace(new, shards=one, priority=jobs.URGENT, estimated_seconds=seconds)


def class_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Those that the checkpoint knows, else the numbers of its classes."""
    return tuple(checkpoint.class_names or ()) or tuple(str(number) for number in range(checkpoint.num_classes or 0))


def answer(database: Database, tenant_id: str, job_id: str) -> Predictions:
    """What is certified so far; raises :class:`NotFound` for what is no request for predictions of the tenant's."""
    with database.read() as session:
        job = get(session, Job, tenant_id, job_id)
        if job.priority < jobs.URGENT:
            raise NotFound(expected="the identifier of a request for predictions of yours", got=shown(job_id))
        dataset, checkpoint = session.get_one(Dataset, job.dataset_id), session.get_one(Checkpoint, job.checkpoint_id)
        names = class_names(checkpoint)
        predicted, rows = _predictions(certificate_rows.read(session, job.id), names)
    spec = job.certify
    given = {name: getattr(spec, name) for name in ("sigma", "n", "alpha", "seed", "checkpoint")}
    return Predictions(
        job=job.id,
        state=job.state,
        complete=job.state == jobs.SUCCEEDED,
        images=dataset.count or 0,
        predictions=predicted,
        problem=resource_views.problem(job.problem),
        warnings=list(implausible_answers(rows, spec, dataset.num_classes or 2, at_cap=_at_cap(predicted, spec))),
        **given,
    )


def _predictions(
    rows: Iterable[Certificate], names: Sequence[str]
) -> tuple[list[SmoothedPrediction], list[Certificate]]:
    """One for each row, and the rows, both without class counts where there are too many of these."""
    shown: list[SmoothedPrediction] = []
    kept: list[Certificate] = []
    numbers = 0
    for row in rows:
        numbers += numbers_in(row)
        few = numbers <= MOST_NUMBERS
        shown.append(_prediction(row, names, counts=few))
        kept.append(row if few else replace(row, counts0=(), counts=()))
    if numbers > MOST_NUMBERS:  # all or none
        shown = [each.model_copy(update={"counts0": None, "counts": None}) for each in shown]
    return shown, kept


def _prediction(row: Certificate, names: Sequence[str], *, counts: bool) -> SmoothedPrediction:
    abstained = row.prediction == ABSTAIN
    return SmoothedPrediction(
        index=row.index,
        prediction=None if abstained else row.prediction,
        class_name=None if abstained or row.prediction >= len(names) else names[row.prediction],
        abstained=abstained,
        radius=row.radius,
        p_lower=row.p_lower,
        n0=row.n0,
        n=row.n,
        counts0=list(row.counts0) if counts else None,
        counts=list(row.counts) if counts else None,
        at_cap=row.at_cap,
        seconds=row.seconds,
        error=row.error,
    )


def _at_cap(shown: Sequence[SmoothedPrediction], spec: CertifySpec) -> int:
    """How many of the images that have all of their samples are at the cap."""
    return sum(each.at_cap for each in shown if each.n >= spec.n or each.error is not None)


def has_first(standing: JobSnapshot | None, images: int, query: PredictionQuery, n0: int) -> bool:
    """Whether every image has been through its first turn, or no more will come."""
    first = images * (n0 + min(PART, query.n))
    return standing is None or standing.over or standing.progress.work_done >= first


def is_over(standing: JobSnapshot | None) -> bool:
    """Whether no more will come."""
    return standing is None or standing.over
