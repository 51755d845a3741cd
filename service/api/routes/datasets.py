"""Data sets: made out of uploads by a conversion, built in, or of corrupted images of another one."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from sqlalchemy.orm import Session

from radii.service.api.dependencies import Cursor, DatabaseDep, Limit, RowLimit, SettingsDep, TenantId, Wait
from radii.service.api.openapi import ACCEPTED, problems
from radii.service.api.resource_routes import accepted, expected_output, files_of, names_page, page, remove, when_made
from radii.service.jobs import corrupt, quotas
from radii.service.jobs.idempotency import IdempotencyKey, once
from radii.service.limits.json_bodies import JsonRoute
from radii.service.lookup import get
from radii.service.schemas import requests, responses
from radii.service.views import resource_views
from radii.worker.queue import broker
from radii.worker.store import resources, storage_usage
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=JsonRoute)


@router.post(
    "", operation_id="create_dataset", status_code=202, responses={**ACCEPTED, **problems(400, 409, 413, 429, 507)}
)
def create_dataset(
    body: Annotated[requests.DatasetRequest, Body()],
    response: Response,
    tenant_id: TenantId,
    database: DatabaseDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> responses.Dataset:
    """Starts a conversion. The data set is `pending` until its job ends; then `ready`, or `rejected`."""

    def make(session: Session) -> str:
        quotas.require(session, tenant_id, settings)
        storage_usage.require_count(session, tenant_id, settings, storage_usage.DATASETS)
        work = 1
        if body.corrupt is not None:
            source, work = corrupt.source_of(session, tenant_id, body.corrupt, settings)
        else:
            source = _source(session, tenant_id, body)
        expected = expected_output(session, source, work)
        storage_usage.require(session, tenant_id, settings, expected + storage_usage.conversion_of(source))
        return resources.create(session, Dataset, tenant_id, body.name, source, work=work, output_bytes=expected)[0].id

    request = {"make": "dataset", **body.model_dump(mode="json")}
    identifier, replayed = once(database, tenant_id, idempotency_key, request, make)
    broker.wake_workers(settings)
    accepted(response, f"/v1/datasets/{identifier}", replayed)
    return _read(database, tenant_id, identifier)


@router.get("", operation_id="list_datasets")
def list_datasets(
    tenant_id: TenantId, database: DatabaseDep, limit: Limit = 50, cursor: Cursor = None
) -> responses.Page[responses.Dataset]:
    """Your data sets, newest first."""
    with database.read() as session:
        rows, following = page(session, Dataset, tenant_id, cursor, limit, Dataset.state.not_in(resources.HIDDEN))
        return responses.Page(items=resource_views.datasets(session, rows, brief=True), next_cursor=following)


@router.get("/{dataset_id}", operation_id="get_dataset", responses=problems(404))
async def get_dataset(
    dataset_id: str, request: Request, tenant_id: TenantId, database: DatabaseDep, wait: Wait = 0.0
) -> responses.Dataset:
    """One data set; with `wait`, as soon as it is pending no more or the time is up."""
    return await when_made(request, partial(_read, database, tenant_id, dataset_id), wait)


@router.get("/{dataset_id}/class_names", operation_id="list_dataset_class_names", responses=problems(404))
def list_class_names(
    dataset_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 1000, cursor: Cursor = None
) -> responses.Page[str]:
    """All class names, in the order of the labels."""
    with database.read() as session:
        row = get(session, Dataset, tenant_id, dataset_id)
        return names_page(row.class_names or [], limit, cursor)


@router.delete("/{dataset_id}", operation_id="delete_dataset", status_code=204, responses=problems(404, 409))
def delete_dataset(dataset_id: str, tenant_id: TenantId, database: DatabaseDep) -> None:
    """Deletes a data set; refused while an active job needs it. Results that were got from it stay."""
    remove(database, Dataset, tenant_id, dataset_id)


def _source(session: Session, tenant_id: str, body: requests.DatasetRequest) -> dict[str, Any]:
    return {
        "format": "builtin" if body.builtin else body.format,
        "files": files_of(session, tenant_id, body.files or []),
        "builtin": body.builtin,
        "class_names": body.class_names,
    } | {name: value for name in ("resize", "center_crop", "photographs") if (value := getattr(body, name)) is not None}


def _read(database: Database, tenant_id: str, dataset_id: str) -> responses.Dataset:
    with database.read() as session:
        return resource_views.datasets(session, [get(session, Dataset, tenant_id, dataset_id)])[0]
