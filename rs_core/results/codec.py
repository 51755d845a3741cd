"""The codec of certificates, predictions and evaluation records: values by name, JSON, CSV, and back from stored values.

All formats follow from the fields of the record. A field that is added to a record is in each of them without a change here.
This module needs no record's module, no numpy and no pydantic, so that a client and the command line start fast. ``ndjson``
reads JSON from files and services and checks it. The format of the field's TSV files is in ``tsv``.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from radii.rs_core.results.csv_text import csv_text

if TYPE_CHECKING:
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Certificate, Prediction

    AnyRecord = Certificate | Prediction | EvaluationRecord

Record = TypeVar("Record")

MINUS_ONE = ("label", "prediction")
"""Classes that are -1 in records, rows and CSV where they are unknown or an abstention, and null in JSON."""
NULL_IF_EMPTY = ("standard",)
"""Lists that few records have. Where they are empty, they are null in rows and in JSON."""
FOLLOWING = ("correct", "at_cap")
"""Properties that JSON shows after the fields."""
CSV_PLACES = {
    "correct": "prediction",
    "right": "prediction",
    "p_upper": "p_lower",
    "standard": "counts",
    "robust_weight": "standard",
}
"""Columns of CSV that are not where the record has them, each with the column before it."""


@cache
def list_fields(kind: Any) -> dict[str, Any]:
    """The fields of a record that are tuples, by name, with the type of their items."""
    return {field.name: get_args(field.type)[0] for field in fields(kind) if get_origin(field.type) is tuple}


def values(record: "AnyRecord") -> dict[str, Any]:
    """The fields of a record by name. The points of an evaluation are dicts, too."""
    found = dict(vars(record))
    for name in NULL_IF_EMPTY:
        if name in found:
            found[name] = found[name] or None
    if "found" in found:
        found["found"] = [dict(vars(at)) for at in found["found"]]
    return found


def of_values(kind: type[Record], stored: Mapping[str, Any]) -> Record:
    """The record that has these values. Lists become tuples; a list that is null or left out is empty."""
    lists = {}
    for name, item in list_fields(kind).items():  # type: ignore[arg-type]
        given = stored.get(name) or ()
        lists[name] = tuple(given) if item in (int, float) else tuple(of_values(item, each) for each in given)
    return kind(**{**stored, **lists})


def json_values(record: "AnyRecord") -> dict[str, Any]:
    """The names and values of a record's JSON object; tuples and NaN are left to the encoder."""
    found = values(record)
    for each in (found, *found.get("found", ())):
        for name in MINUS_ONE:
            if each.get(name) == -1:
                each[name] = None
    for name in FOLLOWING:
        if hasattr(type(record), name):
            found[name] = getattr(record, name)
    return found


def to_json(record: "AnyRecord") -> dict[str, Any]:
    """The record as a JSON object. Numbers that are not finite are null."""
    return {name: _encoded(value) for name, value in json_values(record).items()}


def csv_lines(kind: type[Record], records: Iterable[Record], separator: str = ",") -> Iterator[str]:
    """Header and rows as text, for a caller that streams them.

    A certificate or prediction is one line. An evaluation is one line for each point, or one with its error where there are
    none.
    """
    columns = csv_columns(kind)
    yield csv_text([columns], separator)
    for record in records:
        yield csv_text(([_cell(row.get(name)) for name in columns] for row in _csv_rows(record)), separator)


def csv_columns(kind: Any) -> list[str]:
    """The header of a kind of record: its fields, those of its points in their place, and whether it is correct."""
    names = [field.name for field in fields(kind)]
    if "found" in names:
        at = names.index("found")
        names[at : at + 1] = csv_columns(list_fields(kind)["found"])
        names.remove("batch_size")  # files of earlier versions have no such column
    for name, before in CSV_PLACES.items():
        if hasattr(kind, name):
            names = [other for other in names if other != name]
            names.insert(names.index(before) + 1, name)
    return names


def _csv_rows(record: Any) -> list[dict[str, Any]]:
    row = values(record)
    if "found" not in row:
        return [row | {"correct": getattr(record, "correct", None)}]
    points = zip(row["found"], record.right(len(row["found"])), strict=True)
    return [row | at | {"right": right} for at, right in points] or [row | {"right": False}]


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return int(value) if isinstance(value, bool) else value


def _encoded(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_encoded(item) for item in value]
    if isinstance(value, dict):
        return {name: _encoded(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
