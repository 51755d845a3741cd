"""What the training of a mixing network begins with (Adaptive Smoothing, Bai et al. 2023, arXiv 2301.12554), and which part of
a model a training changes. The loss is in ``methods.adaptive_smoothing``."""

import copy
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from radii.rs_core.errors import Mismatch
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.mixed import MixedClassifier, MixWithGamma
from radii.rs_core.models.mixing_network import mixing_for
from radii.rs_core.noise.streams import Stage, generator
from radii.rs_core.specs.composition import A_MIX, Mixed, Mixing
from radii.rs_core.specs.jobs import AdaptiveSmoothing, TrainSpec


def first_mixture(spec: TrainSpec, shape: Shape, start: BaseClassifier) -> BaseClassifier:
    """A mix of copies of the parts of ``start``, on the CPU and without gradients, for images of ``shape`` (C, H, W); its mixing
    network is that of ``start``, or of the seed's initial weights where it has none. Raises :class:`Mismatch` where it is no mix.
    """
    given = start.network
    if not isinstance(given, MixedClassifier):
        raise Mismatch(expected=A_MIX, got=start.architecture, where="start_from")
    assert isinstance(spec.method, AdaptiveSmoothing)
    parts = [copy.deepcopy(part) for part in (given.standard, given.robust)]
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(spec.seed, 0, Stage.INITIAL_WEIGHTS).get_state())
        network = MixedClassifier(_composition(spec.method, given, shape), parts)
    if network.mixing is not None and given.mixing is not None:
        network.mixing.load_state_dict(given.mixing.state_dict())
    network.parts.requires_grad_(False)
    return BaseClassifier(network, None, start.architecture)


def learner(model: BaseClassifier) -> nn.Module:
    """The module whose weights a training changes: the mixing network of a mix, else all of the model."""
    network = model.network
    return cast(nn.Module, network.mixing) if isinstance(network, MixedClassifier) else model


def shown(model: BaseClassifier) -> nn.Module:
    """What a method's loss calls: a mix together with its gamma, else the model itself."""
    return MixWithGamma(model) if isinstance(model.network, MixedClassifier) else model


def _composition(hp: AdaptiveSmoothing, given: MixedClassifier, shape: Shape) -> Mixed:
    """What the mix is from now on: what the method says, else what it was."""
    side = given.spec.standard_size
    resized = shape if side is None else (shape[0], side, side)
    mixing = given.spec.mixing or mixing_for([given.standard, given.robust], [resized, shape])
    return replace(
        given.spec,
        robust_weight=None,
        mixing=_scaled(hp, mixing),
        standard_scale=given.spec.standard_scale if hp.standard_scale is None else hp.standard_scale,
        robust_scale=given.spec.robust_scale if hp.robust_scale is None else hp.robust_scale,
    )


def _scaled(hp: AdaptiveSmoothing, mixing: Mixing) -> Mixing:
    least = mixing.weight_bias if hp.least_weight is None else hp.least_weight
    largest = mixing.weight_bias + mixing.weight_scale if hp.largest_weight is None else hp.largest_weight
    if least > largest:
        got = f"{least:g}, above the largest weight of {largest:g}"
        raise Mismatch(expected="a least weight below the largest", got=got, where="method.least_weight")
    return replace(
        mixing,
        gamma_scale=mixing.gamma_scale if hp.gamma_scale is None else hp.gamma_scale,
        gamma_bias=mixing.gamma_bias if hp.gamma_bias is None else hp.gamma_bias,
        weight_bias=least,
        weight_scale=largest - least,
    )
