"""Methods: the ways of training, with the JSON schemas of their hyper-parameters."""

import inspect

from fastapi import APIRouter
from pydantic import TypeAdapter

from radii.rs_core.methods.registry import METHODS, MethodRow
from radii.service.api.dependencies import TenantId
from radii.service.schemas import responses

router = APIRouter(prefix="/v1/methods", tags=["methods"])


@router.get("", operation_id="list_methods")
def list_methods(_: TenantId) -> responses.Page[responses.Method]:
    """Every training method, on one page."""
    return responses.Page(items=[_method(row) for row in METHODS.values()])


def _method(row: MethodRow) -> responses.Method:
    return responses.Method(
        name=row.name,
        description=" ".join(inspect.cleandoc(row.record.__doc__ or "").split()),
        reference=row.reference,
        hyper_parameters=TypeAdapter(row.record).json_schema(),
    )
