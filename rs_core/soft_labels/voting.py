"""Votes for soft labels: PREDICT's sampling on one view of each training input.

The preprocessing of CAT-RS (Jeong, Kim and Shin 2023, arXiv 2212.09000) counts votes on images as the training reads
them, so on one augmented view of each. The view of an input comes from a stream of its own, keyed by seed and index: it
is the same whenever and wherever the input is voted on. The noise streams are those of another stage than PREDICT's.
"""

from collections.abc import Iterable, Iterator

from torch import Tensor

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Input, Progress, Stop
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.augment import augment
from radii.rs_core.noise.streams import Stage, generator
from radii.rs_core.records import Prediction
from radii.rs_core.soft_labels.labels import ALPHA


def vote(
    sampler: Sampler,
    inputs: Iterable[Input],
    *,
    n: int,
    augmentation: str = "none",
    crop_size: int | None = None,
    resume: Iterable[Progress] = (),
    alone: bool = False,
    stop: Stop = bool,
) -> Iterator[Progress | Prediction]:
    """``n`` votes on the view of each input; the counts of the records are what soft labels are made of."""
    seen = (
        (index, view(image, index, seed=sampler.seed, augmentation=augmentation, crop_size=crop_size), label)
        for index, image, label in inputs
    )
    stage = Stage.SOFT_LABELS
    return engine.predict(sampler, seen, n=n, alpha=ALPHA, resume=resume, stage=stage, alone=alone, stop=stop)


def view(image: Tensor, index: int, *, seed: int, augmentation: str, crop_size: int | None = None) -> Tensor:
    """The one view of an input (C, H, W) on which votes are counted."""
    if augmentation == "none":
        return image
    return augment(image[None], augmentation, generator(seed, index, Stage.LABEL_VIEW), crop_size)[0]
