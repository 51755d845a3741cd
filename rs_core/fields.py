"""What every record of a specification is made of: the ``record`` decorator and the fields that several of them share.

The records themselves are in ``spec`` (jobs) and ``method_spec`` (training methods).
"""

from typing import Annotated, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def record(cls: type[T]) -> type[T]:
    """A frozen, keyword-only record that refuses unknown fields, infinities and NaN."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[return-value]


def refused(where: str, expected: str, got: object) -> PydanticCustomError:
    """What a record's validator raises where its fields do not go together: ``where`` is the one to change."""
    return PydanticCustomError("refused", "{expected}", {"where": where, "expected": expected, "got": str(got)})


MAX_SAMPLES = 100_000_000
MAX_COPIES = 1_024
MAX_ATTACK_STEPS = 1_000
MAX_SEED = 2**63 - 1
MAX_ALPHA = 0.5

Sigma = Annotated[float, Field(gt=0, le=100, description="noise level: standard deviation, in [0, 1]-pixel units")]
Alpha = Annotated[float, Field(gt=0, le=MAX_ALPHA, description="failure probability, per input")]
Precision = Literal["fp32", "bf16"]
Sampling = Literal["fixed", "at_radii", "anytime", "pilot"]
Bound = Literal["one_sided", "two_class"]
Noise = Literal["gaussian", "discrete"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="names every noise stream of the job")]
Reference = Annotated[str, Field(min_length=1, max_length=4096)]

Copies = Annotated[int, Field(ge=1, le=MAX_COPIES, description="noise samples per training image and step (m)")]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Steps = Annotated[int, Field(ge=0, le=MAX_ATTACK_STEPS, description="steps of the attack (T)")]
Epsilon = Annotated[float, Field(ge=0, le=1e4, description="attack radius, l2, in [0, 1]-pixel units")]
WarmUp = Annotated[int, Field(ge=1, le=10_000)]
