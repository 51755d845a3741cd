"""Checkpoints: trained base classifiers, out of an upload or out of other checkpoints by a conversion, or out of a training
job."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from sqlalchemy.orm import Session

from radii.rs_core.models.registry import architecture
from radii.service.api.dependencies import Cursor, DatabaseDep, Limit, RowLimit, SettingsDep, TenantId, Wait
from radii.service.api.openapi import ACCEPTED, problems
from radii.service.api.resource_routes import accepted, expected_output, files_of, names_page, page, remove, when_made
from radii.service.jobs import compose, quotas
from radii.service.jobs.idempotency import IdempotencyKey, once
from radii.service.limits.json_bodies import JsonRoute
from radii.service.lookup import get
from radii.service.schemas import requests, responses
from radii.service.views import resource_views
from radii.worker.queue import broker
from radii.worker.store import resources, storage_usage
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Checkpoint

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"], route_class=JsonRoute)


@router.post(
    "", operation_id="create_checkpoint", status_code=202, responses={**ACCEPTED, **problems(400, 409, 413, 429, 507)}
)
def create_checkpoint(
    body: Annotated[requests.CheckpointRequest, Body()],
    response: Response,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> responses.Checkpoint:
    """Starts a conversion of an upload, or the composition of checkpoints. The checkpoint is `pending` until its job ends;
    then `ready`, or `rejected`."""
    if body.architecture is not None:
        architecture(body.architecture)

    def make(session: Session) -> str:
        quotas.require(session, tenant_id, settings)
        storage_usage.require_count(session, tenant_id, settings, storage_usage.CHECKPOINTS)
        source = _source(session, tenant_id, body)
        expected = expected_output(session, source)
        storage_usage.require(session, tenant_id, settings, expected + storage_usage.conversion_of(source))
        return resources.create(session, Checkpoint, tenant_id, body.name, source, output_bytes=expected)[0].id

    request = {"make": "checkpoint", **body.model_dump(mode="json")}
    identifier, replayed = once(database, tenant_id, idempotency_key, request, make)
    broker.wake_workers(settings)
    accepted(response, f"/v1/checkpoints/{identifier}", replayed)
    return _read(database, tenant_id, identifier)


@router.get("", operation_id="list_checkpoints")
def list_checkpoints(
    tenant_id: TenantId, database: DatabaseDep, limit: Limit = 50, cursor: Cursor = None
) -> responses.Page[responses.Checkpoint]:
    """Your checkpoints, newest first."""
    with database.read() as session:
        rows, following = page(session, Checkpoint, tenant_id, cursor, limit, Checkpoint.state != resources.DELETED)
        return responses.Page(items=resource_views.checkpoints(session, rows, brief=True), next_cursor=following)


@router.get("/{checkpoint_id}", operation_id="get_checkpoint", responses=problems(404))
async def get_checkpoint(
    checkpoint_id: str, request: Request, tenant_id: TenantId, database: DatabaseDep, wait: Wait = 0.0
) -> responses.Checkpoint:
    """One checkpoint; with `wait`, as soon as it is pending no more or the time is up."""
    return await when_made(request, partial(_read, database, tenant_id, checkpoint_id), wait)


@router.get("/{checkpoint_id}/class_names", operation_id="list_checkpoint_class_names", responses=problems(404))
def list_class_names(
    checkpoint_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 1000, cursor: Cursor = None
) -> responses.Page[str]:
    """All class names, in the order of the labels."""
    with database.read() as session:
        row = get(session, Checkpoint, tenant_id, checkpoint_id)
        return names_page(row.class_names or [], limit, cursor)


@router.delete("/{checkpoint_id}", operation_id="delete_checkpoint", status_code=204, responses=problems(404, 409))
def delete_checkpoint(checkpoint_id: str, tenant_id: TenantId, database: DatabaseDep) -> None:
    """Deletes a checkpoint; refused while an active job needs it. Results that were got from it stay."""
    remove(database, Checkpoint, tenant_id, checkpoint_id)


def _source(session: Session, tenant_id: str, body: requests.CheckpointRequest) -> dict[str, Any]:
    if body.compose is not None:
        return compose.source(session, tenant_id, body.compose)
    files = body.files or [body.file or ""]
    stated = body.model_dump(mode="json", include=set(requests.STATED))
    return {"files": files_of(session, tenant_id, files), **stated}


def _read(database: Database, tenant_id: str, checkpoint_id: str) -> responses.Checkpoint:
    with database.read() as session:
        return resource_views.checkpoints(session, [get(session, Checkpoint, tenant_id, checkpoint_id)])[0]
