"""The training methods by name, as one table that can be read; a method's module is imported when it is first used."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from radii.rs_core.errors import UnknownMethod
from radii.rs_core.specs.methods import (
    AdaptiveSmoothing,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    SmoothAdv,
    SmoothMix,
    Stability,
)

if TYPE_CHECKING:
    from radii.rs_core.methods.base import LossTerms


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """One method: its loss as ``module:function``, the record of its hyper-parameters, and what the loop must know.

    ``chunks(hp)`` is the number of optimiser steps that one loader batch is cut into. ``passes(hp)`` counts the passes
    forward and backward per training image: to the weights, and to the input alone (attacks; at most, or in the mean where their
    number is drawn).
    """

    name: str
    function: str
    record: type[Any]
    chunks: Callable[[Any], int]
    passes: Callable[[Any], tuple[int, int]]
    reference: str
    needs_soft_labels: bool = False


METHODS: dict[str, MethodRow] = {
    row.name: row
    for row in (
        MethodRow(
            name="gaussian",
            function="radii.rs_core.methods.gaussian:loss",
            record=Gaussian,
            chunks=lambda hp: 1,
            passes=lambda hp: (1, 0),
            reference="Cohen et al., Certified Adversarial Robustness via Randomized Smoothing, 2019, arXiv 1902.02918",
        ),
        MethodRow(
            name="stability",
            function="radii.rs_core.methods.stability:loss",
            record=Stability,
            chunks=lambda hp: 1,
            passes=lambda hp: (2, 0),
            reference="Li et al., Certified Adversarial Robustness with Additive Noise, 2019, arXiv 1809.03113",
        ),
        MethodRow(
            name="smoothadv",
            function="radii.rs_core.methods.smoothadv:loss",
            record=SmoothAdv,
            chunks=lambda hp: hp.m if hp.copies == "all" else 1,
            passes=lambda hp: (hp.m if hp.copies == "all" else 1, hp.m * hp.steps),
            reference="Salman et al., Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers, "
            "2019, arXiv 1906.04584",
        ),
        MethodRow(
            name="macer",
            function="radii.rs_core.methods.macer:loss",
            record=Macer,
            chunks=lambda hp: 1,
            passes=lambda hp: (hp.m, 0),
            reference="Zhai et al., MACER: Attack-free and Scalable Robust Training via Maximizing Certified Radius, "
            "2020, arXiv 2001.02378",
        ),
        MethodRow(
            name="consistency",
            function="radii.rs_core.methods.consistency:loss",
            record=Consistency,
            chunks=lambda hp: hp.m,
            passes=lambda hp: (hp.m, 0 if hp.attack is None else hp.m * hp.attack.steps),
            reference="Jeong and Shin, Consistency Regularization for Certified Robustness of Smoothed Classifiers, "
            "2020, arXiv 2006.04062",
        ),
        MethodRow(
            name="smoothmix",
            function="radii.rs_core.methods.smoothmix:loss",
            record=SmoothMix,
            chunks=lambda hp: hp.m,
            passes=lambda hp: (2 * hp.m, hp.m * hp.steps),
            reference="Jeong et al., SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified "
            "Robustness, 2021, arXiv 2111.09277",
        ),
        MethodRow(
            name="cat_rs",
            function="radii.rs_core.methods.cat_rs:loss",
            record=CatRs,
            chunks=lambda hp: hp.m,
            passes=lambda hp: (2 * hp.m, hp.m * hp.steps),
            needs_soft_labels=True,
            reference="Jeong, Kim and Shin, Confidence-aware Training of Smoothed Classifiers for Certified Robustness, "
            "2023, arXiv 2212.09000",
        ),
        MethodRow(
            name="adaptive_smoothing",
            function="radii.rs_core.methods.adaptive_smoothing:loss",
            record=AdaptiveSmoothing,
            chunks=lambda hp: 1,
            passes=lambda hp: (1 + hp.extra_clean + hp.attacked, hp.attacked * hp.steps),
            reference="Bai, Anderson, Kim and Sojoudi, Improving the Accuracy-Robustness Trade-Off of Classifiers via "
            "Adaptive Smoothing, 2023, arXiv 2301.12554",
        ),
    )
}


def method(name: str) -> MethodRow:
    """The row of that name; :class:`UnknownMethod` says which there are."""
    if name not in METHODS:
        raise UnknownMethod(expected=f"one of {', '.join(METHODS)}", got=repr(name)[:200], where="method")
    return METHODS[name]


def loss_function(name: str) -> "Callable[..., LossTerms]":
    """The method's ``loss(hp, model, x, y, step) -> LossTerms``."""
    module, function = method(name).function.split(":")
    return cast("Callable[..., LossTerms]", getattr(import_module(module), function))
