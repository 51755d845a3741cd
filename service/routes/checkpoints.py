"""Checkpoints: trained base classifiers, out of an upload or out of other checkpoints by a conversion, or out of a training
job."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from sqlalchemy.orm import Session

from rs_core.models.table import architecture
from service import admission, composing, requests, schemas, views
from service.dependencies import Cursor, DatabaseDep, Limit, RowLimit, SettingsDep, TenantId, Wait
from service.idempotency import IdempotencyKey, once
from service.json_bodies import JsonRoute
from service.lookup import get
from service.openapi import ACCEPTED, problems
from service.resources import accepted, expected_output, files_of, names_page, page, remove, when_made
from worker import broker
from worker.store import registry, storage
from worker.store.session import Database
from worker.store.tables import Checkpoint

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
) -> schemas.Checkpoint:
    """Starts a conversion of an upload, or the composition of checkpoints. The checkpoint is `pending` until its job ends;
    then `ready`, or `rejected`."""
    if body.architecture is not None:
        architecture(body.architecture)

    def make(session: Session) -> str:
        admission.require(session, tenant_id, settings)
        storage.require_count(session, tenant_id, settings, storage.CHECKPOINTS)
        source = _source(session, tenant_id, body)
        expected = expected_output(session, source)
        storage.require(session, tenant_id, settings, expected + storage.conversion_of(source))
        return registry.create(session, Checkpoint, tenant_id, body.name, source, output_bytes=expected)[0].id

    request = {"make": "checkpoint", **body.model_dump(mode="json")}
    identifier, replayed = once(database, tenant_id, idempotency_key, request, make)
    broker.ring(settings)
    accepted(response, f"/v1/checkpoints/{identifier}", replayed)
    return _read(database, tenant_id, identifier)


@router.get("", operation_id="list_checkpoints")
def list_checkpoints(
    tenant_id: TenantId, database: DatabaseDep, limit: Limit = 50, cursor: Cursor = None
) -> schemas.Page[schemas.Checkpoint]:
    """Your checkpoints, newest first."""
    with database.read() as session:
        rows, following = page(session, Checkpoint, tenant_id, cursor, limit, Checkpoint.state != registry.DELETED)
        return schemas.Page(items=views.checkpoints(session, rows, brief=True), next_cursor=following)


@router.get("/{checkpoint_id}", operation_id="get_checkpoint", responses=problems(404))
async def get_checkpoint(
    checkpoint_id: str, request: Request, tenant_id: TenantId, database: DatabaseDep, wait: Wait = 0.0
) -> schemas.Checkpoint:
    """One checkpoint; with `wait`, as soon as it is pending no more or the time is up."""
    return await when_made(request, partial(_read, database, tenant_id, checkpoint_id), wait)


@router.get("/{checkpoint_id}/class_names", operation_id="list_checkpoint_class_names", responses=problems(404))
def list_class_names(
    checkpoint_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 1000, cursor: Cursor = None
) -> schemas.Page[str]:
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
        return composing.source(session, tenant_id, body.compose)
    files = body.files or [body.file or ""]
    stated = body.model_dump(mode="json", include=set(requests.STATED))
    return {"files": files_of(session, tenant_id, files), **stated}


def _read(database: Database, tenant_id: str, checkpoint_id: str) -> schemas.Checkpoint:
    with database.read() as session:
        return views.checkpoints(session, [get(session, Checkpoint, tenant_id, checkpoint_id)])[0]
