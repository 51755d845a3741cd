"""Options of a command out of the fields of job specifications: name, type, bounds, default and help are those of the record.

The records take a moment to import. A command gets these options when it is used, so that ``radii --help`` comes at once: until
then it stands in the group without them (see ``completed``).
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

if TYPE_CHECKING:
    from radii.rs_core.specs.fields import Flag

Flags = Mapping[str, Any]
"""What was given of the fields, by name; None where it was not."""
REQUIRED = "required"
LARGEST_SHOWN = 2**31
"""Largest bound that help shows."""
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
FLAGS = "flags"
"""The parameter of a command that gets them."""
Texts = Mapping[str, tuple[str | None, str]]


@dataclass(frozen=True, kw_only=True)
class JobField:
    """One field of one or more kinds of jobs, as a command line offers it. By kind: ``fields``, its names in the records, and
    ``defaults``, what holds without it, in words."""

    name: str
    fields: dict[str, str]
    type: Any
    flag: "Flag"
    bounds: dict[str, float]
    defaults: dict[str, str]


def with_fields_of(
    *kinds: str, without: Iterable[str] = (), texts: Texts | None = None, evaluations: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each field of these kinds of jobs, by default of all, but for those in ``without``. The command gets
    all of them as its parameter ``flags``. "KINDS" and "EVALUATIONS" in the help of its own
    options are replaced by the known names.

    ``texts`` gives fields another placeholder and help than their own, as a service names datasets by identifiers. With
    ``evaluations`` the fields of all evaluations are options, too.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def light(**values: Any) -> None:
            raise AssertionError("expected the completed command to be called")

        own = inspect.signature(command).parameters.values()
        _describe(light, command, [each for each in own if each.name != FLAGS])
        light.completed = lambda: _completed(  # type: ignore[attr-defined]
            command, _options(kinds, set(without), texts or {}, evaluations)
        )
        return light

    return decorate


def completed(command: Callable[..., Any]) -> Callable[..., Any] | None:
    """The same command with the options of its jobs; None where it has none of them."""
    make = getattr(command, "completed", None)
    return None if make is None else make()


def _options(kinds: Sequence[str], without: set[str], texts: Texts, evaluations: bool) -> list[inspect.Parameter]:
    kinds = kinds or known_kinds()
    options = [_parameter(field, texts, kinds) for field in job_fields(kinds)]
    if evaluations:
        options += [_parameter(field, texts, [*field.defaults]) for field in evaluation_fields()]
    return [option for option in options if option.name not in without]


def _completed(command: Callable[..., None], options: Sequence[inspect.Parameter]) -> Callable[..., None]:
    def whole(**values: Any) -> None:
        flags = {option.name: values.pop(option.name) for option in options}
        command(**values, flags=flags)

    own = [_with_names(each) for each in inspect.signature(command).parameters.values()]
    place = next(number for number, each in enumerate(own) if each.name == FLAGS)
    _describe(whole, command, [*own[:place], *options, *own[place + 1 :]])
    return whole


def known_kinds() -> tuple[str, ...]:
    """The kinds of jobs that can be submitted."""
    from radii.rs_core.specs.jobs import RECORDS

    return tuple(RECORDS)


def _with_names(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter of the command, whose help names what there is."""
    option = next((each for each in getattr(parameter.annotation, "__metadata__", ()) if hasattr(each, "help")), None)
    if option is None:
        return parameter
    named = copy(option)
    for place, names in (("KINDS", known_kinds), ("EVALUATIONS", _evaluations)):
        if place in (named.help or ""):
            named.help = named.help.replace(place, _listed(tuple(names()), "or"))
    return parameter.replace(annotation=Annotated[_without_metadata(parameter.annotation), named])


def _evaluations() -> dict[str, type[Any]]:
    """The records of evaluations, by their names on a command line."""
    from radii.rs_core.specs.evaluations import EvaluationSettings

    return {record.name.replace("_", "-"): record for record in get_args(EvaluationSettings)}


def _describe(function: Any, command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> None:
    """The function looks to Typer like the command with other parameters."""
    function.__name__, function.__doc__, function.__module__ = command.__name__, command.__doc__, command.__module__
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    function.__signature__ = inspect.Signature(keyword)
    function.__annotations__ = {}


def job_fields(kinds: Sequence[str]) -> list[JobField]:
    """The fields that these kinds of jobs have on a command line, those of several kinds once."""
    from radii.rs_core.specs.jobs import RECORDS

    return _once({kind: RECORDS[kind] for kind in kinds})


def evaluation_fields() -> list[JobField]:
    """The fields that evaluations have on a command line, those of several evaluations once; their kinds are the evaluations."""
    return _once({record.name: record for record in _evaluations().values()})


def _once(records: Mapping[str, type[Any]]) -> list[JobField]:
    """The fields of these records, those of several records once."""
    found: dict[str, JobField] = {}
    for kind, record in records.items():
        for field in _fields_of(record, kind):
            if field.name in found:
                found[field.name].fields.update(field.fields)
                found[field.name].defaults.update(field.defaults)
            else:
                found[field.name] = field
    return list(found.values())


def _fields_of(record: type[Any], kind: str) -> Iterator[JobField]:
    from radii.rs_core.specs.fields import Flag, Selection

    hints = get_type_hints(record, include_extras=True)
    for field in fields(record):
        hint = hints[field.name]
        if _without_metadata(hint) is Selection:
            yield from _fields_of(Selection, kind)
            continue
        metadata = getattr(hint, "__metadata__", ())
        flag = next((each for each in metadata if isinstance(each, Flag)), None)
        if flag is None:
            continue
        default = getattr(field.default, "default", field.default)
        yield JobField(
            name=flag.option or field.name,
            fields={kind: field.name},
            type=_plain(hint),
            flag=flag,
            bounds=_bounds(hint),
            defaults={kind: _value_text(flag, default)},
        )


def _without_metadata(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _plain(hint: Any) -> Any:
    """The type without its metadata and without None."""
    hint = _without_metadata(hint)
    if get_origin(hint) in (Union, UnionType):
        rest = [part for part in get_args(hint) if part is not NoneType]
        return _plain(rest[0]) if len(rest) == 1 else str
    return hint


def _bounds(hint: Any) -> dict[str, float]:
    """The smallest and the largest value, by the names of ``BOUNDS``."""
    found = {name: getattr(each, name) for each in _constraints(hint) for name in BOUNDS if hasattr(each, name)}
    return {name: float(value) for name, value in found.items()}


def _constraints(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        kept, *metadata = get_args(hint)
        yield from _constraints(kept)
        for each in metadata:
            yield from getattr(each, "metadata", ())
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _constraints(part)


def _parameter(field: JobField, texts: Texts, kinds: Sequence[str]) -> inspect.Parameter:
    metavar, text = texts.get(field.name, (field.flag.metavar, field.flag.help))
    number = field.type in (int, float)
    option: Any = typer.Option(
        dashed(field.name),
        metavar=metavar,
        help=f"{text} {_range_text(field)}{_default_text(field, kinds)}",
        rich_help_panel=field.flag.group,
    )
    kind = field.type if number or get_origin(field.type) is Literal else str
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def dashed(name: str) -> str:
    """``step_size`` as an option."""
    return f"--{name.replace('_', '-')}"


def _range_text(field: JobField) -> str:
    """The bounds, which the record checks."""
    bounds = {name: value for name, value in field.bounds.items() if abs(value) <= LARGEST_SHOWN}
    if field.type not in (int, float) or not bounds:
        return ""
    if bounds.keys() == {"ge", "le"}:
        return f"{bounds['ge']:,.15g} to {bounds['le']:,.15g}. "
    return " and ".join(f"{BOUNDS[name]} {value:,.15g}" for name, value in bounds.items()).capitalize() + ". "


def _default_text(field: JobField, kinds: Sequence[str]) -> str:
    """What holds where the option is not given; by kind, where kinds differ, and for which kinds it is."""
    by_text: dict[str, list[str]] = {}
    for kind, text in field.defaults.items():
        by_text.setdefault(text, []).append(kind)
    only = "" if len(field.defaults) == len(kinds) else f"For {', '.join(field.defaults)}. "
    if len(by_text) == 1:
        (text,) = by_text
        return f"{only}(required)" if text == REQUIRED else f"{only}(default: {text})"
    return f"{only}(default: {'; '.join(f'{text} for {_listed(those)}' for text, those in by_text.items())})"


def _listed(kinds: Sequence[str], word: str = "and") -> str:
    *before, last = kinds
    return f"{', '.join(before)} {word} {last}" if before else last


def _value_text(flag: "Flag", value: Any) -> str:
    if flag.unset is not None or not isinstance(value, str | int | float):
        return flag.unset or REQUIRED
    return f"{value:.15g}" if isinstance(value, float) else str(value)
