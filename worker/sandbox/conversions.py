"""What a converter makes out of the files of a request: a dataset or a checkpoint, and the columns of its row.

It runs in the confined process of ``converter``. A request is that of ``converter.convert``.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, ConversionHints, dump_info
from radii.rs_core.errors import InvalidCheckpoint

if TYPE_CHECKING:
    from radii.rs_core.data.convert import ConvertedDataset

TOLD_EVERY = 0.5
"""Seconds between two counts of the images that are made."""


def dataset(request: dict[str, Any]) -> dict[str, Any]:
    """Makes a dataset; returns the answer."""
    from radii.rs_core.data import convert, dataset_file
    from radii.rs_core.data.builtin import BUILTIN
    from radii.rs_core.data.formats.image_files import Framing

    out = Path(request["out"])
    if request.get("corrupt"):
        return _corrupted(request, out)
    if request.get("builtin"):
        data = BUILTIN[request["builtin"]]()
        dataset_file.save(data, out)
        made = convert.ConvertedDataset(
            content_hash=dataset_file.content_hash(data),
            count=len(data),
            shape=data.shape,
            class_names=data.class_names,
        )
        return _dataset_columns(out, made)
    made = convert.convert(
        paths(request),
        out,
        format=request.get("format"),
        class_names=request.get("class_names"),
        framing=Framing(resize=request.get("resize"), center_crop=request.get("center_crop")),
        limit=request.get("max_dataset"),
    )
    return _dataset_columns(out, made)


def _corrupted(request: dict[str, Any], out: Path) -> dict[str, Any]:
    """A dataset of corrupted images, out of one that is stored already."""
    from radii.rs_core.data import dataset_file
    from radii.rs_core.data.corruptions import spec
    from radii.rs_core.data.corruptions.convert import write_corrupted

    (path,) = paths(request)
    last = time.monotonic()

    def tell(done: int, _: int) -> None:
        nonlocal last
        if time.monotonic() - last >= TOLD_EVERY:
            last = time.monotonic()
            os.write(request["progress"], f"{done}\n".encode())

    made = write_corrupted(
        dataset_file.open_dataset(path),
        spec.parse(request["corrupt"]),
        out,
        clean_hash=request.get("clean_hash"),
        limit=request.get("max_dataset"),
        told=tell,
    )
    return _dataset_columns(out, made)


def _dataset_columns(out: Path, made: "ConvertedDataset") -> dict[str, Any]:
    """A dataset's row, as far as it follows from what was made; ``source`` is what is known of corrupted images, and
    which entries of its archive were skipped."""
    from radii.rs_core.data import dataset_file
    from radii.rs_core.data.corruption_info import to_json

    columns = {
        "content_hash": made.content_hash,
        "count": made.count,
        "shape": list(made.shape),
        "num_classes": len(made.class_names),
        "class_names": list(made.class_names),
        "eight_bit": dataset_file.on_8_bit_grid(out),
    }
    corrupted = {} if made.corrupted is None else {"corrupted": to_json(made.corrupted)}
    skipped = {} if made.skipped is None else {"skipped": made.skipped.to_json()}
    source = corrupted | skipped
    return {"columns": columns} | ({"source": source} if source else {})


def checkpoint(request: dict[str, Any]) -> dict[str, Any]:
    """Makes a checkpoint; returns the answer."""
    from pydantic import TypeAdapter, ValidationError

    from radii.rs_core.models import registry
    from radii.rs_core.specs.jobs import invalid_spec

    registry.use(request.get("architectures"))
    if request.get("compose"):
        return {"columns": checkpoint_columns(_composed(request))}
    from radii.rs_core.checkpoints.torch_file import convert as convert_file

    given = {name: request[name] for name in ConversionHints.__dataclass_fields__ if request.get(name) is not None}
    try:
        hints = TypeAdapter(ConversionHints).validate_python(given)
    except ValidationError as error:
        raise invalid_spec(error, placed=True) from None
    files = paths(request)
    if len(files) != 1:
        raise InvalidCheckpoint(expected="one file", got=f"{len(files)} files")
    info = convert_file(files[0], hints, Path(request["out"]))
    return {"columns": checkpoint_columns(info)}


def _composed(request: dict[str, Any]) -> CheckpointInfo:
    from pydantic import TypeAdapter

    from radii.rs_core.checkpoints.compose import compose
    from radii.rs_core.specs.composition import Composition

    composition: Composition = TypeAdapter(Composition).validate_python(request["compose"])
    return compose(composition, paths(request), Path(request["out"]))


def checkpoint_columns(info: CheckpointInfo) -> dict[str, Any]:
    """A checkpoint's row, as far as it follows from what the checkpoint says of itself."""
    return {
        "architecture": info.architecture,
        "num_classes": info.num_classes or None,
        "input_shape": list(info.input_shape),
        "sigma": info.sigma,
        "method": info.method,
        "info": dump_info(info),
    }


def paths(request: dict[str, Any]) -> list[Path]:
    """The files of a request."""
    return [Path(path) for path in request["files"].values()]
