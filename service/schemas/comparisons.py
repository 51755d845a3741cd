"""What the service answers about comparisons and published results. Results of one job are in ``job_results``."""

from typing import Annotated, Any

from pydantic import Field

from radii.service.schemas.responses import Answer, JobState


class PublishedShare(Answer):
    """Certified accuracy at one radius, as it was printed."""

    radius: float
    percent: float


class Published(Answer):
    """A published result."""

    name: str
    dataset: str
    architecture: str
    method: str
    sigma: Annotated[float | None, Field(description="null: the best of several noise levels at each radius")]
    inputs: Annotated[int | None, Field(description="that were certified; null: not known")]
    acr: Annotated[float | None, Field(description="average certified radius, l2, [0, 1]-pixel units")]
    certified_accuracy: list[PublishedShare]
    source: Annotated[str, Field(description="the paper, poster, slides or log that it is from")]
    note: Annotated[str | None, Field(description="what is disputed, truncated, garbled or of another run")] = None


class ComparedSource(Answer):
    """Where a run of a comparison comes from: a job with its model and data, or an uploaded file."""

    name: Annotated[str, Field(description="the run's name in `results`")]
    job: str | None = None
    state: JobState | None = None
    model: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    procedure: dict[str, Any] | None = None
    file: str | None = None
    sha256: Annotated[str | None, Field(description="of the file")] = None


class Comparison(Answer):
    """Runs beside each other; ``results`` is ``radii.rs_core.comparisons.compare.Comparison``: runs, pairs with their tests, published figures,
    notes."""

    sources: list[ComparedSource]
    results: dict[str, Any]
