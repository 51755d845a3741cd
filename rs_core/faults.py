"""What pydantic says of a wrong field, as place, what was expected and what came, in words of a sentence.

pydantic's own messages are written for one line each ("Input should be greater than 0"); its places name members of
unions that no client knows of.
"""

import json
import re
from typing import Any

from service.requests import KINDS

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")

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


def fault(item: dict[str, Any]) -> dict[str, str]:
    """One entry of ``ValidationError.errors()`` as ``location``, ``expected`` and ``got``."""
    place, kind = _place(item), item["type"]
    if kind in UNKNOWN:
        return _fault(place, "no field of this name", shown(item["input"]))
    if kind in MISSING:
        return _fault(place, "a value, since it is required", "none")
    if kind == "json_invalid":
        return _fault(["body"], "JSON", f"text with an error at character {item['loc'][-1]}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = f"one of {', '.join(map(repr, KINDS))}"
        return _fault([*place, "kind"], expected, shown(item["input"]["kind"]) if "kind" in item["input"] else "none")
    return _fault(place, _phrase(item["msg"]), shown(item["input"]))


def shown(value: Any) -> str:
    """A value of the request, as JSON where it is, at most 200 characters."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes that are no JSON"
    text = repr(value) if isinstance(value, str) else _json(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)


def _fault(place: list[str], expected: str, got: str) -> dict[str, str]:
    return {"location": ".".join(place), "expected": expected, "got": got}


def _place(item: dict[str, Any]) -> list[str]:
    """The path to the field, without the names that pydantic gives to the members of a union."""
    parts = [str(part) for part in item["loc"]]
    last = parts[-1:] if item["type"] in UNKNOWN else []
    inner = parts[: len(parts) - len(last)]
    if inner[:1] == ["body"] and inner[1:2] and inner[1] in KINDS:
        del inner[1]
    return [part for part in inner if not re.search(r"[\[(]", part)] + last


def _phrase(message: str) -> str:
    for pattern, replacement in _PHRASES:
        if pattern.search(message):
            return pattern.sub(replacement, message)
    return message[:1].lower() + message[1:]
