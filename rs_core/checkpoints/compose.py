"""Makes one model out of several: their files in, one file out, which needs none of them any more.

Parts are checkpoints of ours alone; foreign files pass a conversion first (``torch_file``). What fits together is in
``composite_info``, the networks are in ``models.composites``.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.models import composites
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.composition import Composition


def compose(
    composition: Composition, files: Sequence[Path], out: Path, *, origins: Sequence[Path] | None = None
) -> CheckpointInfo:
    """Writes the composite of the checkpoints in ``files``, in the order of its parts, to ``out``. ``origins`` are the files
    that those were converted from, if they were: each part's record has the hash of its own.

    Raises :class:`InvalidCheckpoint` where a file is none of ours and :class:`IncompatibleParts` where they do not fit together.
    """
    loaded = [checkpoint.load(path) for path in files]
    infos = [replace(info, file_sha256=_sha256(path)) for (_, info), path in zip(loaded, origins or files, strict=True)]
    model, info = joined(composition, [model for model, _ in loaded], infos)
    checkpoint.write_state(model.network.state_dict(), info, out)
    return info


def joined(
    composition: Composition, models: Sequence[BaseClassifier], infos: Sequence[CheckpointInfo]
) -> tuple[BaseClassifier, CheckpointInfo]:
    """The composite of models in memory, which it holds as they are, and its record. Raises :class:`IncompatibleParts`."""
    info = CheckpointInfo(
        **facts(composition, infos),
        composition=composition,
        parts=tuple(infos),
        provenance={"origin": "composed", "torch": torch.__version__},
    )
    return BaseClassifier(composites.network(composition, models), None, info.architecture).eval(), info


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
