"""AutoAttack on a classifier as it is: Croce and Hein 2020, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
Diverse Parameter-free Attacks", arXiv 2003.01690, by the authors' code (``third_party.autoattack``).

An attack works on a batch for minutes without a word, so it runs in a thread of its own while signs of life are given; where
nobody listens any more, the next pass of the network ends it. With ``adaptive`` APGD ascends, beside its loss, the one that
makes a mixing network trust the standard classifier (Bai et al. 2023, arXiv 2301.12554): BCE(gamma, 1).
"""

import logging
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.rs_core.attacks import frozen, require_pixels
from radii.rs_core.certify.engine import Input
from radii.rs_core.errors import Mismatch
from radii.rs_core.evaluate.common import SECONDS_BETWEEN_SIGNS, EvaluationTarget, ProgressTimer
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat, PointResult
from radii.rs_core.evaluate.third_party.autoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from radii.rs_core.evaluate.third_party.autoattack.fab_pt import FABAttack_PT
from radii.rs_core.evaluate.third_party.autoattack.square import SquareAttack
from radii.rs_core.noise.streams import Stage, generator
from radii.rs_core.specs.evaluations import FEWEST_CLASSES, TARGETS, AutoAttack

log = logging.getLogger("radii.autoattack")

NORMS = {"linf": "Linf", "l2": "L2"}


def evaluate(
    subject: EvaluationTarget, inputs: Iterable[Input], asked: AutoAttack
) -> Iterator[Heartbeat | EvaluationRecord]:
    """Each input as it is and as it is left by the attack, so many at a time; ``counts`` are empty, since nobody votes.

    Raises :class:`Mismatch` where the model has too few classes, or no mixing network for ``adaptive``.
    """
    given = iter(inputs)
    while some := list(islice(given, asked.together)):
        clock = ProgressTimer()
        for index, _, label in some:
            yield Heartbeat(index=index, label=label)
        x = torch.stack([image for _, image, _ in some]).to(subject.device)
        y = torch.tensor([label for _, _, label in some], device=subject.device)
        require_pixels(x)
        with frozen(subject.model):
            clean = _classes(subject.model, x)
            signs = _attacked(subject, x, y, asked, first=some[0])
            while isinstance(sign := next(signs), Heartbeat):
                yield sign
            left = _classes(subject.model, sign)
        moved = (sign - x).flatten(1)
        distances = moved.abs().amax(1) if asked.norm == "linf" else moved.norm(dim=1)
        for place, (index, _, label) in enumerate(some):
            yield EvaluationRecord(
                index=index,
                label=label,
                found=(
                    PointResult(point=0.0, distance=0.0, prediction=int(clean[place]), counts=()),
                    PointResult(
                        point=asked.epsilon, distance=float(distances[place]), prediction=int(left[place]), counts=()
                    ),
                ),
                seed=subject.seed,
                seconds=clock.seconds / len(some),
            )


@torch.no_grad()
def _classes(model: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = model(x).argmax(1).cpu()
    return found


def _attacked(
    subject: EvaluationTarget, x: Tensor, y: Tensor, asked: AutoAttack, *, first: Input
) -> Iterator[Heartbeat | Any]:
    """Signs of life, then what the attack has made of the images: as they were where it found nothing."""
    watched = _Watched(subject.model)
    attacks = _attacks(watched, x, asked, subject, first[0])
    answers: queue.Queue[Tensor | BaseException] = queue.Queue()

    def work() -> None:
        try:
            with torch.random.fork_rng(devices=[subject.device] if subject.device.type == "cuda" else []):
                answers.put(attacks.run(x, y))
        except BaseException as error:
            answers.put(error)

    thread = threading.Thread(target=work, name="autoattack", daemon=True)
    thread.start()
    try:
        while True:
            try:
                answer = answers.get(timeout=SECONDS_BETWEEN_SIGNS)
                break
            except queue.Empty:
                yield Heartbeat(index=first[0], label=first[2])
    finally:
        watched.stop.set()
        thread.join()
    if isinstance(answer, BaseException):
        raise answer
    yield answer


class _Stopped(Exception):
    """Nobody waits for the attack any more."""


class _Watched(nn.Module):
    """The model as the attacks call it: ends where it is to stop, and keeps gamma where there is a mixing network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.stop = threading.Event()
        self.gamma: Tensor | None = None
        self.mixed = mixing_of(model)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        if self.stop.is_set():
            raise _Stopped
        if self.mixed is None:
            logits: Tensor = self.model(x)
            return logits
        mixture = self.mixed.forward_parts(x)
        self.gamma = mixture.gamma
        found: Tensor = mixture.log_probs
        return found


def mixing_of(model: nn.Module) -> Any:
    """The mixed classifier inside a model that has a mixing network; None where there is none."""
    network = getattr(model, "network", model)
    return network if getattr(network, "mixing", None) is not None else None


@dataclass(frozen=True)
class _Attacks:
    """The attacks as they were asked for."""

    model: _Watched
    names: Sequence[str]
    seed: int
    apgd: Any
    apgd_targeted: Any
    fab: Any
    square: Any

    def run(self, x: Tensor, y: Tensor) -> Tensor:
        """The images (B, C, H, W) as the attacks leave them: each attack gets those that are still classified as ``y`` (B,), and
        an image for which none succeeds stays as it is."""
        left = x.clone()
        with torch.no_grad():
            robust = self.model(x).max(1).indices == y
            for name in self.names:
                chosen = torch.nonzero(robust).flatten()
                if not len(chosen):
                    break
                found = self._attack(name).perturb(x[chosen].clone(), y[chosen].clone())
                fooled = chosen[self.model(found).max(1).indices != y[chosen]]
                left[fooled] = found[torch.isin(chosen, fooled)].detach()
                robust[fooled] = False
        return left

    def _attack(self, name: str) -> Any:
        attack = {"apgd-t": self.apgd_targeted, "fab-t": self.fab, "square": self.square}.get(name, self.apgd)
        attack.seed = self.seed
        if attack is self.apgd:
            attack.loss = name.removeprefix("apgd-")
        return attack


def _attacks(model: _Watched, x: Tensor, asked: AutoAttack, subject: EvaluationTarget, index: int) -> _Attacks:
    """The attacks as they were asked for; their random starts come from the first input's own stream."""
    targets = min(TARGETS, _check(model, x, asked) - 1)
    seed = int(torch.randint(2**31, (), generator=generator(subject.seed, index, Stage.ATTACK)))
    common = {"eps": asked.epsilon, "norm": NORMS[asked.norm], "seed": seed, "device": subject.device, "n_restarts": 1}
    of_apgd = common | {"n_iter": asked.iterations, "logger": log}
    untargeted, targeted = APGDAttack, APGDAttack_targeted
    if asked.adaptive:
        untargeted, targeted = _adaptive(model, asked.adaptive_share, untargeted, targeted)
    return _Attacks(
        model=model,
        names=asked.attacks,
        seed=seed,
        apgd=untargeted(model, **of_apgd),
        apgd_targeted=targeted(model, n_target_classes=targets, **of_apgd),
        fab=FABAttack_PT(model, n_iter=asked.iterations, n_target_classes=targets, targeted=True, **common),
        square=SquareAttack(model, p_init=0.8, n_queries=asked.queries, resc_schedule=False, **common),
    )


def _check(model: _Watched, x: Tensor, asked: AutoAttack) -> int:
    """The number of classes."""
    with torch.no_grad():
        classes = int(model(x[:1]).shape[1])
    if "apgd-t" in asked.attacks and classes < FEWEST_CLASSES:
        expected = f"a model of at least {FEWEST_CLASSES} classes for apgd-t"
        raise Mismatch(expected=expected, got=f"one of {classes}", where="evaluation.attacks")
    if asked.adaptive and model.mixed is None:
        raise Mismatch(expected="a model with a mixing network", got="one without", where="evaluation.adaptive")
    return classes


def _adaptive(model: _Watched, share: float, untargeted: type[Any], targeted: type[Any]) -> tuple[type[Any], type[Any]]:
    """The two APGD attacks with the loss of the mixing network beside their own."""

    def beside(loss: Tensor) -> Tensor:
        gamma = model.gamma
        assert gamma is not None
        against = F.binary_cross_entropy_with_logits(gamma, torch.ones_like(gamma), reduction="none")
        return (1 - share) * loss + share * against

    class Untargeted(untargeted):  # type: ignore[misc]
        """Its cross-entropy is made where it cannot be changed, its other loss is a method: that one is taken instead."""

        def attack_single_run(self, x: Tensor, y: Tensor, x_init: Tensor | None = None) -> Any:
            asked: str = self.loss  # type: ignore[has-type]
            self.of_cross_entropy, self.loss = asked == "ce", "dlr"
            try:
                return super().attack_single_run(x, y, x_init)
            finally:
                self.loss = asked

        def dlr_loss(self, x: Tensor, y: Tensor) -> Tensor:
            return beside(F.cross_entropy(x, y, reduction="none") if self.of_cross_entropy else super().dlr_loss(x, y))

    class Targeted(targeted):  # type: ignore[misc]
        def dlr_loss_targeted(self, x: Tensor, y: Tensor) -> Tensor:
            return beside(super().dlr_loss_targeted(x, y))

    return Untargeted, Targeted
