"""Checkpoints in the layouts of public research code, and what is said of one that cannot be read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from radii.rs_core.checkpoints.checkpoint_info import ConversionHints
from radii.rs_core.checkpoints.torch_file import read_torch_file
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.registry import build
from radii.rs_core.specs.fields import NORMALIZATIONS

CIFAR10, CIFAR100, IMAGENET = (NORMALIZATIONS[name] for name in ("cifar10", "cifar100", "imagenet"))


def state(name: str = "cifar_resnet20", classes: int = 10, shape: Shape = (3, 32, 32)) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build(name, num_classes=classes, input_shape=shape).network.state_dict()


def lenet(classes: int = 10) -> dict[str, Tensor]:
    return state("lenet", classes, (1, 28, 28))


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def saved(folder: Path, body: Any, name: str = "checkpoint.pth.tar", zipped: bool = True) -> Path:
    torch.save(body, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / name


def published(tensors: dict[str, Tensor], arch: str = "cifar_resnet20", **more: Any) -> dict[str, Any]:
    return {"epoch": 90, "arch": arch, "state_dict": tensors, "optimizer": {"param_groups": [{"lr": 0.1}]}} | more


def sentence(path: Path, kind: type[Exception] = InvalidCheckpoint, **hints: Any) -> str:
    with pytest.raises(kind) as caught:
        read_torch_file(path, ConversionHints(**hints))
    return str(caught.value).removeprefix(f"The checkpoint cannot be read ({path.name}): ")
