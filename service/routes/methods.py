"""Methods: the ways of training, with the JSON schemas of their hyper-parameters."""

import inspect

from fastapi import APIRouter
from pydantic import TypeAdapter

from rs_core.methods.table import METHODS, MethodRow
from service import schemas
from service.dependencies import TenantId

router = APIRouter(prefix="/v1/methods", tags=["methods"])


@router.get("", operation_id="list_methods")
def list_methods(_: TenantId) -> schemas.Page[schemas.Method]:
    """Every training method, on one page."""
    return schemas.Page(items=[_method(row) for row in METHODS.values()])


def _method(row: MethodRow) -> schemas.Method:
    return schemas.Method(
        name=row.name,
        description=" ".join(inspect.cleandoc(row.record.__doc__ or "").split()),
        reference=row.reference,
        hyper_parameters=TypeAdapter(row.record).json_schema(),
    )
