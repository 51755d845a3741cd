"""Checkpoints of the public functions, in radii's format."""

from pathlib import Path
from typing import Any

from radii.library.training import TrainingResult
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.models.base_classifier import BaseClassifier

SUFFIX = ".safetensors"


def load_checkpoint(path: str | Path) -> tuple[BaseClassifier, CheckpointInfo]:
    """Reads a checkpoint in radii's format, as :func:`save_checkpoint`, ``radii train`` and the service write it.

    For files of other formats, use the command ``radii certify --architecture NAME`` or upload them to a service: both open them in an
    isolated process.

    Args:
        path: a ``.safetensors`` file.

    Returns:
        The classifier, from images (B, C, H, W) in [0, 1] to logits (B, num_classes), and what is known of its training.

    Raises:
        InvalidCheckpoint: the file is none of radii's checkpoints.
    """
    return checkpoint.load(Path(path))


def save_checkpoint(
    trained: TrainingResult | BaseClassifier, path: str | Path, info: CheckpointInfo | None = None
) -> None:
    """Writes a checkpoint that :func:`load_checkpoint`, the command line and a service can read.

    Args:
        trained: what :func:`train` returned, or a classifier of :func:`load_checkpoint`.
        path: a ``.safetensors`` file. One that exists is replaced when the new one is complete.
        info: the record of the classifier, as :func:`load_checkpoint` returned it. By default, that of the training.

    Raises:
        InvalidSpec: there is no record, or the path has another ending.
        InvalidCheckpoint: the weights are not those of the architecture in the record.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise InvalidSpec(expected=f"a path that ends in {SUFFIX}", got=str(path), where="path")
    model = trained.model if isinstance(trained, TrainingResult) else _classifier(trained)
    part = target.with_name(target.name + ".part")
    checkpoint.save(model, _record(trained, info), part)
    part.replace(target)


def _classifier(given: Any) -> BaseClassifier:
    if isinstance(given, BaseClassifier):
        return given
    expected = "what radii.train returned, or a classifier of radii.load_checkpoint with its info"
    got = f"a {type(given).__name__}; save the weights of a network of your own with torch.save"
    raise InvalidSpec(expected=expected, got=got, where="trained")


def _record(trained: TrainingResult | BaseClassifier, info: CheckpointInfo | None) -> CheckpointInfo:
    if isinstance(info, CheckpointInfo):
        return info
    if info is None and isinstance(trained, TrainingResult):
        return trained.info
    got = "none" if info is None else f"a {type(info).__name__}"
    hint = "; pass what radii.train returned, or the info that radii.load_checkpoint returned with the model"
    raise InvalidSpec(expected="the record of the classifier, a radii.CheckpointInfo", got=got + hint, where="info")
