"""The attack on a smoothed classifier whose boundary is known."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests_support.linear import HalfSpaces, grey, subject
from torch import Tensor, nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.errors import Mismatch
from radii.rs_core.evaluate import common
from radii.rs_core.evaluate.attack import evaluate, gamma_of
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.noise import streams
from radii.rs_core.specs.composition import Mixed
from radii.rs_core.specs.evaluations import Attack

MARGIN, SIGMA = 0.8, 0.05


def rows(records: Iterable[object]) -> list[EvaluationRecord]:
    return [record for record in records if isinstance(record, EvaluationRecord)]


@pytest.mark.parametrize("algorithm", ["pgd", "ddn"])
@pytest.mark.parametrize("target", ["smoothed", "base"])
def test_an_attack_succeeds_beyond_the_margin_and_fails_within_it(algorithm: str, target: str) -> None:
    """Two standard deviations on each side of the boundary: PREDICT of 1,000 samples sees either class in 97.7 %."""
    asked = Attack(
        algorithm=algorithm, target=target, epsilons=(0.0, MARGIN - 0.1, MARGIN + 0.1), m=8, n=1_000, ddn_gamma=0.05
    )
    (row,) = rows(evaluate(subject(MARGIN, SIGMA), [(3, grey(), 0)], asked))
    assert [at.prediction for at in row.found] == [0, 0, 1]
    assert row.right(3) == (True, True, False)


@pytest.mark.parametrize("algorithm", ["pgd", "ddn"])
def test_what_is_found_lies_in_the_ball_and_in_the_box(algorithm: str) -> None:
    asked = Attack(algorithm=algorithm, epsilons=(0.25, 1.0, 6.0), m=4, n=100)
    (row,) = rows(evaluate(subject(MARGIN, SIGMA), [(0, grey(), 0)], asked))
    for at in row.found:
        assert at.distance <= at.point + 1e-5
        assert at.distance <= 4.0 + 1e-5  # from the middle of the box to its corner


def test_ddn_comes_back_to_the_boundary_from_far_beyond() -> None:
    asked = Attack(algorithm="ddn", epsilons=(3.0,), steps=200, m=8, n=100)
    (row,) = rows(evaluate(subject(MARGIN, SIGMA), [(0, grey(), 0)], asked))
    assert MARGIN < row.found[0].distance < MARGIN + 0.15


def test_an_input_is_attacked_alike_alone_and_among_others() -> None:
    asked = Attack(epsilons=(0.5, 0.8), m=4, n=300)
    others = [(index, torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(index)), 0) for index in (0, 1)]
    alone = rows(evaluate(subject(MARGIN, SIGMA), [(7, grey(), 0)], asked))
    among = rows(evaluate(subject(MARGIN, SIGMA), [*others, (7, grey(), 0)], asked))
    assert replace(among[-1], seconds=0.0) == replace(alone[0], seconds=0.0)


def test_another_seed_is_another_draw() -> None:
    asked = Attack(epsilons=(MARGIN,), m=4, n=1_000)
    one, other = (rows(evaluate(subject(MARGIN, SIGMA, seed=seed), [(7, grey(), 0)], asked))[0] for seed in (0, 1))
    assert one.found[0].counts != other.found[0].counts


def test_no_two_uses_share_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an attack and of the certification with the same seed and index, every stream that is opened is noted."""
    opened: dict[str, set[tuple[int, ...]]] = {"attack": set(), "certificate": set()}
    use = "attack"
    real = streams.generator

    def noted(seed: int, index: int, stage: streams.Stage, part: int = 0, **more: Any) -> torch.Generator:
        opened[use].add((seed, index, int(stage)))
        return real(seed, index, stage, part, **more)

    for module in (streams, common):
        monkeypatch.setattr(module, "generator", noted)
    found = subject(MARGIN, SIGMA)
    rows(evaluate(found, [(7, grey(), 0)], Attack(epsilons=(0.5,), m=2, n=100)))
    use = "certificate"
    list(engine.certify(found.votes, [(7, grey(), 0)], Procedure(sigma=SIGMA, n0=100, n=100)))
    assert len(opened["attack"]) == 3, "the attack's noise, its directions, the votes"
    assert len(opened["certificate"]) == 2 and not opened["attack"] & opened["certificate"]


def test_fewer_activations_are_the_same_attack() -> None:
    asked = Attack(epsilons=(0.4,), m=16, n=100)
    large, small = (
        rows(evaluate(subject(MARGIN, SIGMA, batch_size=size), [(0, grey(), 0)], asked))[0].found[0]
        for size in (100, 5)
    )
    assert large.distance == pytest.approx(small.distance, rel=1e-5)
    assert large.counts == small.counts


def test_the_weights_are_as_they_were_and_get_no_gradient() -> None:
    found = subject(MARGIN, SIGMA)
    rows(evaluate(found, [(0, grey(), 0)], Attack(epsilons=(0.5,), m=2, n=100)))
    (margin,) = found.model.parameters()
    assert float(margin.detach()) == pytest.approx(MARGIN) and margin.grad is None and margin.requires_grad


def test_a_long_attack_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "SECONDS_BETWEEN_SIGNS", 0.0)
    asked = Attack(epsilons=(0.5,), steps=30, m=2, n=100)
    records = list(evaluate(subject(MARGIN, SIGMA), [(5, grey(), 0)], asked))
    signs = [record for record in records if isinstance(record, Heartbeat)]
    assert len(signs) > 30 and {sign.index for sign in signs} == {5}


def test_the_published_gamma_brings_ddn_from_epsilon_to_three_levels_of_510() -> None:
    gamma = gamma_of(1.0, 20)
    assert (1 - gamma) ** 20 == pytest.approx(3 / 510)
    assert 0 < gamma_of(1e-4, 20) < 1


def of_a_mix(weight: float, against: float) -> common.EvaluationTarget:
    """The half-spaces as robust classifier, beside a standard one that turns after ``against``."""
    robust = subject(MARGIN, SIGMA)
    mix = MixedClassifier(Mixed(robust_weight=weight), [HalfSpaces(against).eval(), robust.model])
    return replace(robust, mix=mix)


def test_a_mix_turns_where_its_robust_part_no_longer_outweighs_the_standard_one() -> None:
    """With a weight of 0.8 and the standard part against it, the exact mix turns at h = 0.625, which is 0.016 before the
    robust part's boundary; the certificate of the input ends 0.037 before that."""
    asked = Attack(target="mix", epsilons=(0.0, 0.7, 0.9), m=16, n=1_000)
    (row,) = rows(evaluate(of_a_mix(0.8, 0.2), [(3, grey(), 0)], asked))
    assert [at.prediction for at in row.found] == [0, 0, 1]
    standard_alone = replace(asked, robust_weight=0.0)
    (row,) = rows(evaluate(of_a_mix(0.8, 0.2), [(3, grey(), 0)], standard_alone))
    assert [at.prediction for at in row.found] == [0, 1, 1]


def test_only_a_mix_with_a_constant_weight_is_attacked_as_one() -> None:
    with pytest.raises(Mismatch, match="mixes a standard and a robust classifier, for target = mix"):
        rows(evaluate(subject(MARGIN, SIGMA), [(3, grey(), 0)], Attack(target="mix", epsilons=(0.5,))))


class Halves(nn.Module):
    """Logits (B, 2) that turn where the left or the right half of the pixels is bright enough, after a sharp or a soft slope."""

    def __init__(self, right: bool, margin: float, sharpness: float) -> None:
        super().__init__()
        self.margin, self.sharpness = margin, sharpness
        self.columns = slice(4, 8) if right else slice(0, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        across = (x[..., self.columns] - 0.5).flatten(1).sum(1) / 32**0.5
        beyond = self.sharpness * (across - self.margin)
        return torch.stack([-beyond, beyond], 1)


def test_a_confident_standard_classifier_does_not_hide_itself_from_the_attack() -> None:
    """Its boundary is 0.3 away in a direction of its own, and so sharp that the mix's probability has no gradient there; its
    weight of 0.6 is enough to turn the mix."""
    robust = Halves(right=True, margin=1.0, sharpness=4.0)
    mix = MixedClassifier(Mixed(robust_weight=0.4), [Halves(right=False, margin=0.3, sharpness=200.0), robust])
    sampler = Sampler(robust, 0.25, 2, seed=0)
    found = common.EvaluationTarget(
        model=robust, sampler=sampler, seed=0, device=torch.device("cpu"), batch_size=100, mix=mix.eval()
    )
    (row,) = rows(evaluate(found, [(0, grey(), 0)], Attack(target="mix", epsilons=(0.5,), m=8, n=500)))
    assert row.found[0].prediction == 1
