"""Models of local runs: checkpoints of ours, and files of other kinds, which are converted first."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.models.base_classifier import BaseClassifier

CONVERT_SECONDS, CONVERT_MEMORY = 600.0, 16 * 2**30


def load_checkpoint(path: Path, hints: Mapping[str, str | None]) -> "tuple[BaseClassifier, CheckpointInfo]":
    """The model in a checkpoint of ours, or in a file of another kind, which is converted first."""
    from radii.rs_core.checkpoints import checkpoint

    with ours(path, hints) as readable:
        return checkpoint.load(readable)


@contextmanager
def ours(path: Path, hints: Mapping[str, str | None]) -> Iterator[Path]:
    """The file, where it is a checkpoint of ours that says it all; else, while the block lasts, what it is converted to."""
    from radii.rs_core.errors import InvalidCheckpoint
    from radii.rs_core.models import registry
    from radii.rs_core.safetensors_header import is_tensorfile, read_header
    from radii.worker.sandbox.converter import convert

    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise InvalidCheckpoint(expected="a file", got=found, where=str(path))
    given = {name: value for name, value in hints.items() if value is not None}
    if not given and is_tensorfile(path) and read_header(path, InvalidCheckpoint).ours() is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="radii-") as folder:
        out = Path(folder) / "converted.safetensors"
        known = {"architectures": registry.registered_file(), **given}
        request = {"what": "checkpoint", "files": {path.name: str(path)}, "out": str(out), **known}
        convert(request, seconds=CONVERT_SECONDS, memory=CONVERT_MEMORY)
        yield out
