"""Presets: the published settings by name, which a training job takes as its ``preset``."""

from dataclasses import asdict

from fastapi import APIRouter

from rs_core import presets
from rs_core.errors import UnknownPreset
from service import schemas
from service.dependencies import TenantId
from service.errors import NotFound
from service.openapi import problems

router = APIRouter(prefix="/v1/presets", tags=["presets"])


@router.get("", operation_id="list_presets")
def list_presets(_: TenantId) -> schemas.Page[schemas.Preset]:
    """Every published setting, on one page."""
    return schemas.Page(items=[_preset(presets.preset(name)) for name in presets.names()])


@router.get("/{dataset}/{method}/{sigma}", operation_id="get_preset", responses=problems(404))
def get_preset(dataset: str, method: str, sigma: str, _: TenantId) -> schemas.Preset:
    """One published setting."""
    name = f"{dataset}/{method}/{sigma}"
    try:
        return _preset(presets.preset(name))
    except UnknownPreset as error:
        raise NotFound(expected=error.expected, got=error.got, nearest=presets.nearest(name)) from None


def _preset(found: presets.Preset) -> schemas.Preset:
    return schemas.Preset.model_validate(asdict(found))
