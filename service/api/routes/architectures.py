"""Architectures: the networks that this service can build."""

from fastapi import APIRouter

from radii.rs_core.models import registry
from radii.service.api.dependencies import TenantId
from radii.service.schemas import responses

router = APIRouter(prefix="/v1/architectures", tags=["architectures"])


@router.get("", operation_id="list_architectures")
def list_architectures(_: TenantId) -> responses.Page[responses.Architecture]:
    """Every architecture, on one page."""
    return responses.Page(
        items=[
            responses.Architecture(
                name=row.name,
                source=row.source,
                input_shape=None if row.input_shape is None else list(row.input_shape),
                channels=row.channels,
                smallest_side=row.smallest_side,
                side_multiple=row.side_multiple,
                square=row.square,
                role=row.role,
                description=row.description,
                reference=row.reference,
            )
            for row in registry.rows()
        ]
    )
