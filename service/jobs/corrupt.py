"""A data set of corrupted images as a request asks for it: its clean data set is found, and what would be made is checked.

The images are made by the conversion (``radii.worker.tasks.convert``), out of the clean set's stored file.
"""

from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.data.corruption_info import check_source
from radii.rs_core.data.corruptions.estimates import seconds
from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.data.dataset_info import check_size
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.jobs import dump_spec
from radii.service.kinds.planned_job import ready
from radii.worker.settings import Settings
from radii.worker.store import corruption_groups
from radii.worker.store.models.tables import Dataset

FIELD = "corrupt.dataset"


def source_of(session: Session, tenant_id: str, spec: CorruptSpec, settings: Settings) -> tuple[dict[str, Any], int]:
    """What the conversion is told, and how many images it will make.

    Raises the problem of a clean data set that is not there or not ready, that cannot be corrupted, of which nothing is
    chosen, or whose corrupted images would be more than one data set may have or one conversion has time for.
    """
    row = ready(session, Dataset, tenant_id, spec.dataset, FIELD)
    channels, height, width = row.shape or (0, 0, 0)
    check_source((channels, height, width), corruption_groups.corrupted(row) is not None, FIELD)
    chosen = len(spec.inputs.indices(row.count or 0))
    if not chosen:
        expected = f"at least one input of data set {row.id}, which has {row.count}"
        raise InvalidSpec(expected=expected, got=f"none from index {spec.inputs.start} on", where="corrupt.inputs")
    total = chosen * len(spec.kinds)
    check_size(total, (channels, height, width), 1, "corrupt", limit=settings.max_dataset)
    _check_time(total, seconds([name for name, _ in spec.kinds], chosen, (height, width)), settings)
    source = {
        "format": "corrupted",
        "files": [{"name": f"{row.id}.safetensors", "sha256": row.sha256}],
        "builtin": None,
        "class_names": None,
        "corrupt": dump_spec(spec),
        "clean_hash": row.content_hash,
    }
    return source, total


def _check_time(total: int, estimate: float, settings: Settings) -> None:
    """A conversion that takes longer is ended, and nothing of it is kept."""
    if estimate > settings.convert_limit:
        raise InvalidSpec(
            expected=f"as many images as can be corrupted within {settings.convert_limit:,.0f} s (RADII_CONVERT_LIMIT)",
            got=f"{total:,}, which take about {estimate:,.0f} s",
            where="corrupt",
        )
