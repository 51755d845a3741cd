"""Checkpoints of the public research code, as PyTorch files: what the converter runs, in a process of its own.

A file is either a state dict or ``{"arch", "state_dict", "epoch", ...}`` (or ``model_state_dict``), written by ``torch.save``. It is looked at as
an archive first and then loaded with ``weights_only=True``, which is no boundary by itself: isolation, limits and time
are the caller's business. Whole models, TorchScript and exported programs are refused. Names are understood by
``tensor_names``; the result is written by ``checkpoint``.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radii.rs_core.checkpoints.checkpoint import empty, fit_state, load, read_tensors, write_state
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, ConversionHints, make_info
from radii.rs_core.checkpoints.tensor_names import (
    ALIASES,
    choose_classes,
    choose_normalization,
    choose_shape,
    missing,
    take_apart,
)
from radii.rs_core.data.dataset_info import listed
from radii.rs_core.data.decompression import most_unpacked
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.registry import architecture, choice
from radii.rs_core.safetensors_header import is_tensorfile, read_header
from radii.rs_core.specs.jobs import normalization

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began its files before version 1.6: a pickled constant."""
NESTED = ("state_dict", "model_state_dict")
"""Under which the state dict lies, where the file holds more."""
WANTED = "a state dict, saved by torch.save(model.state_dict(), path) or as safetensors"


def convert(path: Path, hints: ConversionHints, out: Path) -> CheckpointInfo:
    """Reads a checkpoint of either format, told by its content, and writes ours to ``out``."""
    state, info = _read_tensorfile(path, hints) if is_tensorfile(path) else read_torch_file(path, hints)
    write_state(state, info, out)
    return info


def read_torch_file(path: Path, hints: ConversionHints | None = None) -> tuple[dict[str, Tensor], CheckpointInfo]:
    """The network's state dict, under our names, float32 and finite, and its record.

    Raises :class:`InvalidCheckpoint`, also where neither the file nor ``hints`` say something that is needed, and
    :class:`UnknownArchitecture`.
    """
    _check_container(path)
    body = _load(path)
    nested = next((body[key] for key in NESTED if key in body), None) if isinstance(body, dict) else None
    said = body if isinstance(nested, dict) else {}
    state, info = _understood(
        _tensors(nested if said else body, path.name), said, hints or ConversionHints(), path.name
    )
    _check_strides(state, path)
    return state, info


def _check_strides(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuses tensors that repeat a few bytes by their strides, and would grow when they are copied."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > most_unpacked(path.stat().st_size):
        raise InvalidCheckpoint(
            expected=f"tensors of at most {most_unpacked(path.stat().st_size):,} bytes, for a file of this size",
            got=f"{size:,} bytes",
            where=path.name,
        )


def _read_tensorfile(path: Path, hints: ConversionHints) -> tuple[dict[str, Tensor], CheckpointInfo]:
    """Ours, whose record the hints may complete and must not contradict; or a bare one, which they must explain."""
    if read_header(path, InvalidCheckpoint).ours() is None:
        return _understood(read_tensors(path), {}, hints, path.name)
    model, info = load(path)
    return model.network.state_dict(), _completed(info, hints, path.name)


def _understood(
    state: Mapping[str, Tensor], said: Mapping[str, Any], hints: ConversionHints, where: str
) -> tuple[dict[str, Tensor], CheckpointInfo]:
    """The network's tensors and the record, out of names, shapes, what the file says and what its bringer says."""
    row = architecture(_architecture(said, hints, where))
    parts = take_apart(state, where, row.head, row.unread)
    classes = choose_classes(parts, row, hints, where)
    known = {
        "architecture": row.name,
        "num_classes": classes,
        "input_shape": choose_shape(row, classes, said.get("arch"), hints, where),
        "class_names": hints.class_names or (),
        "sigma": hints.sigma,
        "method": hints.method,
        "epoch": said["epoch"] if type(said.get("epoch")) is int and said["epoch"] >= 0 else None,
        "provenance": {"origin": "converted", "torch": torch.__version__},
        "role": row.role,
    }
    # Names before normalisation: of a wrong network, that is what a person should hear first.
    network = fit_state(parts.network, empty(make_info(where, known), where), where)
    chosen = choose_normalization(parts, row, classes, hints, where)
    return network, make_info(where, known | {"normalization": chosen})


def _architecture(said: Mapping[str, Any], hints: ConversionHints, where: str) -> str:
    name = hints.architecture or said.get("arch")
    if not isinstance(name, str):
        raise missing("architecture", "no name in it", where, choice=f", {choice()}")
    return ALIASES.get(name, name)


def _completed(info: CheckpointInfo, hints: ConversionHints, where: str) -> CheckpointInfo:
    stated = {field.name: getattr(hints, field.name) for field in fields(hints)}
    stated = {name: value for name, value in stated.items() if value is not None}
    if "normalization" in stated:
        stated["normalization"] = normalization(stated["normalization"])
    for name, value in stated.items():
        found = getattr(info, name)
        unknown = name in {"class_names", "sigma", "method"} and not found
        if not unknown and found != value:
            raise InvalidCheckpoint(expected=f"{name} {value!r}, as stated", got=f"{found!r}"[:300], where=where)
    return make_info(where, {field.name: getattr(info, field.name) for field in fields(info)} | stated)


def _check_container(path: Path) -> None:
    """Refuses, before torch looks at it, what is no file of ``torch.save``."""
    if not path.is_file():
        raise InvalidCheckpoint(
            expected="a file", got="a folder" if path.is_dir() else "nothing there", where=str(path)
        )
    with path.open("rb") as file:
        start = file.read(len(LEGACY_MAGIC))
    if start[:2] == b"PK":
        _check_archive(path)
    elif start[:1] == b"\x80" and start != LEGACY_MAGIC:
        raise InvalidCheckpoint(expected=WANTED, got="a pickle that torch.save did not write", where=path.name)
    elif start != LEGACY_MAGIC:
        got = f"{path.stat().st_size:,} bytes that start with {start[:8]!r}"
        raise InvalidCheckpoint(expected=WANTED, got=got, where=path.name)


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        raise InvalidCheckpoint(
            expected="a whole file of torch.save", got="one that is cut short or broken", where=path.name
        ) from None
    fault = next((fault for info in members if (fault := _outside(info.filename))), None) or _foreign(members)
    if fault is None and (twice := _twice(members)) is not None:
        fault = f"an archive with two members called {twice!r}, of which readers take different ones"
    if fault is None and sum(info.file_size for info in members) > path.stat().st_size:
        fault = "an archive whose members are together larger than it"
    if fault is not None:
        raise InvalidCheckpoint(expected=WANTED, got=fault, where=path.name)


def _twice(members: Sequence[zipfile.ZipInfo]) -> str | None:
    """A name that two members have."""
    times = Counter(info.filename for info in members)
    return next((name for name, found in times.items() if found > 1), None)


def _outside(name: str) -> str | None:
    leads_out = name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name)
    return f"an archive with the path {name!r}, which leads outside" if leads_out else None


def _foreign(members: Sequence[zipfile.ZipInfo]) -> str | None:
    """What an archive is that torch.save of a state dict did not write."""
    below = {info.filename.partition("/")[2] for info in members}
    if "constants.pkl" in below or any(name.startswith("code/") for name in below):
        return "a TorchScript archive, which is a program"
    if "archive_format" in below or any(info.filename.endswith("exported_program.json") for info in members):
        return "a .pt2 archive of torch.export, which is a program"
    if "data.pkl" not in below:
        return f"a zip archive of something else: {listed([info.filename for info in members]) or 'nothing'}"
    packed = [info.filename for info in members if info.compress_type != zipfile.ZIP_STORED]
    return f"an archive with the compressed member {packed[0]!r}" if packed else None


def _load(path: Path) -> Any:
    """The only place that opens this format."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:  # torch names no types, and the bytes decide what is raised
        got = _reason(str(error)) or f"one that is cut short or broken ({type(error).__name__})"
        raise InvalidCheckpoint(expected=WANTED, got=got, where=path.name) from None


def _reason(message: str) -> str | None:
    """Which Python object the file wanted to make."""
    if found := re.search(r"GLOBAL (\S+) whose module (\S+) is blocked", message):
        return f"a pickle that calls {found[1]}"
    if found := re.search(r"GLOBAL (\S+) was not an allowed global", message):
        return f"a pickle of Python objects, {found[1]} among them, as when a whole model is saved"
    return None


def _tensors(body: Any, where: str) -> dict[str, Tensor]:
    """``body`` if it is a state dict."""
    if not isinstance(body, dict) or not body:
        raise InvalidCheckpoint(expected=WANTED, got=f"a {type(body).__name__} without tensors"[:100], where=where)
    strange = [str(name) for name, value in body.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange:
        raise InvalidCheckpoint(
            expected=WANTED + ", perhaps under the key 'state_dict'",
            got=f"a dict in which these are no tensors: {listed(strange)}"[:500],
            where=where,
        )
    return body
