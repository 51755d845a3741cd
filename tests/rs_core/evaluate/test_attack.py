"""The attack on a smoothed classifier whose boundary is known."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from tests_support.linear import HalfSpaces, grey, subject

from rs_core.composition import Mixed
from rs_core.errors import Mismatch
from rs_core.evaluate import search
from rs_core.evaluate.attack import evaluate, gamma_of
from rs_core.evaluate.records import Evaluated, Working
from rs_core.evaluate_spec import Attack
from rs_core.models.mixed import MixedClassifier

MARGIN, SIGMA = 0.8, 0.05


def rows(records: Iterable[object]) -> list[Evaluated]:
    return [record for record in records if isinstance(record, Evaluated)]


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
    half_a_level = 8 * 0.5 / 255  # by which DDN's grid may leave the ball
    for at in row.found:
        assert at.distance <= at.point + (half_a_level if algorithm == "ddn" else 1e-5)
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


def test_votes_share_no_noise_with_the_attack() -> None:
    """The same seed and index, drawn for the attack and for the votes."""
    found, x = subject(MARGIN, SIGMA), grey()[None]
    attack = found.noises(x, 7, 100)
    votes = search.generator(0, 7, search.Stage.VOTES_FOUND)
    assert not torch.equal(attack.flatten(), SIGMA * torch.randn(6_400, generator=votes))
    assert not torch.equal(
        attack.flatten(), SIGMA * torch.randn(6_400, generator=found.stream(7, search.Stage.PREDICTION))
    )


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
    monkeypatch.setattr(search, "SECONDS_BETWEEN_SIGNS", 0.0)
    asked = Attack(epsilons=(0.5,), steps=30, m=2, n=100)
    records = list(evaluate(subject(MARGIN, SIGMA), [(5, grey(), 0)], asked))
    signs = [record for record in records if isinstance(record, Working)]
    assert len(signs) > 30 and {sign.index for sign in signs} == {5}


def test_the_published_gamma_brings_ddn_from_epsilon_to_three_levels_of_510() -> None:
    gamma = gamma_of(1.0, 20)
    assert (1 - gamma) ** 20 == pytest.approx(3 / 510)
    assert 0 < gamma_of(1e-4, 20) < 1


def of_a_mix(weight: float, against: float) -> search.Subject:
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
