"""What pydantic says of a wrong field, as place, what was expected and what came, in words of a sentence. Torch-free.

pydantic's own messages are written for one line each ("Input should be greater than 0"); its places name members of
unions that nobody who writes a request knows of, and of an unknown field it does not say which there are.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
SHOWN = 200
MOST_FAULTS = 20
"""Faults that are described; the rest are counted."""
MOST_FAULT_TEXT = 8_000
"""Characters of all described faults together, where the caller sets no other limit."""
MOST_RELATED = 1_000
"""Errors of pydantic among which those that follow from others are left out; of more, all count."""
LONGEST_NAME = 100
LONGEST_MESSAGE = 1_000

_PHRASES = (
    (re.compile(r"^Value error, (expected )?"), ""),
    (re.compile(r"^Input should be (?=greater|less)"), "a value "),
    (
        re.compile(
            r"^Input should be (an? (valid )?)?(?=dictionary)(dictionary or (object|an instance).*|dictionary)$"
        ),
        "a JSON object",
    ),
    (re.compile(r"^Input should be (.*?)(, unable to .*|, got .*)?$"), r"\1"),
    (re.compile(r"^\w+ should have (at (?:least|most) \d+ (?:item|character)s?).*$"), r"\1"),
    (re.compile(r"^String should match pattern (.*)$"), r"text that matches \1"),
)


def of_their_own(items: Sequence[Any]) -> list[Any]:
    """pydantic's errors without those of lists that are too short only because wrong elements are left out of them."""
    places = [item["loc"] for item in items]
    follows = [
        item["type"] == "too_short"
        and any(len(place) > len(item["loc"]) and place[: len(item["loc"])] == item["loc"] for place in places)
        for item in items
    ]
    return [item for item, of_another in zip(items, follows, strict=True) if not of_another]


def first_faults(
    items: Sequence[Any],
    records: Iterable[type[Any]] = (),
    patterns: Mapping[str, str] | None = None,
    *,
    most_text: int = MOST_FAULT_TEXT,
) -> tuple[list[dict[str, str]], int]:
    """Describes the first of pydantic's errors and counts the others.

    The work and the answer do not grow with the number of errors or with the size of what a user sent.

    Args:
        items: ``ValidationError.errors()``.
        records: See :func:`fault`.
        patterns: See :func:`fault`.
        most_text: Characters of all described faults together.

    Returns:
        At most ``MOST_FAULTS`` faults (at least one where there are errors) and how many more there are.
    """
    own = of_their_own(items) if len(items) <= MOST_RELATED else items
    described: list[dict[str, str]] = []
    size = 0
    for item in own[:MOST_FAULTS]:
        found = fault(dict(item), records, patterns)
        size += sum(map(len, found.values()))
        if described and size > most_text:
            break
        described.append(found)
    return described, len(own) - len(described)


def fault(
    item: dict[str, Any], records: Iterable[type[Any]] = (), patterns: Mapping[str, str] | None = None
) -> dict[str, str]:
    """One entry of ``ValidationError.errors()`` as ``location``, ``expected`` and ``got``.

    ``records`` are those that a body may be, told apart by their ``kind``: the fields there are get named. ``patterns``
    says in words what matches a regular expression.
    """
    place, record = _place(item, {_tag(known, "kind"): known for known in records})
    kind = item["type"]
    if kind in UNKNOWN:
        return _fault(place, _known_fields(record, place[-1]), shown(item["input"]))
    if kind in MISSING:
        return _fault(place, "a value, since it is required", "none")
    if kind == "json_invalid":
        return _fault(["body"], "JSON", f"text with an error at character {item['loc'][-1]}")
    if kind == "refused":
        found = item["ctx"]
        return _fault([*place, found["where"]], found["expected"], found["got"])
    if kind == "string_pattern_mismatch" and (words := (patterns or {}).get(item["ctx"]["pattern"])):
        return _fault(place, words, shown(item["input"]))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(item, place, record)
    return _fault(place, _phrase(item["msg"], place, record), shown(item["input"]))


def shown(value: Any) -> str:
    """A value of the request, as JSON where it is, at most 200 characters. Takes no longer for a larger value."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes that are no JSON"
    text = repr(value[: SHOWN + 1]) if isinstance(value, str) else _json(value)
    return cut(text, SHOWN)


def cut(text: str, longest: int) -> str:
    """``text``, with dots in place of what exceeds ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _json(value: Any) -> str:
    """The beginning of the value as JSON; ``repr`` of what is no JSON."""
    text = ""
    try:
        for piece in json.JSONEncoder().iterencode(_shallow(value)):
            text += piece
            if len(text) > SHOWN:
                break
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return text


def _shallow(value: Any, levels: int = 4) -> Any:
    """The value as far as ``SHOWN`` characters of JSON can show it: the first members of the upper levels, strings cut."""
    if isinstance(value, str):
        return value[:SHOWN]
    if isinstance(value, Mapping):
        return {_shallow(k): _shallow(v, levels - 1) for k, v in _first(value.items())} if levels else {}
    if isinstance(value, list | tuple):
        return [_shallow(item, levels - 1) for item in _first(value)] if levels else []
    return value


def _first(items: Iterable[Any]) -> Iterator[Any]:
    return (item for _, item in zip(range(SHOWN), items, strict=False))


def _fault(place: list[str], expected: str, got: str) -> dict[str, str]:
    location = ".".join(cut(part, LONGEST_NAME) for part in place)
    return {
        "location": cut(location, SHOWN),
        "expected": cut(expected, LONGEST_MESSAGE),
        "got": cut(got, LONGEST_MESSAGE),
    }


def _wrong_tag(item: dict[str, Any], place: list[str], record: type[Any] | None) -> dict[str, str]:
    """A member of a union that is not there, or was not named."""
    key = item["ctx"]["discriminator"].strip("'")
    expected = item["ctx"].get("expected_tags")
    tags = expected or ", ".join(repr(_tag(member, key)) for member in _members(record, place))
    got = item["input"].get(key) if isinstance(item["input"], dict) else None
    return _fault([*place, key], f"one of {tags}" if tags else f"a {key}", "none" if got is None else shown(got))


def _place(item: dict[str, Any], records: dict[str, type[Any]]) -> tuple[list[str], type[Any] | None]:
    """The path to the field without the names of union members, and the record that it belongs to, where known."""
    loc = [str(part)[: LONGEST_NAME + 1] for part in item["loc"]]
    place = loc[:1] if loc[:1] == ["body"] else []
    record = None
    rest = loc[len(place) :]
    if rest[:1] and rest[0] in records:
        record = records[rest.pop(0)]
    for number, part in enumerate(rest):
        last = number == len(rest) - 1
        if record is not None and number and part in _tags(record, rest[number - 1]):
            record = _tags(record, rest[number - 1])[part]
            continue
        if ("[" in part or "(" in part) and not (last and item["type"] in UNKNOWN):
            continue
        if number and record is not None and len(_tags(record, rest[number - 1])) == 1:
            record = next(iter(_tags(record, rest[number - 1]).values()))
        place.append(part)
    return place, record


def _tags(record: type[Any], field: str) -> dict[str, type[Any]]:
    """The records that a field may hold, by their ``name``."""
    return {_tag(member, "name"): member for member in _records_in(_hints(record).get(field))}


def _members(record: type[Any] | None, place: list[str]) -> list[type[Any]]:
    return _records_in(_hints(record).get(place[-1])) if record is not None and place else []


def _tag(record: type[Any], key: str) -> str:
    """What a record calls itself: the default of its ``kind`` or ``name``, else its class's name."""
    field = record.__dataclass_fields__.get(key)
    return field.default if field is not None and isinstance(field.default, str) else record.__name__


def _hints(record: type[Any]) -> dict[str, Any]:
    return get_type_hints(record)


def _records_in(hint: Any) -> list[type[Any]]:
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [found for part in get_args(hint) for found in _records_in(part)]


def _known_fields(record: type[Any] | None, name: str) -> str:
    """What to say of a field that is not there: the nearest that are, else all of them."""
    if record is None:
        return "no field of this name"
    names = list(record.__dataclass_fields__)
    near = difflib.get_close_matches(name, names, n=3)
    return f"no field of this name ({'perhaps ' if near else 'there are '}{', '.join(near or names)})"


def _phrase(message: str, place: list[str], record: type[Any] | None) -> str:
    message = cut(message, LONGEST_MESSAGE)  # it may quote what a user sent, and the patterns are not linear
    for pattern, replacement in _PHRASES:
        if pattern.search(message):
            text = pattern.sub(replacement, message)
            members = _members(record, place)
            if text == "a JSON object" and len(members) > 1:
                tags = ", ".join(f'"{_tag(member, "name")}"' for member in members)
                text += f' such as {{"name": ...}}, with one of {tags}'
            return text
    return message[:1].lower() + message[1:]
