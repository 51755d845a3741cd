"""Answers about storage: what a tenant has stored, and how much it may store."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from radii.service.schemas.responses import Answer


class StoredKind(Answer):
    """What there is of one kind."""

    kind: Annotated[
        str,
        Field(
            description="`uploads`, `part_uploads` (unfinished), `datasets`, `checkpoints`, `predictions` (images of requests), "
            "`soft_labels`, `snapshots` (of trainings), `results` (rows of jobs, estimated), `expected_outputs` (of conversions "
            "that have not ended, estimated)"
        ),
    ]
    count: int
    bytes: Annotated[int, Field(description="a file shared by several items is counted once")]
    most: Annotated[int | None, Field(description="how many there may be, where that is limited")] = None


class UnfinishedUpload(Answer):
    """An upload in parts that was not completed; its announced size is charged until it is deleted or expires."""

    id: str
    name: str
    size: int
    created: datetime


class Usage(Answer):
    """What you have stored, and your quota, in bytes."""

    used: int
    quota: int
    free: int
    kinds: list[StoredKind]
    unfinished_uploads: Annotated[list[UnfinishedUpload], Field(description="the largest ones, at most 20")]
