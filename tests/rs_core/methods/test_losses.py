"""Every method's loss against a second derivation in float64, value and gradient, on fixed weights and noise.

Two networks: one without batch normalisation, and one whose running statistics make evaluation mode another function.
Everything is drawn from fixed seeds: nothing here can fail by chance.
"""

from functools import cache
from typing import Any

import pytest
import torch
from tests_support.derivation import DERIVATIONS
from tests_support.losses import Measured, apart, images, implemented, labels_for, measure, network, step

from radii.rs_core.methods.registry import METHODS, loss_function
from radii.rs_core.specs.jobs import (
    AdaptiveSmoothing,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    Method,
    SmoothAdv,
    SmoothMix,
    Stability,
)
from radii.rs_core.specs.methods import AttackFirst

DERIVED = 1e-5
"""Relative difference from the derivation; what is left is torch's ``renorm``, which adds 1e-7 to a norm."""
SINGLE = 1e-4
"""The same for a run in float32; 1e-6 was seen."""

_ATTACK = AttackFirst(steps=2, epsilon=0.7)

_FEW: dict[str, Any] = {"extra_clean": 0, "attacked": 1, "steps": 3}

# name -> hyper-parameters, epoch (from 0; warm-ups take 10, the learning rate first drops at 51)
CASES: dict[str, tuple[Method, int]] = {
    "gaussian": (Gaussian(), 20),
    "stability": (Stability(), 20),
    "stability-light": (Stability(weight=0.3), 20),
    "smoothadv-m1": (SmoothAdv(m=1, steps=3, epsilon=0.8), 20),
    "smoothadv-m3": (SmoothAdv(m=3, steps=3, epsilon=0.8), 20),
    "smoothadv-m3-warming-up": (SmoothAdv(m=3, steps=3, epsilon=0.8), 3),
    "smoothadv-m3-warming-up-for-six": (SmoothAdv(m=3, steps=3, epsilon=0.8, warmup_epochs=6), 3),
    "smoothadv-m3-one-copy": (SmoothAdv(m=3, steps=3, epsilon=0.8, copies="one"), 20),
    "smoothadv-m3-far": (SmoothAdv(m=3, steps=3, epsilon=4.0), 20),
    "ddn-m1": (SmoothAdv(m=1, steps=4, epsilon=3.0, attack="ddn"), 20),
    "ddn-m3-warming-up": (SmoothAdv(m=3, steps=4, epsilon=8.0, attack="ddn"), 3),
    "ddn-m3-one-copy-other-gamma": (
        SmoothAdv(m=3, steps=4, epsilon=2.0, attack="ddn", copies="one", ddn_gamma=0.3),
        20,
    ),
    "macer-m1": (Macer(m=1, weight=6.0), 60),
    "macer-m4": (Macer(m=4), 60),
    "macer-m4-warm": (Macer(m=4, beta=0.5), 60),
    "macer-m4-narrow": (Macer(m=4, beta=1.0, margin=0.5), 60),
    "macer-deferred-before": (Macer(m=4, deferred=True), 50),
    "macer-deferred-after": (Macer(m=4, deferred=True, weight=3.0), 51),
    "consistency-m1": (Consistency(m=1), 20),
    "consistency-m3": (Consistency(m=3, weight=7.0, eta=0.2), 20),
    "consistency-cross-entropy": (Consistency(m=3, weight=3.0, form="cross_entropy"), 20),
    "consistency-kl": (Consistency(m=3, form="kl"), 20),
    "consistency-mse": (Consistency(m=3, form="mse"), 20),
    "consistency-attacked": (Consistency(m=2, attack=_ATTACK), 20),
    "consistency-attacked-warming-up": (Consistency(m=2, form="cross_entropy", attack=_ATTACK), 3),
    "consistency-attacked-warming-up-for-six": (
        Consistency(m=2, form="cross_entropy", attack=AttackFirst(steps=2, epsilon=0.7, warmup_epochs=6)),
        3,
    ),
    "smoothmix": (SmoothMix(steps=2), 20),
    "smoothmix-unmoved": (SmoothMix(steps=0), 20),
    "smoothmix-m1-warming-up-for-six": (SmoothMix(m=1, steps=2, warmup_epochs=6), 3),
    "smoothmix-m1-warming-up": (SmoothMix(m=1, steps=2), 3),
    "smoothmix-early": (SmoothMix(steps=3, mix_step=1, step_size=0.6), 4),
    "smoothmix-early-full-radius": (SmoothMix(steps=3, mix_step=1, step_size=0.6, one_step_radius="full"), 4),
    "smoothmix-early-second": (SmoothMix(steps=3, mix_step=2, step_size=0.6), 20),
    "smoothmix-too-late": (SmoothMix(steps=2, mix_step=2, max_norm=0.8), 20),
    "smoothmix-max-norm": (SmoothMix(steps=3, max_norm=1.3), 20),
    "smoothmix-detached": (SmoothMix(steps=2, target="detached"), 20),
    "smoothmix-cross-entropy": (SmoothMix(steps=2, mix_loss="cross_entropy"), 20),
    "smoothmix-detached-cross-entropy": (SmoothMix(steps=2, target="detached", mix_loss="cross_entropy"), 20),
    "cat_rs-m1": (CatRs(m=1, steps=2), 20),
    "cat_rs": (CatRs(m=3, steps=2), 20),
    "cat_rs-unmoved": (CatRs(m=3, steps=0), 20),
    "cat_rs-all": (CatRs(m=3, steps=2, masked_attacks="all", weight=0.5), 20),
    "cat_rs-skip": (CatRs(m=3, steps=2, masked_attacks="skip", weight=2.0), 20),
    "cat_rs-prediction-first": (CatRs(m=3, steps=2, kl="prediction_first"), 20),
    "cat_rs-soft-confidence": (CatRs(m=3, steps=2, confidence="soft_labels"), 20),
    "cat_rs-before-doubling": (CatRs(m=3, steps=2, epsilon=0.4, epsilon_doubles_at=21), 20),
    "cat_rs-doubled": (CatRs(m=3, steps=2, epsilon=0.4, epsilon_doubles_at=20), 20),
    "adaptive_smoothing": (AdaptiveSmoothing(**_FEW), 20),
    "adaptive_smoothing-all-terms": (AdaptiveSmoothing(**_FEW, bce_weight=1.0, ce_weight=0.5, product_weight=0.1), 20),
    "adaptive_smoothing-ce-alone": (AdaptiveSmoothing(**_FEW, bce_weight=0, ce_weight=1, product_weight=0), 20),
    "adaptive_smoothing-scaled": (AdaptiveSmoothing(**_FEW, clean_scale=0.7, attacked_scale=1.9), 20),
    "adaptive_smoothing-far": (AdaptiveSmoothing(**_FEW, epsilon=0.3, epsilon_range=(0.2, 2.0)), 20),
    "adaptive_smoothing-fixed-steps": (AdaptiveSmoothing(**_FEW, step_count="fixed"), 20),
    "adaptive_smoothing-against-gamma": (AdaptiveSmoothing(**_FEW, epsilon=0.3, gamma_share=1.0), 20),
    "adaptive_smoothing-unmoved": (AdaptiveSmoothing(**_FEW, epsilon=0.0), 20),
    "adaptive_smoothing-two-each": (AdaptiveSmoothing(extra_clean=1, attacked=2, steps=3), 20),
}

PASSES = {
    "gaussian": 1,
    "stability": 2,
    "smoothadv": 1,
    "macer": 1,
    "consistency": 1,
    "smoothmix": 2,
    "cat_rs": 2,
    "adaptive_smoothing": 1,
}
"""Training-mode passes of a step, which batch normalisation counts; those of attacks are in evaluation mode."""

every_case = pytest.mark.parametrize("case", CASES)
both_networks = pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])


@cache
def _derived(case: str, batch_norm: bool) -> Measured:
    hp, epoch = CASES[case]
    return measure(DERIVATIONS[hp.name], hp, batch_norm=batch_norm, epoch=epoch)


@cache
def _implemented(case: str, batch_norm: bool) -> Measured:
    hp, epoch = CASES[case]
    return measure(implemented, hp, batch_norm=batch_norm, epoch=epoch)


def test_every_method_of_the_table_is_derived() -> None:
    assert {hp.name for hp, _ in CASES.values()} == set(DERIVATIONS) == set(METHODS) == set(PASSES)


@every_case
@both_networks
def test_loss_and_gradient_equal_the_derivation(case: str, batch_norm: bool) -> None:
    loss, gradient = apart(_implemented(case, batch_norm), _derived(case, batch_norm))
    assert loss < DERIVED
    assert gradient < DERIVED


@every_case
@both_networks
def test_in_float32_they_stay_near(case: str, batch_norm: bool) -> None:
    hp, epoch = CASES[case]
    single = measure(implemented, hp, batch_norm=batch_norm, epoch=epoch, dtype=torch.float32)
    loss, gradient = apart(single, _derived(case, batch_norm))
    assert loss < SINGLE
    assert gradient < SINGLE


@both_networks
def test_each_hyper_parameter_changes_the_loss(batch_norm: bool) -> None:
    """Or the cases above would not show that it is read: no two of them are the same problem twice."""
    values = {
        case: (_derived(case, batch_norm).loss, _derived(case, batch_norm).gradient.norm().item()) for case in CASES
    }
    seen: dict[tuple[str, str], str] = {}
    for case, (loss, gradient) in values.items():
        key = (f"{loss:.7g}", f"{gradient:.7g}")
        assert key not in seen, f"{case} is {seen[key]} again"
        seen[key] = case


@every_case
def test_running_statistics_see_the_training_passes_alone(case: str) -> None:
    got, wanted = (dict(measured(case, True).model.named_buffers()) for measured in (_implemented, _derived))
    assert got["1.num_batches_tracked"] == PASSES[CASES[case][0].name]
    for name in ("1.running_mean", "1.running_var"):
        assert torch.allclose(got[name], wanted[name], rtol=1e-6, atol=1e-7)


@every_case
def test_the_model_is_left_as_it_was(case: str) -> None:
    hp, epoch = CASES[case]
    model = network(batch_norm=True)
    model[0].bias.requires_grad_(False)  # type: ignore[index]
    terms = loss_function(hp.name)(hp, model, images(), labels_for(hp), step(epoch=epoch))
    assert all(module.training for module in model.modules())
    wanted = {name: name != "0.bias" for name, _ in model.named_parameters()}
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == wanted
    assert all(parameter.grad is None for parameter in model.parameters()), "an attack has given weights a gradient"
    assert terms.total.requires_grad and not terms.accuracy.requires_grad
