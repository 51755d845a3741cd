"""What a request may bring: the bodies, in which an unknown field is an error.

A job's body is a specification of ``rs_core.spec`` with a few fields of the request beside it, at the same level.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rs_core.spec import CertifySpec, NormalizationChoice, PredictSpec, Sigma, TrainSpec, record

Name = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", description="for people; need not be unique"),
]
UploadReference = Annotated[
    str, Field(min_length=1, max_length=255, description="name, identifier or SHA-256 of an upload of yours")
]
ValidateOnly = Annotated[bool, Field(description="check and estimate, but make no job")]


@record
class TrainJob(TrainSpec):
    """A training job; ``name`` is given to the checkpoint that it makes."""

    name: Name | None = None
    validate_only: ValidateOnly = False


@record
class CertifyJob(CertifySpec):
    """A certification job."""

    validate_only: ValidateOnly = False


@record
class PredictJob(PredictSpec):
    """A prediction job."""

    validate_only: ValidateOnly = False


JobRequest = Annotated[TrainJob | CertifyJob | PredictJob, Field(discriminator="kind")]
KINDS = ("train", "certify", "predict")


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetRequest(Request):
    """A data set out of uploads, or a built-in one; the format is found out where it is not given."""

    name: Name
    files: Annotated[list[UploadReference] | None, Field(min_length=1, max_length=100)] = None
    builtin: Literal["digits"] | None = None
    format: Literal["npz", "idx", "cifar", "zip"] | None = None
    class_names: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]] | None,
        Field(min_length=2, max_length=100_000),
    ] = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.files is None) == (self.builtin is None):
            raise ValueError("expected exactly one of files (names of uploads) and builtin")
        return self


class CheckpointRequest(Request):
    """A checkpoint out of an upload; what the file does not say of itself is given here."""

    name: Name
    file: UploadReference | None = None
    files: Annotated[list[UploadReference] | None, Field(min_length=1, max_length=100)] = None
    architecture: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    num_classes: Annotated[int | None, Field(ge=2, le=100_000)] = None
    input_shape: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...] | None,
        Field(min_length=3, max_length=3, description="channels, height, width"),
    ] = None
    normalization: NormalizationChoice | None = None
    sigma: Annotated[Sigma | None, Field(description="noise level it was trained with, [0, 1]-pixel units")] = None
    method: Annotated[str | None, Field(min_length=1, max_length=100, description="how it was trained")] = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.files is None) == (self.file is None):
            raise ValueError("expected exactly one of file and files (names of uploads)")
        return self
