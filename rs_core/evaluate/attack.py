"""Empirical robustness of a smoothed classifier: Salman et al. 2019, "Provably Robust Deep Learning via Adversarially Trained
Smoothed Classifiers", arXiv 1906.04584, section 4.

For each radius, SmoothAdv's PGD or DDN ascends -log of the mean prediction under m noise samples; then PREDICT is asked, with
fresh noise, at what was found. With the target ``base`` there is no noise in the attack. Answers that are the label and
abstentions, together, bound certified accuracy at the same radius from above, but for the failure probabilities of both. The
counting of answers that contradict a
certificate is left to ``reports.evaluation``.
"""

from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor, nn

from radii.rs_core.attacks import (
    SMALLEST_PROBABILITY,
    Objective,
    average_softmax,
    ddn_iterates,
    frozen,
    pgd_iterates,
    project,
    smoothed_loss,
)
from radii.rs_core.certify.engine import Input
from radii.rs_core.evaluate.common import At, EvaluationTarget, ProgressTimer, judged, last_of
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.noise.streams import Stage, noisy
from radii.rs_core.specs.composition import mixed_weight
from radii.rs_core.specs.evaluations import Attack

SMALLEST_STEP = 3 / 510
"""The norm that published DDN attacks come down to in T steps, l2, in [0, 1]-pixel units."""
TURNED = 5.0
"""By how many logits another class leads the label where the standard classifier has nothing more to give."""
LARGEST_GAMMA, SMALLEST_GAMMA = 0.5, 1e-4
"""The rule for gamma leaves (0, 1) where epsilon is near that norm, or far below it."""


def evaluate(
    subject: EvaluationTarget, inputs: Iterable[Input], asked: Attack
) -> Iterator[Heartbeat | EvaluationRecord]:
    """Each input attacked at each radius; of one input, all from the same noise."""
    for index, image, label in inputs:
        yield Heartbeat(index=index, label=label)
        clock, x = ProgressTimer(), image[None].to(subject.device)
        places: list[At] = []
        with frozen(subject.mix or subject.model):
            for epsilon in asked.epsilons:
                found = yield from _strongest(subject, x, index, label, asked, epsilon, clock)
                # DDN ends on the 8-bit grid, which may be half a level beyond the ball.
                places.append((epsilon, project(found, x, epsilon)))
        weight = weight_of(subject, asked)
        yield from judged(subject, x, index, label, places, n=asked.n, alpha=asked.alpha, clock=clock, weight=weight)


def _strongest(
    subject: EvaluationTarget, x: Tensor, index: int, label: int, asked: Attack, epsilon: float, clock: ProgressTimer
) -> Generator[Heartbeat, None, Tensor]:
    """What the attack ends at. Of a mix there are two: the gradient of its own probability vanishes where the standard
    classifier is confident, so that the sum of the standard classifier's margin, which has no such place, and the robust
    one's loss is ascended, too. That end counts which leaves the mix the least probability of the label under the noise of the
    attack."""
    if epsilon == 0:
        return x
    if asked.target != "mix":
        iterates = _iterates(subject, x, index, label, asked, epsilon)
        return (yield from last_of(iterates, clock, index, label))
    objectives = _of_mix(subject, x, index, label, asked)
    ends = []
    for objective in objectives:
        stream = subject.stream(index, Stage.ATTACK_DIRECTION)
        iterates = pgd_iterates(objective, x, epsilon=epsilon, steps=asked.steps, generator=stream)
        ends.append((yield from last_of(iterates, clock, index, label)))
    with torch.no_grad():
        return max(ends, key=lambda end: float(objectives[0](end)))


def _of_mix(subject: EvaluationTarget, x: Tensor, index: int, label: int, asked: Attack) -> tuple[Objective, Objective]:
    weight, mix = weight_of(subject, asked), subject.mix
    assert weight is not None and mix is not None
    noises, y = subject.noises(x, index, asked.m), torch.tensor([label], device=x.device)
    smoothed = smoothed_loss(subject.forward, noises, y)

    def both(image: Tensor) -> Tensor:
        standard = mix.standard(mix.resized(image)).float() * mix.spec.standard_scale
        others = standard.scatter(1, y[:, None], -torch.inf).amax(1)
        lead: Tensor = others - standard.gather(1, y[:, None])[:, 0]
        both_losses: Tensor = lead.clamp(max=TURNED) + smoothed(image)
        return both_losses

    return mixed_loss(mix, subject.forward, noises, y, weight), both


def weight_of(subject: EvaluationTarget, asked: Attack) -> float | None:
    """The robust classifier's weight in a mix that is attacked as one; None of anything else. Raises :class:`Mismatch` or
    :class:`InvalidSpec` where there is none."""
    if asked.target != "mix":
        return None
    composition = {} if subject.mix is None else {"kind": "mixed", "robust_weight": subject.mix.spec.robust_weight}
    return mixed_weight(asked.robust_weight, composition, "the model", "target = mix", "evaluation")


def gamma_of(epsilon: float, steps: int) -> float:
    """By how much DDN changes the norm in each step where nobody says: from ``epsilon`` it can shrink to the smallest norm."""
    return min(LARGEST_GAMMA, max(SMALLEST_GAMMA, 1.0 - float((SMALLEST_STEP / epsilon) ** (1 / steps))))


def mixed_loss(mix: MixedClassifier, robust: nn.Module, noises: Tensor, y: Tensor, weight: float) -> Objective:
    """-log of the mix's probability of ``y`` (B,), the robust classifier's being its mean under ``noises`` (m, B, C, H, W), as a
    function of images (B, C, H, W) -> (B,)."""

    def loss(x: Tensor) -> Tensor:
        standard = (mix.standard(mix.resized(x)).float() * mix.spec.standard_scale).softmax(1)
        smoothed = average_softmax(robust(noisy(x, noises)), len(noises))
        mixed = (1 - weight) * standard + weight * smoothed
        right: Tensor = mixed.gather(1, y[:, None])[:, 0]
        return -right.clamp(min=SMALLEST_PROBABILITY).log()

    return loss


def _iterates(
    subject: EvaluationTarget, x: Tensor, index: int, label: int, asked: Attack, epsilon: float
) -> Iterable[Tensor]:
    """Where the attack stands before and after each step."""
    noises = torch.zeros_like(x)[None] if asked.target == "base" else subject.noises(x, index, asked.m)
    y = torch.tensor([label], device=x.device)
    stream = subject.stream(index, Stage.ATTACK_DIRECTION)
    if asked.algorithm == "pgd":
        objective = smoothed_loss(subject.forward, noises, y)
        return pgd_iterates(objective, x, epsilon=epsilon, steps=asked.steps, generator=stream)
    gamma = asked.ddn_gamma if asked.ddn_gamma is not None else gamma_of(epsilon, asked.steps)
    return ddn_iterates(
        subject.forward, noises, x, y, epsilon=epsilon, steps=asked.steps, gamma=gamma, generator=stream
    )
