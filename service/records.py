"""Certificates and predictions as JSON objects and back: the lines of ``.ndjson`` files and of the service's answers.

An abstention and an unknown label are ``null``, and so is a number that is not known. ``correct`` and ``at_cap`` follow
from the other fields: they are written for readers and not read, but where an audit compares them.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rs_core.certify.decision import Certificate, Prediction
    from rs_core.evaluate.records import Evaluated

MINUS_ONE = ("label", "prediction")
COUNTS = ("counts0", "counts")
FOLLOWING = ("correct", "at_cap")
OPTIONAL = ("error", "p_upper", "batch_size", "robust_weight")
LARGEST = 2**63 - 1
"""Whole number that fits into the columns of a report."""


def to_json(record: "Certificate | Prediction | Evaluated") -> dict[str, Any]:
    """The record as an object without NaN."""
    if not hasattr(record, "correct"):
        return _evaluated_to_json(record)
    body = {name: _plain(value) for name, value in asdict(record).items()}
    for name in MINUS_ONE:
        body[name] = None if body[name] == -1 else body[name]
    if "standard" in body:
        body["standard"] = body["standard"] or None
    body["correct"] = record.correct
    return body | ({"at_cap": record.at_cap} if hasattr(record, "at_cap") else {})


def certificate(body: Mapping[str, Any]) -> "Certificate":
    """The certificate that an object holds. Raises :class:`InvalidResults` where it is none."""
    from rs_core.certify.decision import Certificate

    record: Certificate = _read(Certificate, body)
    return record


def prediction(body: Mapping[str, Any]) -> "Prediction":
    """The prediction that an object holds. Raises :class:`InvalidResults` where it is none."""
    from rs_core.certify.decision import Prediction

    record: Prediction = _read(Prediction, body)
    return record


def evaluated(body: Mapping[str, Any]) -> "Evaluated":
    """What was found of an input, out of an object. Raises :class:`InvalidResults` where it is none."""
    from rs_core.errors import InvalidResults
    from rs_core.evaluate.records import Evaluated

    found = body.get("found")
    if not isinstance(found, list) or not all(isinstance(at, dict) for at in found):
        got = "none" if found is None else repr(found)[:100]
        raise InvalidResults(expected="found: a list of objects, one for each point", got=got)
    points = [{**at, "prediction": -1 if at.get("prediction") is None else at["prediction"]} for at in found]
    record: Evaluated = _read(Evaluated, {**body, "found": points})
    return record


def _evaluated_to_json(record: Any) -> dict[str, Any]:
    body = {name: _plain(value) for name, value in asdict(record).items()}
    found = [
        {name: _plain(value) for name, value in at.items()}
        | {"prediction": None if at["prediction"] == -1 else at["prediction"]}
        for at in body["found"]
    ]
    return body | {"label": None if record.label == -1 else record.label, "found": found}


def read_ndjson(path: Path, name: str | None = None) -> "list[Certificate] | list[Prediction] | list[Evaluated]":
    """The records of a file with one object per line, all of one kind; :class:`InvalidResults` names the wrong line, and the
    file as ``name`` or as it is.

    Of an input that was certified again and again (``anytime``), the last line counts.
    """
    from rs_core.errors import InvalidResults

    name = name or path.name
    bodies = list(_objects(path, name))
    if not bodies:
        raise InvalidResults(expected="at least one line", got="an empty file", where=name)
    first = bodies[0][1]
    read: Any = evaluated if "found" in first else prediction if "p_value" in first else certificate
    records: list[Any] = []
    place: dict[int, int] = {}
    for number, body in bodies:
        try:
            record = read(body)
            if getattr(record, "sampling", None) == "anytime" and record.index in place:
                records[place[record.index]] = record  # a later line of more samples
            else:
                place[record.index] = len(records)
                records.append(record)
        except InvalidResults as error:
            where = f"{name}, line {number}"
            raise InvalidResults(expected=error.expected, got=error.got, where=where) from None
    return records


def _objects(path: Path, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    from rs_core.errors import InvalidResults

    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                body = json.loads(line)
            except (ValueError, RecursionError):  # no JSON, or lists in lists without end
                body = None
            if not isinstance(body, dict):
                got = repr(line[:100])
                raise InvalidResults(expected="a JSON object", got=got, where=f"{name}, line {number}")
            yield number, body


def _read(kind: type[Any], body: Mapping[str, Any]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    from rs_core.errors import InvalidResults

    names = {field.name for field in fields(kind)}
    values = {name: value for name, value in body.items() if name in names and (name, value) != ("standard", None)}
    for name in names & set(values):
        if values[name] is None and name not in OPTIONAL:
            values[name] = -1 if name in MINUS_ONE else math.nan
    try:
        record = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        got = "none" if fault["type"] == "missing" else repr(fault["input"])[:100]
        raise InvalidResults(expected=f"{place}: {fault['msg']}", got=got) from None
    for name, value in vars(record).items():
        if _too_large(value):
            expected = f"{name}: whole numbers of at most {LARGEST}"
            raise InvalidResults(expected=expected, got=repr(body[name])[:100])
    return record


def _too_large(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_too_large, value))
    inside = getattr(value, "__dict__", None)
    return _too_large(tuple(inside.values())) if inside else isinstance(value, int) and abs(value) > LARGEST


def contradictions(path: Path) -> Iterator[tuple[int, str]]:
    """The inputs of a file of certificates that :func:`read_ndjson` can read whose lines say something else than follows
    from their other fields, and what."""
    for _, body in _objects(path, path.name):
        record = certificate(body)
        for name in FOLLOWING:
            said, found = body.get(name), getattr(record, name)
            if said is not None and said != found:
                yield record.index, f"its {name} is {json.dumps(said)[:100]}, where {json.dumps(found)} follows"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
