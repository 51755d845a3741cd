"""What a data set of corrupted images is to be made of: the record that the command line and the service share. Torch-free."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from radii.rs_core.data.corruption_info import COMMON, SEVERITIES, Corruption, Severity
from radii.rs_core.specs.fields import Reference, Seed, Selection, record, refused
from radii.rs_core.specs.jobs import invalid_spec


@record
class CorruptSpec:
    """Each chosen image of a data set under each of the corruptions at each of the severities (Hendrycks and Dietterich
    2019, arXiv 1903.12261).

    The new data set holds them corruption by corruption, of each severity by severity, of each the images in their order.
    """

    dataset: Reference
    corruptions: Annotated[
        Annotated[tuple[Corruption, ...], Field(fail_fast=True)] | None,
        Field(description="at least one; null: the fifteen common ones, over which mACR and mAcc are means"),
    ] = None
    severities: Annotated[
        tuple[Severity, ...], Field(fail_fast=True, description="at least one, from 1 (weak) to 5 (strong)")
    ] = SEVERITIES
    inputs: Selection = Selection()
    seed: Annotated[
        Seed,
        Field(description="of the corruptions that are random: with the index of an image it fixes what becomes of it"),
    ] = 0

    @model_validator(mode="after")
    def _each_once(self) -> "CorruptSpec":
        for name, values in (("corruptions", self.corruptions), ("severities", self.severities)):
            if values is not None and (not values or len(set(values)) < len(values)):
                raise refused(name, "at least one, each once", ", ".join(map(str, values)) or "none")
        return self

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """Corruption and severity of each group, in order."""
        names = COMMON if self.corruptions is None else self.corruptions
        return [(name, severity) for name in names for severity in self.severities]


_RECORD = TypeAdapter(CorruptSpec)


def parse(body: Mapping[str, Any]) -> CorruptSpec:
    """The record that ``body`` (JSON-like) describes; :class:`InvalidSpec` names every wrong field."""
    try:
        return _RECORD.validate_python(dict(body))
    except ValidationError as error:
        raise invalid_spec(error) from None
