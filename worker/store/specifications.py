"""Specifications and plans of jobs as their rows hold them.

The specification says what was asked for. It is one of the library's records, or a conversion, which only a worker does. The plan
holds what planning has chosen: the noise level where the specification leaves it to the checkpoint, the inputs of an audit.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, TypeAdapter, field_serializer

from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.specs.composition import Composition
from radii.rs_core.specs.fields import AnyJob, NormalizationChoice, record
from radii.rs_core.specs.jobs import CertifySpec, NoiseJob, Spec
from radii.rs_core.specs.jobs import dump_spec as dump_spec

T = TypeVar("T")


def _is_none(value: object) -> bool:
    return value is None


LeftOut: TypeAlias = Annotated[T | None, Field(exclude_if=_is_none)]
"""A field that is not written where it is None."""


@record
class StoredFile:
    """An upload that a conversion reads."""

    name: str
    sha256: str


@record
class StoredPart:
    """A checkpoint that becomes part of another one."""

    id: str
    sha256: str


@record
class DatasetFiles:
    """A dataset out of uploads, or a built-in one."""

    format: str | None = None
    files: tuple[StoredFile, ...]
    builtin: str | None = None
    class_names: LeftOut[tuple[str, ...]] = None
    resize: LeftOut[int] = None
    center_crop: LeftOut[int] = None
    photographs: LeftOut[int] = None


@record
class CorruptedDataset:
    """A dataset of corrupted images, out of a stored one."""

    format: Literal["corrupted"] = "corrupted"
    files: tuple[StoredFile, ...]
    builtin: None = None
    class_names: LeftOut[tuple[str, ...]] = None
    corrupt: CorruptSpec
    clean_hash: str | None = None


@record
class CheckpointFiles:
    """A checkpoint out of an upload, with what the request says about it."""

    files: tuple[StoredFile, ...]
    architecture: str | None = None
    num_classes: int | None = None
    input_shape: tuple[int, ...] | None = None
    normalization: NormalizationChoice | None = None
    sigma: float | None = None
    method: str | None = None


@record
class ComposedCheckpoint:
    """A checkpoint out of several stored ones."""

    compose: Composition
    parts: tuple[StoredPart, ...]

    @field_serializer("compose", mode="wrap")
    def _as_asked(self, value: Any, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A request for a mix says nothing of a mixing network, and neither does its row."""
        body: dict[str, Any] = serialize(value)
        return {name: kept for name, kept in body.items() if name != "mixing" or kept is not None}


DatasetSource: TypeAlias = CorruptedDataset | DatasetFiles
CheckpointSource: TypeAlias = ComposedCheckpoint | CheckpointFiles
Source: TypeAlias = DatasetSource | CheckpointSource
_DATASET_SOURCE: TypeAdapter[DatasetSource] = TypeAdapter(DatasetSource)
_CHECKPOINT_SOURCE: TypeAdapter[CheckpointSource] = TypeAdapter(CheckpointSource)


@record
class ConvertSpec(AnyJob):
    """Files become the dataset or the checkpoint that is named."""

    kind: Literal["convert"] = "convert"
    dataset: LeftOut[str] = None
    checkpoint: LeftOut[str] = None
    source: Source

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The uploads that are read."""
        return () if isinstance(self.source, ComposedCheckpoint) else self.source.files

    @property
    def parts(self) -> tuple[StoredPart, ...]:
        """The checkpoints that are composed."""
        return self.source.parts if isinstance(self.source, ComposedCheckpoint) else ()


JobSpec: TypeAlias = Spec | ConvertSpec
_SPEC: TypeAdapter[JobSpec] = TypeAdapter(Annotated[JobSpec, Field(discriminator="kind")])


class AnyPlan:
    """What planning has chosen for a job."""

    def resolve(self, spec: JobSpec) -> JobSpec:
        """The specification with what it leaves to planning."""
        return spec

    def shown(self) -> dict[str, Any]:
        """What is shown with the specification."""
        return {}

    def run_as(self) -> dict[str, Any]:
        """How the job has to be run."""
        return {}


@record
class NoisePlan(AnyPlan):
    """Of a job that draws noise: the noise level and, of a mix that is certified as one, the robust classifier's weight."""

    kind: Literal["noise"] = "noise"
    sigma: float | None = None
    robust_weight: float | None = None

    def resolve(self, spec: JobSpec) -> JobSpec:
        """The specification with noise level and weight."""
        return spec.resolved(self.sigma, self.robust_weight) if isinstance(spec, NoiseJob) else spec


@record
class AuditPlan(AnyPlan):
    """Of an audit: the inputs that are drawn again, and how the audited job was asked for and run."""

    kind: Literal["audit"] = "audit"
    chosen: tuple[int, ...]
    certify: CertifySpec
    execution: Annotated[dict[str, Any], Field(default_factory=dict)]

    def shown(self) -> dict[str, Any]:
        """All of it."""
        return {"chosen": list(self.chosen), "certify": dump_spec(self.certify), "execution": self.execution}

    def run_as(self) -> dict[str, Any]:
        """As the audited job was run."""
        return self.execution


@record
class ConversionPlan(AnyPlan):
    """Of a conversion: about how many bytes it makes."""

    kind: Literal["conversion"] = "conversion"
    output_bytes: int

    def shown(self) -> dict[str, Any]:
        """The bytes."""
        return {"output_bytes": self.output_bytes}


Plan: TypeAlias = NoisePlan | AuditPlan | ConversionPlan
_PLAN: TypeAdapter[Plan] = TypeAdapter(Annotated[Plan, Field(discriminator="kind")])


def load_spec(body: dict[str, Any]) -> JobSpec:
    """The specification in a stored body. Fields that are newer than the body have their defaults."""
    return _SPEC.validate_python(body)


def load_plan(body: dict[str, Any]) -> Plan:
    """The plan in a stored body."""
    return _PLAN.validate_python(body)


def load_dataset_source(body: dict[str, Any]) -> DatasetSource:
    """What a dataset is made from, out of its body."""
    return _DATASET_SOURCE.validate_python(body)


def load_checkpoint_source(body: dict[str, Any]) -> CheckpointSource:
    """What a checkpoint is made from, out of its body."""
    return _CHECKPOINT_SOURCE.validate_python(body)


def resolved(spec: JobSpec, plan: Plan | None) -> JobSpec:
    """The specification with what planning has chosen. Rows of earlier versions have it in the specification, and no plan."""
    return spec if plan is None else plan.resolve(spec)


def shown(spec: JobSpec, plan: Plan | None) -> dict[str, Any]:
    """The resolved specification as JSON, with the rest of the plan."""
    return dump_spec(resolved(spec, plan)) | ({} if plan is None else plan.shown())


def as_kind(spec: JobSpec, kind: type[T]) -> T:
    """The specification, of a job that is known to be of one kind."""
    if not isinstance(spec, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(spec).__name__}")
    return spec
