"""From a preset, a TOML or JSON file, flags and ``--set`` to one specification: each goes before those named before it.

The records and their defaults are those of ``radii.rs_core.specs.jobs``: a flag that is not given is not sent.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, PredictSpec, TrainSpec

    Spec = TypeVar("Spec", TrainSpec, CertifySpec, PredictSpec, EvaluateSpec)

INPUTS = ("start", "step", "count")


def read_body(path: Path) -> dict[str, Any]:
    """The table in a ``.toml`` file or the object in a ``.json`` file; :class:`InvalidSpec` where it is none."""
    from radii.rs_core.errors import InvalidSpec

    try:
        text = path.read_text(encoding="utf-8")
        body = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise InvalidSpec(expected=f"a {kind} file", got=str(error), where=str(path)) from None
    if not isinstance(body, dict):
        raise InvalidSpec(expected="an object with the fields of a job", got=type(body).__name__, where=str(path))
    return body


def merged(
    kind: str | None, path: Path | None, flags: Mapping[str, Any], sets: Sequence[str] | None = None
) -> dict[str, Any]:
    """The body of a job: the file's fields, the flags that were given (not ``None``), then each ``FIELD=VALUE``.

    A preset is named in it under ``preset`` and not yet filled in.
    """
    from radii.rs_core.errors import InvalidSpec

    body = read_body(path) if path else {}
    for name, value in flags.items():
        if value is not None:
            _put(body, name, value)
    for text in sets or ():
        _set(body, text)
    if kind is None and body.get("preset") is not None:
        body.setdefault("kind", "train")
    if kind and body.setdefault("kind", kind) != kind:
        raise InvalidSpec(expected=f'kind = "{kind}" or none', got=repr(body["kind"]), where=str(path or "--set"))
    return body


def spec_of(
    record: "type[Spec]", path: Path | None, flags: Mapping[str, Any], sets: Sequence[str] | None = None
) -> "Spec":
    """The checked record of one kind of job; of a training job, with its preset filled in."""
    from radii.rs_core.literature import presets
    from radii.rs_core.specs.jobs import TrainSpec, parse_spec

    body = merged(record.kind, path, flags, sets)
    spec = parse_spec(presets.apply(body) if record is TrainSpec else body)
    assert isinstance(spec, record)
    return spec


def listed(text: str | None, where: str = "--radii") -> list[float] | None:
    """``0.25,0.5`` as numbers; :class:`InvalidSpec` where it is something else."""
    from radii.rs_core.errors import InvalidSpec

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidSpec(
            expected="numbers with commas between them, such as 0.25,0.5", got=repr(text), where=where
        ) from None


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    if name == "radii" and isinstance(value, str):
        body[name] = listed(value)
    elif name in INPUTS:
        body["inputs"] = {**_table(body.get("inputs")), name: value}
    elif name == "method":
        method = _table(body.get("method"))
        # Hyper-parameters of the file's method say nothing about another one.
        body["method"] = method if method.get("name") == value else {"name": value}
    elif name == "evaluation":
        asked = _table(body.get("evaluation"))
        name_of = value.get("name", asked.get("name"))
        body["evaluation"] = {**(asked if asked.get("name") == name_of else {}), **value}
    else:
        body[name] = value


def _set(body: dict[str, Any], text: str) -> None:
    """``method.steps=2`` into the body: the value is JSON, else a word."""
    from radii.rs_core.errors import InvalidSpec

    name, equals, value = text.partition("=")
    path = name.strip().split(".")
    if not equals or not all(path):
        raise InvalidSpec(expected="FIELD=VALUE, such as method.steps=2", got=repr(text), where="--set")
    if path == ["method", "name"]:
        _put(body, "method", _value(value))
        return
    for part in path[:-1]:
        body[part] = dict(_table(body.get(part)))
        body = body[part]
    body[path[-1]] = _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text.strip()


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
