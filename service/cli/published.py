"""``radii published``: what was reported of randomized smoothing, to lay a report beside. It needs no service."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from radii.service.cli.presets import AsJson
from radii.service.console import say, table

if TYPE_CHECKING:
    from radii.rs_core.literature.published_results import Published


def published(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            show_default=False,
            help="A result, such as cifar10/cat_rs/0.25, or the beginning of names, such as cifar10 or imagenet/cat_rs. "
            "(default: all)",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List published results: ACR and certified accuracy in per cent, by whom, and what is disputed about them."""
    from radii.rs_core.literature.published_results import beginning

    listed = beginning(name)
    if as_json:
        say(json.dumps([asdict(found) for found in listed], indent=2))
    elif len(listed) == 1:
        say(_whole(listed[0]))
    else:
        say(table(["result", "ACR", "certified accuracy, per cent, from its first radius on"], [*map(_line, listed)]))


def _line(found: "Published") -> list[str]:
    """One result; a star where a note is to be read."""
    percents = " ".join(f"{share.percent:g}" for share in found.certified_accuracy)
    first = found.certified_accuracy[0].radius if found.certified_accuracy else 0.0
    return [
        f"{found.name}{'*' if found.note else ''}",
        _acr(found),
        percents if not first else f"{first:g}: {percents}",
    ]


def _whole(found: "Published") -> str:
    sigma = "the best noise level at each radius" if found.sigma is None else f"sigma {found.sigma:g}"
    inputs = "inputs not known" if found.inputs is None else f"{found.inputs:,} inputs"
    lines = [
        f"{found.name}: {found.method}, {found.dataset}, {found.architecture}, {sigma}, {inputs}",
        f"ACR {_acr(found)}",
        *(f"certified accuracy at {share.radius:g}: {share.percent:g} %" for share in found.certified_accuracy),
        f"Source: {found.source}.",
    ]
    return "\n".join([*lines, f"Note: {found.note}."] if found.note else lines)


def _acr(found: "Published") -> str:
    return "-" if found.acr is None else f"{found.acr:.3f}"
