"""What the service answers to ``validate_only``: the work that a job would be, and what a certification would find.

Records as in ``responses``, whose rules they follow.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from radii.service.schemas.responses import Answer, JobKind, JobState, WorkUnit


class PlannedNeed(Answer):
    """A job that has to succeed first: one that is there (``job``), or one that would be made."""

    kind: JobKind
    job: Annotated[str | None, Field(description="null: it would be made")] = None
    state: JobState | None = None
    spec: dict[str, Any]
    work: Annotated[int, Field(description="that would be added")] = 0
    work_unit: WorkUnit | None = None
    shards: int = 0
    estimated_seconds: Annotated[float, Field(description="that would be added, on two CPU cores")] = 0.0


class TypicalInput(Answer):
    """What a typical input of one probability would get: ``p`` of its noise samples are classified alike."""

    p: float
    samples: Annotated[int, Field(description="noise samples that would be drawn")]
    radius: Annotated[float, Field(description="certified l2 radius, [0, 1]-pixel units; 0: abstained")]


class WithinBudget(Answer):
    """The largest n, of two digits, that the time given would be enough for, and what would come of it."""

    n: int
    samples_per_input: float
    estimated_seconds: float
    cap: Annotated[float, Field(description="the largest radius there could be")]
    acr: float | None = None


class Forecast(Answer):
    """What a certification would draw and certify. ``acr`` and ``samples_per_input`` are expected where ``basis`` names an
    earlier job with the same model, data and noise level, whose votes they are computed from."""

    cap: Annotated[float, Field(description="the largest radius there can be")]
    inputs_like: Annotated[list[TypicalInput], Field(description="by the probability of their class")]
    samples_per_input: float | None = None
    acr: float | None = None
    basis: str | None = None
    basis_inputs: Annotated[int, Field(description="inputs of that job that it was computed from")] = 0
    basis_votes: Annotated[int, Field(description="noise samples of each of them, on average")] = 0
    within_budget: Annotated[
        WithinBudget | None,
        Field(description="by `budget_seconds`; null without it, and where even the smallest n takes longer"),
    ] = None


class Plan(Answer):
    """What a job would be: the answer to ``validate_only``. The job's own work does not contain that of ``needs``."""

    valid: Literal[True] = True
    kind: JobKind
    spec: dict[str, Any]
    inputs: Annotated[int, Field(description="inputs of the data set that the job would look at")]
    work: int
    work_unit: WorkUnit
    shards: int
    estimated_seconds: Annotated[
        float, Field(description="of device time, at the rate of earlier jobs of yours; without any, on two CPU cores")
    ]
    rate: Annotated[
        float | None, Field(description="noise samples a second that earlier jobs of yours with such a model had")
    ] = None
    forecast: Annotated[Forecast | None, Field(description="of a certify job")] = None
    warnings: Annotated[
        list[str],
        Field(default_factory=list, description="what makes the job hardly worth running, such as too small an n"),
    ]
    needs: Annotated[
        list[PlannedNeed],
        Field(default_factory=list, description="what has to be done first, the last of it first of all"),
    ]
