"""What the service answers about results: certificates, predictions, epochs and reports. Resources, jobs and what holds for
all answers are in ``responses``.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from radii.rs_core.specs.fields import Bound, Noise, Precision, Sampling
from radii.service.schemas.responses import UNITS, Answer


class Certificate(Answer):
    """What is certified about one input, with the votes it rests on: each radius can be computed again."""

    index: int
    label: int | None
    prediction: Annotated[int | None, Field(description="null: abstained")]
    correct: bool
    radius: Annotated[float, Field(description="certified l2 radius, [0, 1]-pixel units")]
    p_lower: float
    counts0: list[int]
    counts: list[int]
    at_cap: bool
    p_upper: Annotated[float | None, Field(description="of every other class, where the bound is of two classes")] = (
        None
    )
    standard: Annotated[
        list[float] | None, Field(description="of a mix: the standard classifier's probabilities at the input")
    ] = None
    robust_weight: Annotated[float | None, Field(description="of a mix: that of the robust classifier")] = None
    n0: Annotated[int, Field(description="selection samples that were drawn")]
    n: Annotated[int, Field(description="estimation samples that were drawn")]
    sigma: float
    alpha: Annotated[float, Field(description="failure probability of this certificate")]
    seed: int
    sampling: Sampling = "fixed"
    radii: Annotated[tuple[float, ...], Field(description="at which at_radii was to settle it")] = ()
    bound: Bound = "one_sided"
    noise: Noise = "gaussian"
    precision: Precision = "fp32"
    seconds: float
    batch_size: Annotated[
        int | None, Field(description="noisy copies at once, where memory forced fewer than the job has")
    ] = None
    error: str | None = None


class Prediction(Answer):
    """The smoothed classifier's answer for one input, with the votes it rests on."""

    index: int
    label: int | None
    prediction: Annotated[int | None, Field(description="null: abstained")]
    correct: bool
    p_value: float
    counts: list[int]
    n: int
    sigma: float
    alpha: float
    seed: int
    seconds: float
    batch_size: Annotated[
        int | None, Field(description="noisy copies at once, where memory forced fewer than the job has")
    ] = None
    error: str | None = None


class Found(Answer):
    """What was found at one point of an evaluation, and what fresh noise says there."""

    point: Annotated[float, Field(description=f"attack radius, or length of the search, {UNITS}")]
    distance: Annotated[float, Field(description=f"of what was found from the input, {UNITS}")]
    prediction: Annotated[int | None, Field(description="PREDICT's class; null: abstained")]
    right: Annotated[bool, Field(description="whether that is the label")]
    counts: list[int]


class Evaluated(Answer):
    """What an evaluation has found of one input, point by point."""

    index: int
    label: int | None
    found: list[Found]
    seed: int
    seconds: float
    batch_size: Annotated[
        int | None, Field(description="images at once, where memory forced fewer than the job has")
    ] = None
    error: str | None = None


class CertifiedShare(Answer):
    """Certified accuracy at one radius."""

    radius: float
    share: float


class EpochCertification(Answer):
    """A periodic certification: its averages are over its own ``inputs``, those that abstained included."""

    inputs: int
    acr: float
    abstained: int
    certified_accuracy: list[CertifiedShare]


class Epoch(Answer):
    """What one epoch of a training job came to."""

    epoch: int
    steps: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    accuracy: float
    test_accuracy: float | None = None
    certification: Annotated[
        EpochCertification | None, Field(description="where the job asks for one, after some epochs")
    ] = None
    seconds: Annotated[float, Field(description="of training and test accuracy, without the certification")]


class Epochs(Answer):
    """A training job's epochs so far, in order."""

    items: list[Epoch]


class Report(Answer):
    """A report and all that is needed to compute it again; ``results`` is ``radii.rs_core.reports.certification.Report`` of a certification,
    ``radii.rs_core.reports.evaluation.EvaluationReport`` of an evaluation."""

    job: dict[str, Any]
    complete: bool
    valid: Annotated[
        Literal[True],
        Field(
            description="each certificate that is there holds as it stands, of a running or stopped job too; what is not done "
            "counts as not certified"
        ),
    ] = True
    model: dict[str, Any]
    dataset: dict[str, Any]
    procedure: dict[str, Any]
    execution: dict[str, Any]
    provenance: dict[str, Any]
    results: dict[str, Any]
    recompute: list[str]
