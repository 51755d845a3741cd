"""From a TOML or JSON file and flags to one specification; what a flag says goes before what the file says.

The records and their defaults are those of ``rs_core.spec``: a flag that is not given is not sent.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rs_core.spec import CertifySpec, PredictSpec, TrainSpec

    Spec = TypeVar("Spec", TrainSpec, CertifySpec, PredictSpec)

INPUTS = ("start", "step", "count")


def read_body(path: Path) -> dict[str, Any]:
    """The table in a ``.toml`` file or the object in a ``.json`` file; :class:`InvalidSpec` where it is none."""
    from rs_core.errors import InvalidSpec

    try:
        text = path.read_text(encoding="utf-8")
        body = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise InvalidSpec(expected=f"a {kind} file", got=str(error), where=str(path)) from None
    if not isinstance(body, dict):
        raise InvalidSpec(expected="an object with the fields of a job", got=type(body).__name__, where=str(path))
    return body


def merged(kind: str | None, path: Path | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a job: the file's fields, then the flags that were given (not ``None``)."""
    from rs_core.errors import InvalidSpec

    body = read_body(path) if path else {}
    if kind and body.setdefault("kind", kind) != kind:
        raise InvalidSpec(expected=f'kind = "{kind}" or none', got=repr(body["kind"]), where=str(path))
    for name, value in flags.items():
        if value is not None:
            _put(body, name, value)
    return body


def spec_of(record: "type[Spec]", path: Path | None, flags: Mapping[str, Any]) -> "Spec":
    """The checked record of one kind of job."""
    from rs_core.spec import parse_spec

    spec = parse_spec(merged(record.kind, path, flags))
    assert isinstance(spec, record)
    return spec


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    if name in INPUTS:
        body["inputs"] = {**_table(body.get("inputs")), name: value}
    elif name == "method":
        method = _table(body.get("method"))
        # Hyper-parameters of the file's method say nothing about another one.
        body["method"] = method if method.get("name") == value else {"name": value}
    else:
        body[name] = value


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
