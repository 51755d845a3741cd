"""Commands about what can be chosen for a training job: ``methods`` and ``presets``. They need no service."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.service.console import note, say, table

if TYPE_CHECKING:
    from radii.rs_core.literature.presets import Preset

WIDTH = 100
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON. (default: text)")]


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            show_default=False,
            help="A preset, such as cifar10/smoothmix/0.5, printed as a TOML file for --spec; or the beginning of "
            "names, such as cifar10 or cifar10/smoothmix. (default: all)",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the published settings, or print one. A ? marks what is a guess, recalled, or disputed."""
    from radii.rs_core.literature.presets import names, preset

    chosen = [known for known in names() if name is None or known.startswith(f"{name.rstrip('/')}/")]
    if name is not None and not chosen:
        found = preset(name)
        say(_json(asdict(found)) if as_json else toml(found))
        return
    listed = [preset(known) for known in chosen]
    say(_json([asdict(found) for found in listed]) if as_json else _overview(listed))
    if any(found.uncertain for found in listed) and not as_json:
        note("? is a guess, recalled, or disputed: `radii presets NAME` says why, and shows every field.")


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", show_default=False, help="A training method. (default: all)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the training methods and their hyper-parameters, with defaults."""
    from radii.rs_core.methods.registry import METHODS, method

    rows = [method(name)] if name is not None else list(METHODS.values())
    if as_json:
        bodies = [{"name": row.name, "reference": row.reference, **_schema(row.record)} for row in rows]
        say(_json(bodies[0] if name is not None else bodies))
    else:
        say("\n\n".join(_method(row) for row in rows))


def toml(found: "Preset") -> str:
    """The preset as the TOML file of a training job, its notes beside the fields they are about."""
    head = [f"{found.name}: {found.description}.", f"Source: {found.source}."]
    if found.published is not None:
        head.append(f"Published: average certified radius {found.published:.3f} ({found.where}).")
    body = found.body()
    beside = {name: text for name, text in found.notes.items() if name.split(".")[0] in body}
    head += [f"On {name}: {text}." for name, text in found.notes.items() if name not in beside]
    lines = [*_comments(head), "", 'kind = "train"', *_fields(body, beside)]
    return "\n".join(lines)


def _fields(body: Mapping[str, Any], notes: Mapping[str, str], table_name: str = "") -> Iterator[str]:
    """Lines of one table, then of the tables in it."""
    for name, value in sorted(body.items(), key=lambda item: isinstance(item[1], Mapping)):
        full = f"{table_name}.{name}".lstrip(".")
        remark = _comments([notes[full]] if full in notes else [])
        if isinstance(value, Mapping):
            yield from ("", *remark, f"[{full}]", *_fields(value, notes, full))
        else:
            yield from (*remark, f"{name} = {json.dumps(value)}")


def _comments(texts: list[str]) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")]


def _overview(listed: "list[Preset]") -> str:
    rows = [[found.name, _acr(found), _summary(found)] for found in listed]
    return table(["preset", "ACR", "method"], rows)


def _acr(found: "Preset") -> str:
    mark = "?" if "published" in found.uncertain else ""
    return "-" if found.published is None else f"{found.published:.3f}{mark}"


def _summary(found: "Preset") -> str:
    """The method with its hyper-parameters on one line, and the fields beside it that are not certain."""
    body = found.body()
    method = body.pop("method")
    parts = [method.pop("name"), *_pairs(method, found.uncertain, "method.")]
    unsure = {name: value for name, value in body.items() if name in found.uncertain}
    return " ".join([*parts, *_pairs(unsure, found.uncertain, "")])


def _pairs(fields: Mapping[str, Any], uncertain: tuple[str, ...], prefix: str) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, uncertain, f"{prefix}{name}.")
        else:
            short = f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')
            inside = prefix.partition(".")[2]
            yield f"{inside}{name}={short}{'?' if f'{prefix}{name}' in uncertain else ''}"


def _method(row: Any) -> str:
    schema = _schema(row.record)
    lines = [row.name, *textwrap.wrap(schema["description"], WIDTH, initial_indent="  ", subsequent_indent="  ")]
    lines.append(f"  {row.reference}")
    for name, default, text in _hyper_parameters(schema["hyper_parameters"]):
        lines.append(f"    {name} = {default}")
        lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines)


def _schema(record: type[Any]) -> dict[str, Any]:
    """A record's docstring, and its JSON schema."""
    import inspect

    from pydantic import TypeAdapter

    description = " ".join(inspect.cleandoc(record.__doc__ or "").split())
    return {"description": description, "hyper_parameters": TypeAdapter(record).json_schema()}


def _hyper_parameters(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default and description of each; those of a record inside follow under its name."""
    inner = schema.get("$defs", {})
    for name, part in schema["properties"].items():
        if "const" in part:
            continue
        choices = [str(choice) for choice in part.get("enum", [])]
        texts = [part.get("description", ""), f"one of {', '.join(choices)}" if choices else ""]
        yield f"{prefix}{name}", json.dumps(part["default"]), "; ".join(text for text in texts if text)
        for member in part.get("anyOf", []):
            if "$ref" in member:
                yield from _hyper_parameters(inner[member["$ref"].rpartition("/")[2]], f"{prefix}{name}.")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
