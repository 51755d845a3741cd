"""Small mixes of a standard and a robust classifier of the digits, whose mixing networks are quick to train."""

from dataclasses import replace

import torch

from radii.rs_core.certify.mixed import Mix, decide_mixed
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.mixing_network import mixing_for
from radii.rs_core.records import Certificate
from radii.rs_core.specs.composition import Mixed
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


def certified(
    index: int, label: int, counts: tuple[int, ...], standard: tuple[float, ...], weight: float = 0.8
) -> Certificate:
    """What such votes certify of a mix, at sigma 0.5 and alpha 0.001."""
    found = decide_mixed(counts, counts, Mix(standard=standard, robust_weight=weight), sigma=0.5, alpha=0.001)
    known = {"counts0": counts, "counts": counts, "n0": sum(counts), "n": sum(counts), "sigma": 0.5, "alpha": 0.001}
    return Certificate(
        index=index,
        label=label,
        prediction=found.prediction,
        radius=found.radius,
        p_lower=found.p_lower,
        p_upper=found.p_upper,
        seed=0,
        bound="mixed",
        standard=standard,
        robust_weight=weight,
        **known,
    )
