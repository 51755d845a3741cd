"""Small mixes of a standard and a robust classifier of the digits, whose mixing networks are quick to train."""

from dataclasses import replace

import torch

from rs_core.checkpoint_info import CheckpointInfo
from rs_core.compose import joined
from rs_core.composition import Mixed
from rs_core.models.mixing import mixing_for
from rs_core.models.normalize import BaseClassifier
from tests_support import parts

SHAPE = (1, 8, 8)


def constant(weight: float = 0.5) -> tuple[BaseClassifier, CheckpointInfo]:
    """Two untrained classifiers, mixed with a constant weight, and the record of the mix."""
    return joined(Mixed(robust_weight=weight), *parts.two())


def adaptive(
    models: list[BaseClassifier] | None = None, widths: tuple[int, int, int] = (4, 8, 8), **scales: float
) -> tuple[BaseClassifier, CheckpointInfo]:
    """Classifiers of the digits under an untrained mixing network of these widths, and the record of the mix."""
    untrained, infos = parts.two()
    models = untrained if models is None else models
    mixing = replace(mixing_for(models, [SHAPE, SHAPE], **scales), widths=widths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return joined(Mixed(mixing=mixing), models, infos)
