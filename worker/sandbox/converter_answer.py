"""Validates the answer of a converter, which a hostile file may have written.

An answer becomes columns of a row and a file of the service, so it may hold these fields and no others: one that named the
row's tenant, or another file, would take effect. :func:`check` applies the rules of the readers to the values.
"""

import os
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from radii.rs_core.checkpoints.checkpoint_info import make_info
from radii.rs_core.data import corruption_info as corrupted
from radii.rs_core.data.dataset_info import check_names
from radii.rs_core.data.ignored_files import LONGEST_NAME, MOST_NAMES
from radii.rs_core.errors import InvalidDataset, RadiiError

Name = Annotated[str, Field(max_length=10_000)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Shape = Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=3, max_length=3)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DatasetColumns(_Strict):
    """The columns of a dataset that follow from its files."""

    content_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    count: Count
    shape: Shape
    num_classes: Count
    class_names: list[Name]
    eight_bit: bool


class CheckpointColumns(_Strict):
    """The columns of a checkpoint that follow from its files."""

    architecture: Name
    num_classes: Count | None
    input_shape: Shape
    sigma: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    method: Name | None
    info: dict[str, Any]


class SkippedEntries(_Strict):
    """Hidden and system entries of an archive that were skipped."""

    count: Count
    names: Annotated[list[Annotated[str, Field(max_length=LONGEST_NAME)]], Field(max_length=MOST_NAMES)]


class Source(_Strict):
    """What a conversion found out about its files: which images are corrupted, and what it skipped."""

    corrupted: dict[str, Any] | None = None
    skipped: SkippedEntries | None = None


class Conversion(_Strict):
    """What a conversion made."""

    columns: DatasetColumns | CheckpointColumns
    source: Source | None = None


class Problem(BaseModel):
    """Why nothing was made; see ``RadiiError.problem``."""

    type: Name
    expected: str
    got: str
    where: str | None = None


class Answer(BaseModel):
    """One of three: a problem, a disk that is full, or what was made."""

    model_config = ConfigDict(extra="allow")

    problem: Problem | None = None
    disk_full: int | None = None


_COLUMNS = {"dataset": DatasetColumns, "checkpoint": CheckpointColumns}


def read(answer: bytes, what: str, out: str) -> dict[str, Any]:
    """The ``columns`` of what was made, and the ``source`` where more is known of its files.

    Args:
        answer: What the converter wrote.
        what: "dataset" or "checkpoint".
        out: The file that it was given to write, for errors.

    Raises:
        RadiiError: The converter's own.
        OSError: There was no room for the file.
        ValueError: The answer is not one that a converter gives.
    """
    found = TypeAdapter(Answer).validate_json(answer)
    if found.problem is not None:
        raise RadiiError.from_problem(found.problem.model_dump())
    if found.disk_full is not None:
        raise OSError(found.disk_full, os.strerror(found.disk_full), out)
    made = TypeAdapter(Conversion).validate_json(answer)
    if not isinstance(made.columns, _COLUMNS[what]):
        raise ValueError(f"columns of a {what}")
    source = {} if made.source is None else {"source": made.source.model_dump(exclude_none=True)}
    return {"columns": made.columns.model_dump()} | source


def check(made: dict[str, Any]) -> None:
    """Applies the rules for class names, for the record of a checkpoint and for that of corrupted images.

    Args:
        made: What :func:`read` has returned, before it becomes a row.

    Raises:
        RadiiError: A rule is broken, which a converter itself never does.
    """
    columns, source, where = made["columns"], made.get("source", {}), "the converter's answer"
    if "info" in columns:
        make_info(where, columns["info"])
        return
    names = check_names(columns["class_names"], where)
    if len(names) != columns["num_classes"]:
        expected = f"a name for each of {columns['num_classes']:,} classes"
        raise InvalidDataset(expected=expected, got=f"{len(names):,} names", where=where)
    if "corrupted" in source:
        corrupted.from_json(source["corrupted"], columns["count"], where)
