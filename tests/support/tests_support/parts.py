"""Small models to be made parts of others: fixed by a seed, untrained, their batch statistics away from 0 and 1."""

from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.registry import build
from radii.rs_core.specs.fields import Normalization

GREY = Normalization(mean=(0.3,), std=(0.4,))
NAMES = tuple(str(digit) for digit in range(10))
DIGITS = CheckpointInfo(
    architecture="digits_cnn", num_classes=10, input_shape=(1, 8, 8), class_names=NAMES, sigma=0.25, method="gaussian"
)
CIFAR = CheckpointInfo(architecture="cifar_resnet20", num_classes=10, input_shape=(3, 32, 32), sigma=0.25)
DENOISER = CheckpointInfo(architecture="dncnn", num_classes=0, input_shape=(1, 8, 8), role="denoiser", sigma=0.5)


def model(info: CheckpointInfo, seed: int) -> BaseClassifier:
    """A model of that record, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(
            info.architecture,
            num_classes=info.num_classes,
            input_shape=info.input_shape,
            normalization=info.normalization,
        )
        for name, parameter in made.named_parameters():
            if name.endswith("dncnn.47.weight"):  # the last layer of a fresh denoiser takes nothing away
                parameter.data.normal_(0, 0.05)
        for module in made.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.5, 1.5)
    return made.eval()


def two(one: CheckpointInfo = DIGITS) -> tuple[list[BaseClassifier], list[CheckpointInfo]]:
    """Two classifiers of one kind with different weights and normalisations, and their records."""
    mean = (0.3,) * one.input_shape[0]
    infos = [one, replace(one, normalization=Normalization(mean=mean, std=(0.4,) * len(mean)))]
    return [model(info, seed) for seed, info in enumerate(infos)], infos


def denoised() -> tuple[list[BaseClassifier], list[CheckpointInfo]]:
    """A denoiser and a classifier behind a normalisation, and their records."""
    infos = [DENOISER, replace(DIGITS, normalization=GREY)]
    return [model(info, seed) for seed, info in enumerate(infos)], infos


def saved(folder: Path, models: list[BaseClassifier], infos: list[CheckpointInfo]) -> list[Path]:
    """Their files."""
    paths = [folder / f"part{place}.safetensors" for place in range(len(models))]
    for made, info, path in zip(models, infos, paths, strict=True):
        checkpoint.save(made, info, path)
    return paths
