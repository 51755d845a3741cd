"""Published results: what was reported of randomized smoothing, to compare a report with."""

from dataclasses import asdict

from fastapi import APIRouter

from radii.rs_core.errors import UnknownPublication
from radii.rs_core.literature import published_results
from radii.service.api.dependencies import TenantId
from radii.service.api.openapi import problems
from radii.service.errors import NotFound
from radii.service.schemas import comparisons, responses

router = APIRouter(prefix="/v1/published", tags=["published"])


@router.get("", operation_id="list_published")
def list_published(_: TenantId) -> responses.Page[comparisons.Published]:
    """Every published result, on one page."""
    return responses.Page(items=[_published(found) for found in published_results.beginning(None)])


@router.get("/{dataset}/{method}/{sigma}", operation_id="get_published", responses=problems(404))
def get_published(dataset: str, method: str, sigma: str, _: TenantId) -> comparisons.Published:
    """One published result."""
    name = f"{dataset}/{method}/{sigma}"
    try:
        return _published(published_results.published(name))
    except UnknownPublication as error:
        raise NotFound(expected=error.expected, got=error.got, nearest=published_results.nearest(name)) from None


def _published(found: published_results.Published) -> comparisons.Published:
    return comparisons.Published.model_validate(asdict(found))
