"""Presets: the published settings by name, which a training job takes as its ``preset``."""

from dataclasses import asdict

from fastapi import APIRouter

from radii.rs_core.errors import UnknownPreset
from radii.rs_core.literature import presets
from radii.service.api.dependencies import TenantId
from radii.service.api.openapi import problems
from radii.service.errors import NotFound
from radii.service.schemas import responses

router = APIRouter(prefix="/v1/presets", tags=["presets"])


@router.get("", operation_id="list_presets")
def list_presets(_: TenantId) -> responses.Page[responses.Preset]:
    """Every published setting, on one page."""
    return responses.Page(items=[_preset(presets.preset(name)) for name in presets.names()])


@router.get("/{dataset}/{method}/{sigma}", operation_id="get_preset", responses=problems(404))
def get_preset(dataset: str, method: str, sigma: str, _: TenantId) -> responses.Preset:
    """One published setting."""
    name = f"{dataset}/{method}/{sigma}"
    try:
        return _preset(presets.preset(name))
    except UnknownPreset as error:
        raise NotFound(expected=error.expected, got=error.got, nearest=presets.nearest(name)) from None


def _preset(found: presets.Preset) -> responses.Preset:
    return responses.Preset.model_validate(asdict(found))
