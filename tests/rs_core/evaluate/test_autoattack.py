"""AutoAttack on a classifier whose boundary is known, and on mixes with and without a mixing network."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from tests_support import parts, things
from tests_support.linear import grey, subject
from torch import Tensor, nn

from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.data.builtin import digits
from radii.rs_core.errors import Mismatch
from radii.rs_core.evaluate import autoattack, common
from radii.rs_core.evaluate.autoattack import evaluate, mixing_of
from radii.rs_core.evaluate.common import EvaluationTarget
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.models.mixing_network import mixing_for
from radii.rs_core.specs.composition import Mixed
from radii.rs_core.specs.evaluations import AutoAttack

MARGIN = 0.8
"""All 64 pixels moved by 0.1: the distance of the boundary is 0.1 in linf and 0.8 in l2."""
QUICK = {"iterations": 5, "queries": 20}
RECORDED = (
    ("linf", 0.01, [(3, 0.0), (3, 0.0), (4, 0.0), (6, 0.0), (3, 0.0), (1, 0.0)]),
    ("linf", 0.3, [(3, 0.0), (3, 0.0), (6, 0.3), (5, 0.3), (4, 0.3), (3, 0.3)]),
    ("l2", 0.3, [(3, 0.0), (3, 0.0), (4, 0.0), (6, 0.0), (3, 0.0), (1, 0.0)]),
)
"""By norm and radius: prediction and distance of six digits after the attacks."""


def rows(records: Iterable[object]) -> list[EvaluationRecord]:
    return [record for record in records if isinstance(record, EvaluationRecord)]


def bare(model: nn.Module) -> EvaluationTarget:
    return EvaluationTarget(model=model.eval(), sampler=None, seed=0, device=torch.device("cpu"), batch_size=100)


@pytest.mark.parametrize(("norm", "distance"), [("linf", 0.1), ("l2", MARGIN)])
@pytest.mark.parametrize("attack", ["apgd-ce", "fab-t"])
def test_it_succeeds_beyond_the_margin_and_fails_within_it(norm: str, distance: float, attack: str) -> None:
    for epsilon, answer in ((0.9 * distance, 0), (1.1 * distance, 1)):
        asked = AutoAttack(norm=norm, epsilon=epsilon, attacks=(attack,), iterations=20)
        (row,) = rows(evaluate(subject(MARGIN, 0.1), [(3, grey(), 0)], asked))
        clean, attacked = row.found
        assert (clean.prediction, clean.distance, attacked.prediction) == (0, 0.0, answer)
        assert attacked.counts == () and attacked.distance <= epsilon + 1e-5
        assert (attacked.distance == 0) == (answer == 0), "what was not found is the input itself"


def test_the_square_attack_needs_no_gradient() -> None:
    asked = AutoAttack(epsilon=0.2, attacks=("square",), queries=200)
    (row,) = rows(evaluate(subject(MARGIN, 0.1), [(3, grey(), 0)], asked))
    assert row.right(2) == (True, False)


def test_inputs_are_attacked_together_and_come_back_in_order() -> None:
    """With all four attacks of the standard version, on a network of ten classes."""
    data = digits()
    given = [(index, data.image(index), int(data.labels[index])) for index in range(1_500, 1_507)]
    asked = AutoAttack(epsilon=0.3, together=3, **QUICK)
    found = rows(evaluate(bare(things.model()), given, asked))
    assert [row.index for row in found] == [index for index, _, _ in given]
    right = [row.right(2) for row in found]
    assert sum(clean for clean, _ in right) > sum(attacked for _, attacked in right), "it finds something"
    again = rows(evaluate(bare(things.model()), given, asked))
    assert [row.found for row in again] == [row.found for row in found], "the same seed, the same starts"


def test_the_callers_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    rows(evaluate(subject(MARGIN, 0.1), [(3, grey(), 0)], AutoAttack(attacks=("apgd-ce",), iterations=3)))
    assert torch.equal(torch.get_rng_state(), before)


class Slow(nn.Module):
    """A network of four classes that takes its time, and counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4, 64))
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.passes += 1
        time.sleep(0.02)
        return x.flatten(1) @ self.weight.T + torch.tensor([1.0, 0.0, 0.0, 0.0])  # no small change fools it


def test_a_long_attack_gives_signs_of_life_and_ends_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoattack, "SECONDS_BETWEEN_SIGNS", 0.05)
    model = Slow()
    records = evaluate(bare(model), [(5, grey(), 0)], AutoAttack(epsilon=1e-6, attacks=("square",), queries=5_000))
    signs = [next(records) for _ in range(4)]
    assert all(isinstance(sign, Heartbeat) and sign.index == 5 for sign in signs)
    records.close()  # type: ignore[attr-defined]
    made = model.passes
    time.sleep(0.2)
    assert made < 100 and model.passes == made
    assert common.SECONDS_BETWEEN_SIGNS == 1.0


def test_a_model_that_it_cannot_attack_is_refused() -> None:
    with pytest.raises(Mismatch, match="at least 4 classes for apgd-t, got one of 2"):
        rows(evaluate(subject(MARGIN, 0.1), [(3, grey(), 0)], AutoAttack()))
    with pytest.raises(Mismatch, match="a model with a mixing network"):
        rows(evaluate(subject(MARGIN, 0.1), [(3, grey(), 0)], AutoAttack(attacks=("apgd-ce",), adaptive=True)))


def test_the_adaptive_attack_makes_a_mixing_network_trust_the_standard_classifier() -> None:
    """With all of the loss on the network, APGD lowers the robust classifier's weight of inputs that it has not changed the
    answer of; without it, the same attack does not look at the weight."""
    models, infos = parts.two()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mixing = mixing_for(models, [(1, 8, 8), (1, 8, 8)])
        model, _ = joined(Mixed(mixing=mixing), models, infos)
    mixed = mixing_of(model.eval())
    x = torch.stack([digits().image(index) for index in range(4)])
    seen: list[Tensor] = []
    forward = mixed.forward_parts

    def watched(images: Tensor) -> Any:
        found = forward(images)
        seen.append(found.weight.detach().mean())
        return found

    mixed.forward_parts = watched
    given = [(index, x[index], int(model(x[index : index + 1]).argmax())) for index in range(4)]
    ends = {}
    for share in (0.0, 1.0):
        seen.clear()
        asked = AutoAttack(epsilon=0.05, attacks=("apgd-ce",), iterations=10, adaptive=True, adaptive_share=share)
        rows(evaluate(bare(model), given, asked))
        ends[share] = min(float(weight) for weight in seen)
    with torch.no_grad():
        clean = float(forward(x).weight.mean())
    assert ends[1.0] < clean and ends[1.0] < ends[0.0]


def test_the_attacks_give_the_images_that_the_authors_package_gave() -> None:
    """Predictions and distances of pyautoattack 0.2.0 on a fixed network, recorded when its files were taken over."""
    data = digits()
    given = [(index, data.image(index), int(data.labels[index])) for index in range(1_500, 1_506)]
    for norm, epsilon, expected in RECORDED:
        asked = AutoAttack(norm=norm, epsilon=epsilon, attacks=("apgd-ce", "apgd-t", "fab-t", "square"), **QUICK)
        found = rows(evaluate(bare(things.model()), given, asked))
        assert [(row.found[1].prediction, round(row.found[1].distance, 4)) for row in found] == expected
