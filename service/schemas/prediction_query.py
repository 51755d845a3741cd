"""What a request for predictions may ask, beside its images."""

from typing import Annotated, Literal

from pydantic import Field

from radii.rs_core.specs.fields import MAX_SAMPLES, MAX_SEED, Alpha, Precision, Sigma
from radii.service.schemas.requests import Request
from radii.service.schemas.responses import MAX_WAIT

WAIT = 2.0
"""Seconds that a request waits where it does not say."""
MAX_SIDE = 4096


class PredictionQuery(Request):
    """The query of a request for predictions."""

    checkpoint: Annotated[str, Field(min_length=1, max_length=100, description="which model")]
    sigma: Annotated[Sigma | None, Field(description="noise level; null: that of the checkpoint, if it says")] = None
    n: Annotated[
        int, Field(ge=1, le=MAX_SAMPLES, description="noise samples for each image, at most: fewer come first")
    ] = 10_000
    alpha: Alpha = 0.001
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="names the noise; null: one that nobody knows beforehand")
    ] = None
    precision: Annotated[Precision, Field(description="of the forward passes")] = "fp32"
    resize: Annotated[
        int | None,
        Field(ge=1, le=MAX_SIDE, description="of PNG and JPEG files: shorter side that they are resized to, in pixels"),
    ] = None
    center_crop: Annotated[
        int | None,
        Field(ge=1, le=MAX_SIDE, description="then the side of the square that is cut from the middle, in pixels"),
    ] = None
    wait: Annotated[
        float, Field(ge=0, description=f"answer after so many seconds (at most {MAX_WAIT:g}) with what there is then")
    ] = WAIT
    until: Annotated[
        Literal["complete", "first"],
        Field(description="what to wait for: all n samples of every image, or the first votes of every image"),
    ] = "complete"
