"""Certification and training in one call, on a model and data in memory or in files."""

import operator
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from radii.rs_core.certify.sampler import device_of
from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier, in_evaluation_mode
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.load import load
from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.exception_text import first_line, raise_as_network_failure
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import DEFAULT_BATCH, parse_spec
from radii.rs_core.specs.training import TrainSpec
from radii.rs_core.training.loop import train as training
from radii.rs_core.training.records import EpochRecord, StepRecord, TrainingResult

IMAGES_AT_ONCE = 16
"""Images that are certified between two steps of the progress bar."""


def load_dataset(reference: str | Path | Sequence[str | Path]) -> Dataset:
    """Reads a dataset.

    Args:
        reference: ``"digits"`` (built in), a file, or several files: npz, IDX (MNIST), CIFAR binaries, CIFAR-10-C, a zip of class
            folders (``"photos.zip@256/224"`` resizes the shorter side to 256 pixels and crops the center to 224x224).

    Returns:
        Images (N, C, H, W), uint8 or float32 in [0, 1], with their labels and class names.

    Raises:
        InvalidDataset: the files cannot be read, or have pixels outside [0, 1].
    """
    if isinstance(reference, str | Path):
        return load(str(reference))
    return load([str(part) for part in reference])


def load_checkpoint(path: str | Path) -> tuple[BaseClassifier, CheckpointInfo]:
    """Reads a checkpoint in radii's format, as ``radii train`` and the service write it.

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


def certify(
    model: nn.Module | str | Path,
    dataset: Dataset | str | Path | Sequence[str | Path],
    sigma: float | None = None,
    *,
    inputs: Iterable[int] | None = None,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 0.001,
    seed: int = 0,
    batch_size: int = DEFAULT_BATCH,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> list[Certificate]:
    """Certifies images by randomized smoothing: CERTIFY of Cohen et al. 2019, arXiv 1902.02918, with noise N(0, sigma^2 I).

    Args:
        model: the base classifier, from images (B, C, H, W) in [0, 1] plus noise to logits (B, K); normalization is its first
            layer. Or the path of a checkpoint in radii's format.
        dataset: a dataset, or what :func:`load_dataset` takes.
        sigma: noise level, in [0, 1]-pixel units. By default that of the checkpoint's training.
        inputs: indices of the images; all by default. The index names an image's noise, so a subset gets the same certificates as
            the whole dataset.
        n0: noise samples for the selection of the class.
        n: noise samples for the estimation of its probability.
        alpha: failure probability of each certificate.
        seed: names the noise streams.
        batch_size: noise samples per forward pass, at most.
        device: where the model runs: a torch device, or "auto" for a GPU if there is one. By default, where it is now. The model is
            moved there and stays there.
        progress: whether a progress bar is shown on a terminal or in a notebook.

    Returns:
        One certificate for each image, in the order of ``inputs``. A radius is in [0, 1]-pixel units of the l2 norm, and holds with
        probability at least 1 - alpha.

    Raises:
        InvalidSpec: a value is out of its range, or sigma is neither given nor known.
        InvalidCheckpoint, InvalidDataset: a file cannot be read.
        Mismatch: the model has fewer logits than the dataset has classes.
        NetworkFailed: the model cannot be run on such images.
    """
    data = _dataset(dataset)
    if isinstance(model, str | Path):
        model, info = load_checkpoint(model)
        sigma = info.sigma if sigma is None else sigma
    elif not isinstance(model, nn.Module):
        got = f"a {type(model).__name__}; wrap a function in a module whose forward calls it"
        raise InvalidSpec(expected="a torch.nn.Module or the path of a checkpoint", got=got, where="model")
    if sigma is None:
        raise InvalidSpec(
            expected="a noise level sigma above 0", got="none, and the checkpoint has none", where="sigma"
        )
    if device is not None:
        model = model.to(_device(device))
    chosen = list(range(len(data))) if inputs is None else [_index(each) for each in inputs]
    if not chosen or len(set(chosen)) < len(chosen):
        got = "none" if not chosen else "one of them twice"
        raise InvalidSpec(expected="one or more indices, each once", got=got, where="inputs")
    if wrong := [index for index in chosen if not 0 <= index < len(data)]:
        raise InvalidSpec(expected=f"indices from 0 to {len(data) - 1:,}", got=f"{wrong[0]:,}", where="inputs")
    smoothed = SmoothedClassifier(model, sigma, _logits(model, data), seed=seed, batch_size=batch_size)
    found: list[Certificate] = []
    with _bar("Certifying", len(chosen), shown=progress) as advance:
        for start in range(0, len(chosen), IMAGES_AT_ONCE):
            part = chosen[start : start + IMAGES_AT_ONCE]
            labels = [int(data.labels[index]) for index in part]
            found += smoothed.certify(data.batch(part)[0], n0, n, alpha, index=part, label=labels)
            advance(len(part))
    return found


def train(
    dataset: Dataset | str | Path | Sequence[str | Path],
    spec: TrainSpec | None = None,
    *,
    test_data: Dataset | None = None,
    device: torch.device | str = "cpu",
    progress: bool = True,
    **fields: Any,
) -> TrainingResult:
    """Trains a base classifier under noise.

    Args:
        dataset: a dataset, or what :func:`load_dataset` takes.
        spec: what is trained and how. Or give its fields as keywords: ``architecture``, ``sigma``, ``method`` (such as
            ``{"name": "smoothadv"}``), ``epochs``, ``batch_size``, ``learning_rate``, ...; see :class:`TrainSpec`. CAT-RS, adaptive
            smoothing and ``start_from`` need other models first: use ``radii train`` or a service for them.
        test_data: for the accuracy under noise after each epoch; by default the dataset of the field ``test_dataset``.
        device: where it is trained: a torch device, or "auto" for a GPU if there is one.
        progress: whether a progress bar is shown on a terminal or in a notebook.

    Returns:
        The trained model, in evaluation mode, and the epoch of its weights.

    Raises:
        InvalidSpec: a field is unknown or out of its range.
        Mismatch: images and architecture do not fit.
        TrainingDiverged: the loss is not finite.
    """
    data = _dataset(dataset)
    if spec is None:
        if test_data is not None:
            fields = {"test_dataset": test_data.name or "test data", **fields}
        parsed = parse_spec({**fields, "kind": "train", "dataset": data.name or "dataset"})
        assert isinstance(parsed, TrainSpec)
        spec = parsed
    elif fields:
        raise InvalidSpec(expected="a specification or its fields", got=f"both: {', '.join(fields)}", where="spec")
    if test_data is None and spec.test_dataset is not None:
        test_data = load_dataset(spec.test_dataset)
    with _bar("Training", spec.epochs, shown=progress) as advance:
        for record in training(spec, data, test_data=test_data, device=_device(device)):
            if isinstance(record, EpochRecord):
                advance(1)
            elif isinstance(record, TrainingResult):
                return record
            elif isinstance(record, StepRecord):
                advance(0)
    raise AssertionError("training ended without its last record")


def _dataset(given: Any) -> Dataset:
    """The dataset, or what is read from the files that are named."""
    if isinstance(given, Dataset):
        return given
    named = isinstance(given, str | Path) or (
        isinstance(given, list | tuple) and bool(given) and all(isinstance(part, str | Path) for part in given)
    )
    if not named:
        expected = 'a radii.Dataset, "digits", or the path of one or more files'
        raise InvalidSpec(expected=expected, got=f"a {type(given).__name__}", where="dataset")
    return load_dataset(given)


def _index(given: Any) -> int:
    """A whole number; a numpy integer is one, too."""
    try:
        return operator.index(given)
    except TypeError:
        raise InvalidSpec(expected="whole numbers", got=repr(given)[:100], where="inputs") from None


def _device(given: torch.device | str) -> torch.device:
    """The device of that name, if this machine has it."""
    try:
        name = ("cuda" if torch.cuda.is_available() else "cpu") if given == "auto" else given
        return torch.zeros((), device=name).device
    except (AssertionError, RuntimeError) as error:
        raise InvalidSpec(
            expected="auto, or a device of this machine", got=f"{given}: {first_line(error)}", where="device"
        ) from None


def _logits(model: nn.Module, data: Dataset) -> int:
    """How many classes the model tells apart, by a forward pass of one image."""
    if not len(data):
        raise InvalidSpec(expected="a dataset with images", got="none", where="dataset")
    image = data.batch([0])[0].to(device_of(model))
    try:
        with in_evaluation_mode(model), torch.no_grad():
            logits: Any = model(image)
    except Exception as error:  # the model is anybody's
        raise_as_network_failure(error, tuple(image.shape))
        raise
    shape = tuple(getattr(logits, "shape", ()))
    if len(shape) != 2 or shape[0] != 1:
        raise Mismatch(expected="logits of shape (1, K) for one image", got=f"shape {shape}", where="model")
    if shape[1] < data.num_classes:
        raise Mismatch(
            expected=f"a logit for each of the {data.num_classes} classes of {data.name}",
            got=f"{shape[1]}",
            where="model",
        )
    return int(shape[1])


@contextmanager
def _bar(title: str, total: int, *, shown: bool) -> Iterator[Any]:
    """A progress bar on the standard error or in a notebook; its ``advance(steps)``."""
    notebook = "ipykernel" in sys.modules
    if not shown or not (notebook or sys.stderr.isatty()):
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=None if notebook else Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda steps: progress.advance(task, steps)
