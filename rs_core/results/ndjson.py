"""Reads certificates, predictions and evaluation records from JSON objects: the lines of ``.ndjson`` files and the service's
answers. Files may come from strangers, so each value is checked. ``codec`` writes the objects.

An abstention and an unknown label are ``null``, and so is a number that is not known. ``correct`` and ``at_cap`` follow
from the other fields: only :func:`contradictions` reads them.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from radii.rs_core.results.codec import FOLLOWING, MINUS_ONE, NULL_IF_EMPTY

if TYPE_CHECKING:
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Certificate, Prediction
    from radii.rs_core.results.text_lines import Limits

MAX_CLASSES = 100_000
LARGEST = 2**63 - 1
"""Whole number that fits into the columns of a report."""
LONGEST_LINE = 2**22
"""Bytes of one object: 100,000 class counts, twice, take less."""


def certificate(body: Mapping[str, Any]) -> "Certificate":
    """The certificate that an object holds. Raises :class:`InvalidResults` where it is none."""
    from radii.rs_core.records import Certificate

    record: Certificate = _read(Certificate, body)
    return record


def prediction(body: Mapping[str, Any]) -> "Prediction":
    """The prediction that an object holds. Raises :class:`InvalidResults` where it is none."""
    from radii.rs_core.records import Prediction

    record: Prediction = _read(Prediction, body)
    return record


def evaluated(body: Mapping[str, Any]) -> "EvaluationRecord":
    """What was found of an input, out of an object. Raises :class:`InvalidResults` where it is none."""
    from radii.rs_core.errors import InvalidResults
    from radii.rs_core.evaluate.records import EvaluationRecord

    found = body.get("found")
    if not isinstance(found, list) or not all(isinstance(at, dict) for at in found):
        got = "none" if found is None else repr(found)[:100]
        raise InvalidResults(expected="found: a list of objects, one for each point", got=got)
    points = [{**at, "prediction": -1 if at.get("prediction") is None else at["prediction"]} for at in found]
    record: EvaluationRecord = _read(EvaluationRecord, {**body, "found": points})
    return record


def read_ndjson(
    path: Path, name: str | None = None, limits: "Limits | None" = None
) -> "list[Certificate] | list[Prediction] | list[EvaluationRecord]":
    """Reads the records of a file with one object per line, all of one kind.

    Of an input that was certified again and again (``anytime``), the last line counts.

    Args:
        path: The file.
        name: What errors call it; its own name by default.
        limits: Bounds of the file; only lines are bounded by default.

    Raises:
        InvalidResults: A bound is exceeded, or a line is no such record. The error names the line.
    """
    from radii.rs_core.errors import InvalidResults
    from radii.rs_core.results.text_lines import Limits, check_rows

    name, limits = name or path.name, limits or Limits(line=LONGEST_LINE)
    read: Any = None
    records: list[Any] = []
    place: dict[int, int] = {}
    for number, body in _objects(path, name, limits):
        read = read or (evaluated if "found" in body else prediction if "p_value" in body else certificate)
        try:
            record = read(body)
        except InvalidResults as error:
            where = f"{name}, line {number}"
            raise InvalidResults(expected=error.expected, got=error.got, where=where) from None
        if getattr(record, "sampling", None) == "anytime" and record.index in place:
            records[place[record.index]] = record  # a later line of more samples
        else:
            place[record.index] = len(records)
            records.append(record)
        check_rows(len(records), limits, name)
    if not records:
        raise InvalidResults(expected="at least one line", got="an empty file", where=name)
    return records


def _objects(path: Path, name: str, limits: "Limits") -> Iterator[tuple[int, dict[str, Any]]]:
    from radii.rs_core.errors import InvalidResults
    from radii.rs_core.results.text_lines import raw_lines

    for number, (_, line) in enumerate(raw_lines(path, name, limits), start=1):
        try:
            body = json.loads(line)
        except (ValueError, RecursionError):  # no JSON, or lists in lists without end
            body = None
        if not isinstance(body, dict):
            got = repr(line[:100])
            raise InvalidResults(expected="a JSON object", got=got, where=f"{name}, line {number}")
        yield number, body


def _read(kind: type[Any], body: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    from radii.rs_core.errors import InvalidResults

    may_be_null, adapter = _reader(kind)  # type: ignore[arg-type]
    values = {name: value for name, value in body.items() if name in may_be_null}
    for name in [name for name, value in values.items() if value is None and not may_be_null[name]]:
        values[name] = -1 if name in MINUS_ONE else () if name in NULL_IF_EMPTY else math.nan
    try:
        record = adapter.validate_python(values)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in fault["loc"])[:200]
        got = "none" if fault["type"] == "missing" else repr(fault["input"])[:100]
        raise InvalidResults(expected=f"{place}: {fault['msg']}", got=got) from None
    for name, value in vars(record).items():
        if _too_large(value):
            expected = f"{name}: whole numbers of at most {LARGEST}"
            raise InvalidResults(expected=expected, got=repr(body[name])[:100])
    _check_possible(record, body)
    return record


@cache
def _reader(kind: type[Any]) -> tuple[dict[str, bool], Any]:
    """The fields of a kind of record, each with whether it may be None, and the record's adapter. The adapter takes fifty times
    as long to build as to use."""
    from pydantic import TypeAdapter

    return {field.name: NoneType in get_args(field.type) for field in fields(kind)}, TypeAdapter(kind)


def _check_possible(record: Any, body: Mapping[str, Any]) -> None:
    """Raises :class:`InvalidResults` for a value that no run can have written, whatever the other fields say."""
    from radii.rs_core.errors import InvalidResults

    for name, (expected, possible) in POSSIBLE.items():
        value = getattr(record, name, None)
        if value is not None and not possible(value):
            raise InvalidResults(expected=f"{name}: {expected}", got=repr(body.get(name))[:100])
    counts, prediction = getattr(record, "counts", ()), getattr(record, "prediction", -1)
    if counts and prediction >= len(counts):
        got = f"class {prediction} of {len(counts):,}"
        raise InvalidResults(expected="prediction: a class that was counted, or null", got=got)
    if isinstance(body.get("index"), bool):
        raise InvalidResults(expected="index: a whole number", got=json.dumps(body["index"]))


def _votes(counts: tuple[int, ...]) -> bool:
    return len(counts) <= MAX_CLASSES and min(counts, default=0) >= 0


def _unknown_or(possible: Callable[[float], bool]) -> Callable[[float], bool]:
    return lambda value: math.isnan(value) or possible(value)


POSSIBLE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "index": ("a whole number of at least 0", lambda value: value >= 0),
    "label": ("a class of at least 0, or null", lambda value: value >= -1),
    "prediction": ("a class of at least 0, or null", lambda value: value >= -1),
    "radius": ("a finite number of at least 0", lambda value: math.isfinite(value) and value >= 0),
    "counts0": (f"votes of at least 0 for at most {MAX_CLASSES:,} classes", _votes),
    "counts": (f"votes of at least 0 for at most {MAX_CLASSES:,} classes", _votes),
    "n0": ("a number of at least 0", lambda value: value >= 0),
    "n": ("a number of at least 0", lambda value: value >= 0),
    "sigma": ("a number above 0", _unknown_or(lambda value: 0 < value < math.inf)),
    "alpha": ("a number between 0 and 1", _unknown_or(lambda value: 0 < value < 1)),
    "p_lower": ("a probability", _unknown_or(lambda value: 0 <= value <= 1)),
    "p_value": ("a probability", _unknown_or(lambda value: 0 <= value <= 1)),
}
"""What the values of a record can be at all; whether they agree with each other is for an audit to say."""


def _too_large(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_too_large, value))
    inside = getattr(value, "__dict__", None)
    return _too_large(tuple(inside.values())) if inside else isinstance(value, int) and abs(value) > LARGEST


def contradictions(path: Path) -> Iterator[tuple[int, str]]:
    """The inputs of a file of certificates that :func:`read_ndjson` can read whose lines say something else than follows
    from their other fields, and what."""
    from radii.rs_core.results.text_lines import Limits

    for _, body in _objects(path, path.name, Limits(line=LONGEST_LINE)):
        record = certificate(body)
        for name in FOLLOWING:
            said, found = body.get(name), getattr(record, name)
            if said is not None and said != found:
                yield record.index, f"its {name} is {json.dumps(said)[:100]}, where {json.dumps(found)} follows"
