"""Architectures that whoever runs the software adds: a TOML file that names functions of theirs. Torch-free to read.

A table of the file is a row; its key is the architecture's name::

    [wide_digits]
    builder = "nets:wide_digits"      # function(num_classes, input_shape) -> torch.nn.Module
    input_shape = [1, 8, 8]           # or: channels = 1 and, if there is one, smallest_side = 8
    head = "2"                        # the last layer, for fine-tuning to other classes; may be left out
    features = ["0", "1"]             # two modules that give maps (B, c, h, w) to a mixing network; may be left out
    description = "one hidden layer of 300"
    reference = "our notes of May"

``nets`` is imported from the folder of the file or from what is installed, in the processes that build networks and in
no other. Its code runs with the rights of those processes: the file is for the operator, never for a tenant.

Networks with tied weights (one tensor under two names) are refused: a stored file has no way to say that two tensors are
one, so a network that is loaded to be trained on would no longer be tied.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Collection
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from radii.rs_core.errors import BrokenArchitecture, InvalidSpec
from radii.rs_core.exception_text import cause_of
from radii.rs_core.models.architecture import Architecture, Shape
from radii.rs_core.specs.composition import is_composite
from radii.rs_core.specs.fields import record
from radii.rs_core.specs.jobs import invalid_spec

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
Side = Annotated[int, Field(ge=1, le=4096)]
ModuleName = Annotated[str, Field(min_length=1, max_length=200)]


@record
class ArchitectureEntry:
    """One table of the file."""

    builder: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="package.module:function")]
    input_shape: Annotated[tuple[Side, Side, Side] | None, Field(description="channels, height, width")] = None
    channels: Side | None = None
    smallest_side: Side = 1
    head: Annotated[str, Field(max_length=200)] = ""
    features: tuple[ModuleName, ModuleName] | None = None
    description: Annotated[str, Field(min_length=1, max_length=500)]
    reference: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _one_shape(self) -> "ArchitectureEntry":
        if (self.input_shape is None) == (self.channels is None):
            raise ValueError("exactly one of input_shape and channels")
        return self


_ROW = TypeAdapter(ArchitectureEntry)


def read(path: Path, taken: Collection[str]) -> dict[str, Architecture]:
    """The rows of the file by name, none of which may be one of ``taken``; :class:`InvalidSpec` says what is wrong with which."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSpec(expected="a TOML file of architectures", got=str(error), where=str(path)) from None
    return {name: _row(name, table, path, taken) for name, table in tables.items()}


def network(row: Architecture, num_classes: int, input_shape: Shape) -> "nn.Module":
    """What the row's function builds; :class:`BrokenArchitecture` where it fails, or gives no classifier."""
    from torch import nn

    where = f"{row.name}, {row.builder}"
    try:
        made: Any = function(row)(num_classes, input_shape)
    except Exception as error:  # the function is anybody's
        raise BrokenArchitecture(
            expected="a function that builds a network", got=cause_of(error), where=where
        ) from error
    if not isinstance(made, nn.Module):
        raise BrokenArchitecture(expected="a torch.nn.Module", got=f"a {type(made).__name__}", where=where)
    _check_logits(made, num_classes, input_shape, where)
    _check_memory(made, where)
    return made


def _row(name: str, table: Any, path: Path, taken: Collection[str]) -> Architecture:
    where = f"{name[:100]} in {path.name}"
    if not NAME.fullmatch(name) or name in taken or is_composite(name):
        raise InvalidSpec(
            expected="a name of letters, digits, _, . and - that is not one of the table's own, nor a kind of composite",
            got=repr(name)[:200],
            where=where,
        )
    if not isinstance(table, dict):
        raise InvalidSpec(expected="a table with a builder and a description", got=repr(table)[:200], where=where)
    try:
        row = _ROW.validate_python(table)
    except ValidationError as error:
        fault = invalid_spec(error, placed=True)
        raise InvalidSpec(expected=fault.expected, got=fault.got, where=where) from None
    return Architecture(
        name=name,
        builder=row.builder,
        input_shape=row.input_shape,
        channels=row.channels or (row.input_shape or (1, 1, 1))[0],
        head=row.head,
        features=row.features,
        description=row.description,
        reference=row.reference,
        source="registered",
        smallest_side=row.smallest_side,
        folder=str(path.absolute().parent),
    )


def function(row: Architecture) -> Callable[[int, Shape], Any]:
    """The function that the row names, imported. The file's folder comes last on the path: it adds modules, and hides none."""
    if row.folder not in sys.path:
        sys.path.append(row.folder)
    module, name = row.builder.split(":")
    found: Callable[[int, Shape], Any] = getattr(import_module(module), name)
    return found


def _check_logits(made: "nn.Module", num_classes: int, input_shape: Shape, where: str) -> None:
    """One black image must give a row of ``num_classes`` logits."""
    import torch

    training = made.training
    try:
        with torch.no_grad():
            logits: Any = made.eval()(torch.zeros(1, *input_shape))
    except Exception as error:
        raise BrokenArchitecture(
            expected=f"a network for images {tuple(input_shape)}",
            got=cause_of(error),
            where=where,
        ) from error
    made.train(training)
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else None
    if shape != (1, num_classes):
        got = f"a {type(logits).__name__}" if shape is None else f"a tensor of shape {shape}"
        raise BrokenArchitecture(expected=f"logits of shape (1, {num_classes}) for one image", got=got, where=where)


def _check_memory(made: "nn.Module", where: str) -> None:
    """No two tensors of the state dict may overlap in memory; lying side by side in one block is no fault."""
    import torch

    spans = sorted(
        (str(tensor.device), *_span(tensor), name)
        for name, tensor in made.state_dict().items()
        if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.numel()
    )
    shared = [
        (name, next_name)
        for (device, _, end, name), (next_device, start, _, next_name) in pairwise(spans)
        if device == next_device and start < end
    ]
    if shared:
        got = "{} and {} in the same".format(*min(shared))
        raise BrokenArchitecture(expected="weights that each have memory of their own", got=got, where=where)


def _span(tensor: "Tensor") -> tuple[int, int]:
    """Addresses of its first byte, and after its last."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()
