"""Certification in one call, of a model and data in memory or in files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from radii.library.arguments import as_device, as_indices
from radii.library.checkpoints import load_checkpoint
from radii.library.datasets import as_dataset
from radii.library.progress import bar
from radii.rs_core.certify.sampler import device_of
from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier, in_evaluation_mode
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.exception_text import raise_as_network_failure
from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import DEFAULT_BATCH

IMAGES_AT_ONCE = 16
"""Images that are certified between two steps of the progress bar."""


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
    data = as_dataset(dataset, "dataset")
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
        model = model.to(as_device(device))
    chosen = as_indices(inputs, len(data))
    smoothed = SmoothedClassifier(model, sigma, _logits(model, data), seed=seed, batch_size=batch_size)
    found: list[Certificate] = []
    with bar("Certifying", len(chosen), shown=progress) as advance:
        for start in range(0, len(chosen), IMAGES_AT_ONCE):
            part = chosen[start : start + IMAGES_AT_ONCE]
            labels = [int(data.labels[index]) for index in part]
            found += smoothed.certify(data.batch(part)[0], n0, n, alpha, index=part, label=labels)
            advance(len(part))
    return found


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
