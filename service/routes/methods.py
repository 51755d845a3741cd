"""Methods: the ways of training, with the JSON schemas of their hyper-parameters."""

import inspect
from typing import Any, Union, get_args, get_origin

from fastapi import APIRouter
from pydantic import TypeAdapter

from rs_core import spec
from service import schemas
from service.dependencies import TenantId

router = APIRouter(prefix="/v1/methods", tags=["methods"])


@router.get("", operation_id="list_methods")
def list_methods(_: TenantId) -> schemas.Page[schemas.Method]:
    """Every training method, on one page."""
    return schemas.Page(items=[_method(record) for record in records()])


def records() -> tuple[type[Any], ...]:
    """The records of ``rs_core.spec.Method``, one per method."""
    choice = get_args(spec.Method)[0]
    union = get_origin(choice) is Union or not isinstance(choice, type)
    return get_args(choice) if union else (choice,)


def _method(record: type[Any]) -> schemas.Method:
    schema = TypeAdapter(record).json_schema()
    return schemas.Method(
        name=schema["properties"]["name"]["const"],
        description=inspect.cleandoc(record.__doc__ or ""),
        hyper_parameters=schema,
    )
