"""What the service answers: records shared by the routes and the Python client. Request bodies are in ``requests``.

Unknown fields are ignored, so that an older client reads a newer service. Times are RFC 3339 in UTC, durations seconds,
radii [0, 1]-pixel l2 units in full precision; an abstention is ``null``.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from radii.rs_core.specs.fields import Sampling

Item = TypeVar("Item")

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_WAIT = 60.0
"""Seconds that ``?wait=`` waits at most."""
MOST_NUMBERS = 200_000
"""Class counts and other numbers in lists, of all rows of one page; a page has at least one row."""

UNITS = "in [0, 1]-pixel units, l2; of AutoAttack in those of its norm (linf by default)"
"""Of the points of an evaluation, and of distances to them."""

JobKind = Literal["train", "certify", "predict", "soft_labels", "verify", "evaluate", "convert"]
WorkUnit = Literal["noise samples", "optimiser steps", "passes", "images", "conversions"]
JobState = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired"]
ResourceState = Literal["pending", "ready", "rejected"]


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Fault(Answer):
    """One wrong field of a request."""

    location: str
    expected: str
    got: str


class Problem(Answer):
    """Any error, as RFC 9457 has it; ``detail`` is one sentence that says what was expected and what came."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    expected: str | None = None
    got: str | None = None
    where: str | None = None
    errors: Annotated[list[Fault] | None, Field(description="the first wrong fields, at most 20")] = None
    more_errors: Annotated[int | None, Field(description="how many more there are")] = None


class Page(Answer, Generic[Item]):
    """Some items of a list; ``next_cursor`` asks for those that follow, and is null on the last page."""

    items: list[Item]
    next_cursor: str | None = None


class Upload(Answer):
    """A file of a tenant, by name; its content is named by its SHA-256."""

    id: str
    name: str
    sha256: str
    size: Annotated[int, Field(description="bytes")]
    created: datetime


class PartUpload(Answer):
    """A file that comes in parts, and which of them have not come."""

    id: str
    name: str
    size: Annotated[int, Field(description="bytes in all")]
    part_size: Annotated[int, Field(description="bytes of each part but the last one, which has what is left")]
    parts: int
    missing: Annotated[list[int], Field(description="numbers of the parts that have not come, from 0 on")]
    sha256: str | None = None
    upload: Annotated[str | None, Field(description="the upload that was made of it, once it is complete")] = None
    created: datetime


class Part(Answer):
    """A part that has come."""

    number: int
    size: int
    sha256: str


class CorruptedGroup(Answer):
    """The images of one corruption: those of each severity in turn, in equal numbers."""

    corruption: str
    severities: list[int]
    start: Annotated[int, Field(description="index of the first")]
    count: int


class CorruptedImages(Answer):
    """What was done to the images of a data set (Hendrycks and Dietterich 2019, arXiv 1903.12261)."""

    constants: Annotated[str, Field(description="whose strengths the severities are: ImageNet-C or CIFAR-10-C")]
    library: str | None = None
    version: str | None = None
    seed: int | None = None
    clean_hash: Annotated[str | None, Field(description="content hash of the clean data set")] = None
    inputs: Annotated[dict[str, Any] | None, Field(description="which of its images each group holds")] = None
    padded: Annotated[
        bool, Field(description="images of fewer than 32 pixels: padded by their edges, and cut back")
    ] = False
    rounded: Annotated[bool, Field(description="pixels were brought to whole multiples of 1/255 before")] = False
    groups: list[CorruptedGroup]


class Dataset(Answer):
    """A data set. While it is ``pending``, ``job`` is the conversion to wait for; ``ready``, it says what it is."""

    id: str
    name: str
    state: ResourceState
    created: datetime
    job: Annotated[str | None, Field(description="the job that makes it")] = None
    count: int | None = None
    shape: Annotated[list[int] | None, Field(description="channels, height, width")] = None
    num_classes: int | None = None
    class_names: Annotated[
        list[str] | None,
        Field(description="the first 1,000 in the order of the labels, all at `/class_names`; null in lists"),
    ] = None
    content_hash: Annotated[str | None, Field(description="SHA-256 of images, labels and class names")] = None
    sha256: Annotated[str | None, Field(description="of the stored file, see /v1/blobs")] = None
    corrupted: Annotated[CorruptedImages | None, Field(description="of a data set of corrupted images")] = None
    photographs: Annotated[int | None, Field(description="as declared: image i shows photograph i modulo it")] = None
    source: dict[str, Any] = {}
    deleted: Annotated[list[str], Field(description="what this names and what has been deleted since")] = []
    problem: Problem | None = None


class CheckpointPart(Answer):
    """A model that another one is made of, as it was then; its row may be gone."""

    id: str | None = None
    sha256: Annotated[str | None, Field(description="of the file that it came from")] = None
    architecture: str | None = None
    sigma: float | None = None
    method: str | None = None


class Checkpoint(Answer):
    """A trained base classifier, from an upload, from a training job, or composed of others; or a denoiser, which has no
    classes and becomes part of a classifier."""

    id: str
    name: str
    state: ResourceState
    created: datetime
    job: Annotated[str | None, Field(description="the job that makes it")] = None
    architecture: str | None = None
    input_shape: Annotated[list[int] | None, Field(description="channels, height, width")] = None
    num_classes: int | None = None
    sigma: Annotated[float | None, Field(description="noise level it was trained with, [0, 1]-pixel units")] = None
    method: str | None = None
    role: Literal["classifier", "denoiser"] = "classifier"
    composition: Annotated[
        dict[str, Any] | None, Field(description="how it is made of its parts, by `kind`; null: it is one network")
    ] = None
    parts: Annotated[list[CheckpointPart] | None, Field(description="in the order of the composition")] = None
    sha256: Annotated[str | None, Field(description="of the stored file, see /v1/blobs")] = None
    info: Annotated[
        dict[str, Any] | None,
        Field(description="what the file says of itself, with the first 1,000 class names; null in lists"),
    ] = None
    source: dict[str, Any] = {}
    deleted: Annotated[list[str], Field(description="what this names and what has been deleted since")] = []
    problem: Problem | None = None


class Architecture(Answer):
    """A network that this service can build."""

    name: str
    source: Annotated[
        Literal["ours", "torchvision", "registered"], Field(description="registered: added by whoever runs the service")
    ] = "ours"
    input_shape: Annotated[
        list[int] | None,
        Field(description="channels, height, width; null: `channels`, null for any, and any sides that fit"),
    ] = None
    channels: int | None = None
    smallest_side: Annotated[int, Field(description="where the sides are free, in pixels")] = 1
    side_multiple: Annotated[int, Field(description="free sides are multiples of it")] = 1
    square: Annotated[bool, Field(description="whether free sides must be equal")] = False
    role: Annotated[
        Literal["classifier", "denoiser"], Field(description="a denoiser becomes part of a classifier (compose)")
    ] = "classifier"
    description: str
    reference: str


class Preset(Answer):
    """A published setting; a training job takes it by its name.

    ``notes`` are remarks by field of ``spec`` (``method.weight``), or on ``published``.
    """

    name: str
    description: str
    source: Annotated[str, Field(description="the repository, paper or log that it is from")]
    notes: dict[str, str]
    uncertain: Annotated[
        list[str], Field(description="the fields whose note says that the value is a guess, recalled or disputed")
    ]
    published: Annotated[float | None, Field(description="average certified radius, as it was reported")] = None
    where: Annotated[str | None, Field(description="by whom, and on which images")] = None
    spec: Annotated[dict[str, Any], Field(description="fields of a training job; the data sets are missing")]


class Method(Answer):
    """A training method and the JSON schema of its hyper-parameters, defaults included."""

    name: str
    description: str
    reference: Annotated[str | None, Field(description="the paper")] = None
    hyper_parameters: dict[str, Any]


class Progress(Answer):
    """How far a job is. ``fraction``, ``rate`` and ``eta_seconds`` count unfinished inputs too."""

    done: int
    total: int
    unit: Literal["inputs", "epochs", "conversions"]
    work_done: int
    work_total: int
    work_unit: WorkUnit
    fraction: float
    rate: Annotated[float | None, Field(description="work units per second")] = None
    eta_seconds: float | None = None
    device_seconds: float = 0.0


class RadiusCount(Answer):
    """How many inputs are certified at one radius; shares of all inputs of the job, and of those that are done."""

    radius: float
    count: int
    certified_accuracy: float
    certified_accuracy_over_done: float | None = None


class CertifySummary(Answer):
    """Running sums. ``acr`` and shares are over all inputs of the job: what is not done counts as not certified.

    The ``..._over_done`` values are over the inputs that are done, and are null before the first. ``abstained``
    includes ``errors``.
    """

    kind: Literal["certify"] = "certify"
    sampling: Annotated[Sampling, Field(description="how: ACRs of different ones are not to be ranked")] = "fixed"
    partial: bool
    inputs_total: int
    inputs_done: int
    acr: float
    acr_over_done: float | None = None
    correct: int
    abstained: int
    at_cap: int
    errors: int
    certified_accuracy: list[RadiusCount]


class PredictSummary(Answer):
    """Running sums; ``accuracy`` is over all inputs of the job, ``accuracy_over_done`` over those that are done."""

    kind: Literal["predict", "soft_labels"] = "predict"
    partial: bool
    inputs_total: int
    inputs_done: int
    correct: int
    accuracy: float
    accuracy_over_done: float | None = None
    abstained: int
    errors: int


class TrainSummary(Answer):
    """The last epoch's numbers."""

    kind: Literal["train"] = "train"
    partial: bool
    epochs_total: int
    epochs_done: int
    loss: float | None = None
    accuracy: Annotated[float | None, Field(description="on the noisy training inputs")] = None
    test_accuracy: Annotated[float | None, Field(description="under noise, on the test data set")] = None
    acr: Annotated[
        float | None, Field(description="of the last periodic certification, on its inputs of the test data set")
    ] = None


class PointCount(Answer):
    """How many inputs are right at one point of an evaluation; shares of all inputs of the job, and of those that are done."""

    point: Annotated[float, Field(description=f"attack radius, or length of the search, {UNITS}")]
    count: int
    share: float
    share_over_done: float | None = None


class EvaluateSummary(Answer):
    """Running sums: at each point, the inputs on which the answer is the label; an abstention is not. More is in the report."""

    kind: Literal["evaluate"] = "evaluate"
    evaluation: str
    partial: bool
    inputs_total: int
    inputs_done: int
    errors: int
    right: list[PointCount]


Summary = Annotated[CertifySummary | PredictSummary | TrainSummary | EvaluateSummary, Field(discriminator="kind")]


class JobBrief(Answer):
    """A job that another one needs, and what that one needs in turn."""

    id: str
    kind: JobKind
    state: JobState
    auto: Annotated[bool, Field(description="it was made because another job needs it")] = False
    fraction: Annotated[float, Field(description="of its work that is done")]
    needs: "JobBrief | None" = None


class Job(Answer):
    """A job: what was asked for, how far it is, what came of it. ``spec`` has every default filled in."""

    id: str
    kind: JobKind
    state: JobState
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    priority: int = 0
    deadline: Annotated[datetime | None, Field(description="when it is stopped, and ends as expired")] = None
    spec: dict[str, Any]
    dataset: str | None = None
    test_dataset: str | None = None
    checkpoint: Annotated[str | None, Field(description="the one it reads; of a training job, the one it makes")] = None
    progress: Progress
    summary: Summary | None = None
    execution: Annotated[
        dict[str, Any] | None, Field(description="device, precision, batch size, threads: fixed at the first claim")
    ] = None
    provenance: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    problem: Problem | None = None
    auto: Annotated[bool, Field(description="it was made because another job needs it")] = False
    needs: Annotated[
        JobBrief | None, Field(description="it stays queued until this job has succeeded, and fails where it does not")
    ] = None
    deleted: Annotated[list[str], Field(description="what this names and what has been deleted since")] = []
    links: dict[str, str] = {}
    warnings: Annotated[
        list[str],
        Field(
            description="of one job alone, not in lists: what makes its results implausible, such as too small an n, one class "
            "for all inputs or accuracy at chance level"
        ),
    ] = []


class JobEvent(Answer):
    """Something that has happened to a job: a change of its state, by its new state, or something that is noted on the
    way."""

    job: str
    seq: Annotated[int, Field(description="its number, the event's `id` in the stream; numbers grow, by one each")]
    type: str
    created: datetime
    data: dict[str, Any]


class EventProgress(Answer):
    """How much of a job is done, as its stream of events tells about once a second."""

    done: Annotated[int, Field(description="inputs or epochs that are finished")]
    total: int
    work_done: Annotated[int, Field(description="noise samples or optimiser steps")]
    work_total: int
