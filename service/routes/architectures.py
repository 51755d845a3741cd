"""Architectures: the networks that this service can build."""

from fastapi import APIRouter

from rs_core.models.table import ARCHITECTURES
from service import schemas
from service.dependencies import TenantId

router = APIRouter(prefix="/v1/architectures", tags=["architectures"])


@router.get("", operation_id="list_architectures")
def list_architectures(_: TenantId) -> schemas.Page[schemas.Architecture]:
    """Every architecture, on one page."""
    return schemas.Page(
        items=[
            schemas.Architecture(
                name=row.name,
                input_shape=None if row.input_shape is None else list(row.input_shape),
                description=row.description,
                reference=row.reference,
            )
            for row in ARCHITECTURES.values()
        ]
    )
