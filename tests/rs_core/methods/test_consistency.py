"""Consistency in special cases: its forms are each other's at the weights that the paper says.

Fixed weights, images and streams throughout: nothing here can fail by chance.
"""

from typing import Any

import pytest
import torch
from tests_support.losses import (
    assert_same,
    constant,
    images,
    implemented,
    measure,
    terms,
)

from radii.rs_core.specs.jobs import Consistency
from radii.rs_core.specs.methods import AttackFirst


def test_the_cross_entropy_form_is_the_published_one_with_eta_at_the_weight() -> None:
    assert_same(Consistency(m=3, weight=3.0, form="cross_entropy"), Consistency(m=3, weight=3.0, eta=3.0))


def test_the_kl_form_is_the_published_one_without_entropy() -> None:
    assert_same(Consistency(m=3, form="kl"), Consistency(m=3, eta=0.0))


def test_mse_compares_the_first_two_copies_alone() -> None:
    two = terms(Consistency(m=2, form="mse"))
    assert terms(Consistency(m=4, form="mse")).parts["squared_difference"] == two.parts["squared_difference"]


@pytest.mark.parametrize("attack", [AttackFirst(steps=0), AttackFirst(steps=3, epsilon=0.0)], ids=repr)
def test_an_attack_that_cannot_move_is_none(attack: AttackFirst) -> None:
    assert_same(Consistency(m=2, attack=attack), Consistency(m=2))


@pytest.mark.parametrize("form", ["kl_entropy", "cross_entropy", "kl", "mse"])
def test_a_prediction_that_underflows_to_zero_has_a_finite_gradient(form: Any) -> None:
    model = constant([300.0, 0.0, -5.0, 0.0, 0.0]).float()
    single = measure(implemented, Consistency(form=form), model=model, x=images(dtype=torch.float32))
    assert torch.isfinite(single.gradient).all()
