"""The learning rate of each optimiser step. Numbers only.

``step`` is one drop every so many epochs (He et al. 2015, arXiv 1512.03385, as the field has it). In the public code behind
Jeong et al. (arXiv 2006.04062, 2111.09277, 2212.09000) the drops reach training one epoch late; their released logs show it.
``cosine`` falls from step to step, to 0 at the end: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm
Restarts", 2016, arXiv 1608.03983, equation (5), without restarts. The warm-up before either is exponential: Ma and Yarats,
"On the Adequacy of Untuned Warmup for Adaptive Optimization", 2019, arXiv 1910.04209.
"""

import math

from radii.rs_core.specs.jobs import TrainSpec


def learning_rate(spec: TrainSpec, epoch: int, step: int = 0, steps: int = 1) -> float:
    """The rate of one of the ``steps`` optimiser steps of ``epoch``, both from 0."""
    done = epoch * steps + step
    rate = _cosine(spec, done / (spec.epochs * steps)) if spec.schedule == "cosine" else _drops(spec, epoch)
    if spec.lr_warmup == 0:
        return rate
    return rate * -math.expm1(-(done + 1) / (spec.lr_warmup * spec.epochs * steps))


def first_drop(spec: TrainSpec) -> int:
    """The first epoch with a lower learning rate, of the schedule in drops."""
    return spec.lr_step + (1 if spec.lr_drop == "published" else 0)


def _drops(spec: TrainSpec, epoch: int) -> float:
    """One drop every ``lr_step`` epochs, by default each one epoch late."""
    reached = max(epoch - 1, 0) if spec.lr_drop == "published" else epoch
    return float(spec.learning_rate * spec.lr_gamma ** (reached // spec.lr_step))


def _cosine(spec: TrainSpec, passed: float) -> float:
    """Half a cosine over the whole training, of which ``passed`` in [0, 1) lies behind."""
    return spec.learning_rate * (1 + math.cos(math.pi * passed)) / 2
