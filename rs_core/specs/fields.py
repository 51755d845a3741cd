"""What every record of a specification is made of: the ``record`` decorator and the fields that several of them share.

The records are in ``jobs``, ``training`` and ``methods`` (hyper-parameters of the training methods).
"""

import dataclasses
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def record(cls: type[T]) -> type[T]:
    """A frozen, keyword-only record that refuses unknown fields, infinities and NaN."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[return-value]


class AnyJob:
    """What can be asked of the specification of any job; a kind overrides what is different there."""

    @property
    def execution(self) -> dict[str, Any]:
        """How the job asks to be run, fixed with its first claim; None: as its first worker finds best."""
        return {}

    @property
    def pinned(self) -> bool:
        """Whether all workers of the job have the same type of device, since noise depends on it."""
        return False

    @property
    def start_from(self) -> str | None:
        """The checkpoint whose weights a training starts from."""
        return None

    @property
    def compared_with(self) -> str | None:
        """The certify job whose certificates the results are compared with."""
        return None


JOB, NETWORK, LEARNING_RATE, IMAGES = "Job", "Training", "Learning rate", "Images"
SAMPLING, INPUTS, MACHINE, ASKED = "Sampling", "Inputs", "Machine", "What is asked"
"""Groups of fields, as help shows them."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """How a command line offers a field: in which group, and what its help says.

    ``unset`` says what holds where the field is not given and its default is no value, or is better said in words; ``metavar``
    stands for the value; ``option`` is the option's name, where it is not the field's.
    """

    group: str
    help: str
    metavar: str | None = None
    unset: str | None = None
    option: str | None = None


def refused(where: str, expected: str, got: object) -> PydanticCustomError:
    """What a record's validator raises where its fields do not go together: ``where`` is the one to change."""
    return PydanticCustomError("refused", "{expected}", {"where": where, "expected": expected, "got": str(got)})


UNKNOWN_LABEL = -1
"""Label of an image whose class is not known; such an image is never correct."""
MAX_SAMPLES = 100_000_000
MAX_COPIES = 1_024
MAX_ATTACK_STEPS = 1_000
MAX_SEED = 2**63 - 1
MAX_ALPHA = 0.5
USUAL_ALPHA = 0.001
"""Failure probability where nobody chooses one."""

Sigma = Annotated[float, Field(gt=0, le=100, description="noise level: standard deviation, in [0, 1]-pixel units")]
Alpha = Annotated[
    float,
    Field(gt=0, le=MAX_ALPHA, description="failure probability, per input"),
    Flag(SAMPLING, "Failure probability, per input."),
]
Precision = Literal["fp32", "bf16"]
Sampling = Literal["fixed", "at_radii", "anytime", "pilot"]
Bound = Literal["one_sided", "two_class", "mixed"]
RobustWeight = Annotated[float, Field(ge=0, le=1, description="of the robust classifier in a mix; 1: it alone")]
Noise = Literal["gaussian", "discrete"]
Seed = Annotated[
    int,
    Field(ge=0, le=MAX_SEED, description="names every noise stream of the job"),
    Flag(JOB, "Names every noise stream: equal seeds, equal counts."),
]
Reference = Annotated[str, Field(min_length=1, max_length=4096)]

Copies = Annotated[int, Field(ge=1, le=MAX_COPIES, description="noise samples per training image and step (m)")]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Steps = Annotated[int, Field(ge=0, le=MAX_ATTACK_STEPS, description="steps of the attack (T)")]
Epsilon = Annotated[float, Field(ge=0, le=1e4, description="attack radius, l2, in [0, 1]-pixel units")]
WarmUp = Annotated[int, Field(ge=1, le=10_000)]


@record
class Selection:
    """Which inputs of a data set a job looks at: ``start, start + step, ...``, at most ``count`` of them."""

    start: Annotated[
        int, Field(ge=0, description="index of the first input"), Flag(INPUTS, "Index of the first input.")
    ] = 0
    step: Annotated[
        int,
        Field(ge=1, description="every step-th input; 20 on CIFAR-10 gives Cohen's 500 images"),
        Flag(INPUTS, "Take every STEP-th input; 20 on CIFAR-10 gives Cohen's 500."),
    ] = 1
    count: Annotated[
        int | None,
        Field(ge=1, description="at most this many inputs; null for all"),
        Flag(INPUTS, "At most this many inputs.", unset="all"),
    ] = None

    def indices(self, size: int) -> range:
        """The chosen indices of a data set of ``size`` inputs."""
        every = range(self.start, size, self.step)
        return every if self.count is None else every[: self.count]


@record
class Normalization:
    """Per-channel affine map inside the model, after the noise: ``(x - mean) / std``, in [0, 1]-pixel units."""

    mean: Annotated[tuple[Annotated[float, Field(ge=-1e3, le=1e3)], ...], Field(min_length=1, max_length=64)]
    std: Annotated[tuple[Annotated[float, Field(ge=1e-6, le=1e3)], ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _same_length(self) -> "Normalization":
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std must have one entry per channel each, got {len(self.mean)} and {len(self.std)}"
            )
        return self


NORMALIZATIONS: dict[str, Normalization | None] = {
    "none": None,
    "cifar10": Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
    "cifar100": Normalization(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)),
    "imagenet": Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
}

NormalizationChoice = Annotated[
    Literal["none", "cifar10", "cifar100", "imagenet"] | Normalization,
    Field(description="first layer of the model, after the noise; by name or as mean and std per channel"),
]


def normalization(choice: str | Normalization) -> Normalization | None:
    """The record behind a choice; ``None`` is the identity."""
    return NORMALIZATIONS[choice] if isinstance(choice, str) else choice
