"""What a request for predictions is answered; what it may ask is in ``prediction_query``."""

from typing import Annotated

from pydantic import Field

from radii.service.schemas.responses import Answer, JobState, Problem

COUNTS = (
    "class counts; null where all images of the answer have more than 200,000 together: `/v1/jobs/{id}/certificates` has them, "
    "page by page"
)


class SmoothedPrediction(Answer):
    """The smoothed classifier's answer for one image, with the votes it rests on. It holds with probability 1 - alpha,
    however many of the samples have been drawn, and stays valid when a later one says more."""

    index: Annotated[int, Field(description="place of the image in the request, from 0 on")]
    prediction: Annotated[int | None, Field(description="null: abstained")]
    class_name: str | None = None
    abstained: bool
    radius: Annotated[float, Field(description="certified l2 radius, [0, 1]-pixel units")]
    p_lower: Annotated[float, Field(description="lower bound on the probability of the class")]
    n0: Annotated[int, Field(description="selection samples that were drawn")]
    n: Annotated[int, Field(description="estimation samples that were drawn until now")]
    counts0: Annotated[list[int] | None, Field(description=COUNTS)]
    counts: Annotated[list[int] | None, Field(description=COUNTS)]
    at_cap: Annotated[bool, Field(description="whether all samples voted for the class")]
    seconds: Annotated[float, Field(description="that the image had of the worker's time")]
    error: Annotated[str | None, Field(description="why the image was given up, where it was")] = None


class Predictions(Answer):
    """What is known of a request's images so far. ``complete``: nothing more will come, and all images have their
    ``n`` samples."""

    job: Annotated[str, Field(description="the job behind it, see /v1/jobs")]
    state: JobState
    complete: bool
    checkpoint: str
    images: int
    sigma: float
    n: Annotated[int, Field(description="samples that each image gets in the end")]
    alpha: Annotated[float, Field(description="failure probability of each prediction")]
    seed: int
    predictions: Annotated[list[SmoothedPrediction], Field(description="of the images that have one, in their order")]
    problem: Annotated[Problem | None, Field(description="what has stopped it")] = None
    warnings: Annotated[
        list[str],
        Field(
            default_factory=list,
            description="what makes the predictions implausible, such as too small an n, one class for all images or the "
            "maximum radius for all of them",
        ),
    ]
