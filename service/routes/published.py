"""Published results: what was reported of randomized smoothing, to lay a report or a comparison beside."""

from dataclasses import asdict

from fastapi import APIRouter

from rs_core import published
from rs_core.errors import UnknownPublication
from service import comparison_schemas, schemas
from service.dependencies import TenantId
from service.errors import NotFound
from service.openapi import problems

router = APIRouter(prefix="/v1/published", tags=["published"])


@router.get("", operation_id="list_published")
def list_published(_: TenantId) -> schemas.Page[comparison_schemas.Published]:
    """Every published result, on one page."""
    return schemas.Page(items=[_published(found) for found in published.beginning(None)])


@router.get("/{dataset}/{method}/{sigma}", operation_id="get_published", responses=problems(404))
def get_published(dataset: str, method: str, sigma: str, _: TenantId) -> comparison_schemas.Published:
    """One published result."""
    name = f"{dataset}/{method}/{sigma}"
    try:
        return _published(published.published(name))
    except UnknownPublication as error:
        raise NotFound(expected=error.expected, got=error.got, nearest=published.nearest(name)) from None


def _published(found: published.Published) -> comparison_schemas.Published:
    return comparison_schemas.Published.model_validate(asdict(found))
