"""The command about the networks that can be chosen, ``architectures``. It needs no service."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.service.cli.presets import AsJson
from radii.service.console import say, table

if TYPE_CHECKING:
    from radii.rs_core.models.architecture import Architecture

EXAMPLE = "torchvision/resnet18"


def architectures(
    everything: Annotated[
        bool, typer.Option("--all", help="Name each of torchvision's networks. (default: one line for all of them)")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the networks: ours, those of RADII_ARCHITECTURES, and torchvision's. JSON has all of them.

    A service lists its own under /v1/architectures. H and W are sides that are free.
    """
    from radii.rs_core.models.registry import rows
    from radii.service.local.architecture_plugins import use_registered

    use_registered()
    known = rows()
    if as_json:
        say(json.dumps([_body(row) for row in known], indent=2))
        return
    listed = [_line(row) for row in known if everything or row.source != "torchvision"]
    if not everything:
        count = sum(row.source == "torchvision" for row in known)
        text = f"{count} networks of torchvision, such as {EXAMPLE}: --all names them"
        listed.append(["torchvision/NAME", "3xHxW", "torchvision", text])
    say(table(["architecture", "input shape", "source", "description"], listed))


def _line(row: "Architecture") -> list[str]:
    return [row.name, _shape(row), row.source, row.description]


def _shape(row: "Architecture") -> str:
    """Channels, height and width; where the sides are free, what they must be."""
    if row.input_shape is not None:
        return "x".join(str(size) for size in row.input_shape)
    rules = [
        f"from {row.smallest_side}" if row.smallest_side > row.side_multiple else "",
        f"multiples of {row.side_multiple}" if row.side_multiple > 1 else "",
    ]
    return ", ".join([f"{row.channels or 'C'}x{'HxH' if row.square else 'HxW'}", *filter(None, rules)])


def _body(row: "Architecture") -> dict[str, Any]:
    """What a service says of it."""
    from radii.service.schemas.responses import Architecture

    return {name: getattr(row, name) for name in Architecture.model_fields}
