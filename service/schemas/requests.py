"""What a request may bring: the bodies, in which an unknown field is an error.

A job's body is a specification of ``radii.rs_core.specs.jobs`` with a few fields of the request in addition, at the same level.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.data.dataset_info import MAX_CLASS_NAMES_TEXT
from radii.rs_core.errors import UnknownPreset
from radii.rs_core.literature import presets
from radii.rs_core.specs.composition import MOST_PARTS, Denoised, Ensemble, RobustWeight, Scales
from radii.rs_core.specs.fields import refused
from radii.rs_core.specs.jobs import (
    AdaptiveSmoothing,
    CertifySpec,
    EvaluateSpec,
    NormalizationChoice,
    PredictSpec,
    Sigma,
    SoftLabelSpec,
    TrainSpec,
    VerifySpec,
    record,
)

NAME = r"^[^\x00-\x1f\x7f]+$"
CLASS_NAME = r"^[^\x00-\x1f]*$"
UPLOAD_NAME = r"^([^\x00-\x1f\x7f/\\.]|\.+[^\x00-\x1f\x7f/\\.])[^\x00-\x1f\x7f/\\]*$"
DIGEST = "^[0-9a-f]{64}$"
HEADER_TEXT = r"^[\x20-\x7e]+$"
PATTERNS = {
    NAME: "text without control characters",
    CLASS_NAME: "text without control characters",
    UPLOAD_NAME: "1 to 255 characters that are not dots alone, without slashes, backslashes and control characters",
    DIGEST: "64 hexadecimal digits in lower case",
    HEADER_TEXT: "text of printable ASCII characters",
}
"""What each of them says in words."""


def printable(text: str) -> str:
    """Refuses characters that cannot be seen: two names that look the same must be the same."""
    if not text.isprintable():
        hidden = next(character for character in text if not character.isprintable())
        raise ValueError(f"expected visible characters and plain spaces only, got U+{ord(hidden):04X}")
    return text


Name = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=NAME, description="for people; need not be unique"),
    AfterValidator(printable),
]
UploadName = Annotated[
    str,
    Field(
        pattern=UPLOAD_NAME,
        max_length=255,
        description="1 to 255 visible characters without slashes",
    ),
    AfterValidator(printable),
]
STATED = ("architecture", "num_classes", "input_shape", "normalization", "sigma", "method")
"""What a request may say of a checkpoint's file."""
UploadReference = Annotated[
    str, Field(min_length=1, max_length=255, description="name, identifier or SHA-256 of an upload of yours")
]
PresetName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(presets.names())})]


@record
class RequestOptions:
    """What the request for a job says beside its specification: whether to make it, when, and until when."""

    validate_only: Annotated[bool, Field(description="check and estimate, but make no job")] = False
    priority: Annotated[
        int, Field(ge=-100, le=100, description="of your own jobs, one of a higher priority is worked on first")
    ] = 0
    deadline_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=366 * 86_400.0,
            description="seconds from the submission after which the job is stopped, and ends as expired; what it has "
            "found until then stays. A certification by anytime is valid then, and of the others what is done. null: never",
        ),
    ] = None

    @property
    def name(self) -> str | None:
        """What the resource that the job makes is to be called."""
        return None

    @property
    def preset(self) -> str | None:
        """The published setting that it is from."""
        return None

    @property
    def budget_seconds(self) -> float | None:
        """Device time that a plan is to fit."""
        return None


@record
class TrainJob(TrainSpec, RequestOptions):
    """A training job; ``name`` is given to the checkpoint that it makes.

    With a ``preset`` every field but the data sets may be left out. What the body says goes before the preset; its
    ``method`` is added to the preset's field by field where it has the same name or none.
    """

    name: Name | None = None
    preset: Annotated[PresetName | None, Field(description="a published setting, by its name in /v1/presets")] = None

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, body: Any) -> Any:
        return _expanded(body) if isinstance(body, Mapping) and body.get("preset") is not None else body

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        _document_preset(handler.resolve_ref_schema(schema))
        return schema


@record
class CertifyJob(CertifySpec, RequestOptions):
    """A certification job."""

    budget_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e9,
            description="with validate_only: device time that there is, in seconds; the forecast shows the largest n for it",
        ),
    ] = None

    @model_validator(mode="after")
    def _budget_of_a_plan(self) -> Self:
        if self.budget_seconds is not None and not self.validate_only:
            raise ValueError("expected budget_seconds with validate_only, whose answer shows what fits, got it without")
        return self


@record
class PredictJob(PredictSpec, RequestOptions):
    """A prediction job."""


@record
class SoftLabelJob(SoftLabelSpec, RequestOptions):
    """A job of votes on a training set, for CAT-RS."""


@record
class VerifyJob(VerifySpec, RequestOptions):
    """An audit of a certification job."""


@record
class EvaluateJob(EvaluateSpec, RequestOptions):
    """An evaluation of a classifier beside its certificates."""


AnyJobRequest = TrainJob | CertifyJob | PredictJob | SoftLabelJob | VerifyJob | EvaluateJob
JobRequest = Annotated[AnyJobRequest, Field(discriminator="kind")]
RECORDS = get_args(AnyJobRequest)
KINDS = tuple(record.kind for record in RECORDS)


def _expanded(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its preset's fields; a preset that there is not is a fault of the field ``preset``."""
    try:
        return {**presets.apply(body), "preset": body["preset"]}
    except UnknownPreset as error:
        fault = PydanticCustomError("unknown_preset", "{choice}", {"choice": error.expected})
        found = InitErrorDetails(type=fault, loc=("preset",), input=body["preset"])
        raise ValidationError.from_exception_data("TrainJob", [found]) from None


def _document_preset(schema: dict[str, Any]) -> None:
    """What a preset fills in is not required beside one, and then ``method`` needs no name."""
    if "anyOf" in schema:
        return
    filled = [name for name in schema["required"] if name not in ("dataset", "kind")]
    schema["required"] = [name for name in schema["required"] if name not in filled]
    schema["anyOf"] = [
        {"title": "Written out", "required": filled},
        {"title": "From a preset", "required": ["preset"], "properties": {"preset": {"type": "string"}}},
        {
            "title": "The mixing network of a mix",
            "required": ["start_from", "method"],
            "properties": {"method": {"required": ["name"], "properties": {"name": {"const": AdaptiveSmoothing.name}}}},
        },
    ]
    method = schema["properties"]["method"]
    choice = {name: method.pop(name) for name in ("oneOf", "discriminator")}
    some = {
        "title": "Some of the preset's method",
        "description": "with a preset: hyper-parameters of its method, under their names",
        "type": "object",
        "not": {"required": ["name"]},
    }
    method["anyOf"] = [choice, some]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class UploadRequest(Request):
    """A file that will come in parts."""

    name: UploadName
    size: Annotated[int, Field(ge=1, le=2**50, description="bytes")]
    sha256: Annotated[
        str | None,
        Field(
            pattern=DIGEST,
            description="of the whole, in hex: checked in the end, and by it an upload that was cut off is found again",
        ),
    ] = None


class DatasetRequest(Request):
    """A data set out of uploads, a built-in one, or corrupted images of another data set; the format is found out where it
    is not given."""

    name: Name
    files: Annotated[list[UploadReference] | None, Field(min_length=1, max_length=100)] = None
    builtin: Literal["digits"] | None = None
    corrupt: CorruptSpec | None = None
    format: Literal["npz", "idx", "cifar", "zip", "cifar10c"] | None = None
    class_names: Annotated[
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=200, pattern=CLASS_NAME)]],
            Field(min_length=2, max_length=100_000, fail_fast=True),
        ]
        | None,
        Field(description="in the order of the labels; at most 100,000 names of 200 characters, 524,288 in all"),
    ] = None
    resize: Annotated[
        int | None,
        Field(
            ge=1,
            le=4096,
            description="of a zip of class folders: resize each photograph so that its shorter side has so many pixels "
            "(bilinear, antialiased; 256 published for ImageNet); null: as it is",
        ),
    ] = None
    center_crop: Annotated[
        int | None,
        Field(
            ge=1,
            le=4096,
            description="then cut the square of this side, in pixels, from its middle (224 published for testing on "
            "ImageNet); null: all of it",
        ),
    ] = None
    photographs: Annotated[
        int | None,
        Field(
            ge=2,
            le=2**31,
            description="of files of corrupted images: how many photographs they show; image i shows photograph i modulo this "
            "(10000 in CIFAR-10-C). Intervals and tests then resample photographs. null: each image shows another one",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (text := sum(map(len, self.class_names or ()))) > MAX_CLASS_NAMES_TEXT:
            got = f"{text:,} characters; shorten the names"
            raise refused("class_names", f"names of at most {MAX_CLASS_NAMES_TEXT:,} characters together", got)
        others = ("format", "class_names", "resize", "center_crop", "photographs")
        if self.corrupt is not None and any(getattr(self, name) is not None for name in others):
            raise ValueError(f"expected {', '.join(others)} with files, got one of them with corrupt")
        if self.builtin is not None and (self.resize is not None or self.center_crop is not None):
            raise ValueError(
                "expected resize and center_crop with files (a zip of class folders), got them with builtin"
            )
        if self.builtin is not None and self.photographs is not None:
            raise ValueError("expected photographs with files of corrupted images, got it with builtin")
        if sum(source is not None for source in (self.files, self.builtin, self.corrupt)) != 1:
            raise ValueError("expected exactly one of files (names of uploads), builtin and corrupt")
        return self


PartReference = Annotated[str, Field(min_length=1, max_length=100, description="identifier of a checkpoint of yours")]
TwoParts = Annotated[list[PartReference], Field(min_length=2, max_length=2)]


@record
class ComposeEnsemble(Ensemble):
    """The mean of the logits of two or more classifiers."""

    parts: Annotated[list[PartReference], Field(min_length=2, max_length=MOST_PARTS)]


@record
class ComposeDenoised(Denoised):
    """A denoiser before a classifier."""

    parts: Annotated[TwoParts, Field(description="the denoiser, then the classifier")]


@record
class ComposeMixed(Scales):
    """A standard and a robust classifier, mixed in their probabilities with a constant weight."""

    kind: Literal["mixed"] = "mixed"
    parts: Annotated[TwoParts, Field(description="the standard classifier, then the robust one")]
    robust_weight: RobustWeight


Compose = Annotated[ComposeEnsemble | ComposeDenoised | ComposeMixed, Field(discriminator="kind")]


class CheckpointRequest(Request):
    """A checkpoint out of an upload, where what the file does not say of itself is given here; or one that is composed of
    checkpoints, and needs them no more once it is ready."""

    name: Name
    file: UploadReference | None = None
    files: Annotated[list[UploadReference] | None, Field(min_length=1, max_length=100)] = None
    compose: Annotated[Compose | None, Field(description="of which checkpoints it is made, and how")] = None
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
        if [self.files, self.file, self.compose].count(None) != 2:
            raise ValueError("expected exactly one of file, files (names of uploads) and compose")
        stated = [name for name in STATED if getattr(self, name) is not None]
        if self.compose is not None and stated:
            raise ValueError(f"expected nothing beside compose, whose parts say what they are, got {', '.join(stated)}")
        return self
