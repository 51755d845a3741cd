"""Groups of an evaluation that do not fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tests_support.linear import HalfSpaces, grey, subject
from torch import Tensor

from radii.rs_core.errors import InputOutOfMemory, NetworkFailed, RadiiError
from radii.rs_core.evaluate.common import EvaluationTarget
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.evaluate.runner import evaluated
from radii.rs_core.specs.evaluations import Attack, AutoAttack

ATTACK = Attack(epsilons=(0.0, 0.5), steps=3, m=8, n=400)


class Small(HalfSpaces):
    """Fits so many images at once."""

    def __init__(self, most: int) -> None:
        super().__init__(0.8)
        self.most, self.largest = most, 0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError(f"no room for {len(x)}")
        self.largest = max(self.largest, len(x))
        return super().forward(x)


def small(most: int) -> EvaluationTarget:
    return subject(0.8, 0.05, model=Small(most))


def rows(found: Iterator[Heartbeat | EvaluationRecord]) -> list[EvaluationRecord]:
    return [record for record in found if isinstance(record, EvaluationRecord)]


def test_an_attack_that_does_not_fit_goes_on_with_half_and_says_so() -> None:
    whole = rows(evaluated(subject(0.8, 0.05), [(3, grey(), 0)], ATTACK))
    (row,) = rows(evaluated(small(30), [(3, grey(), 0)], ATTACK))
    assert row.batch_size is not None and row.batch_size <= 30
    assert [at.counts for at in row.found] == [at.counts for at in whole[0].found]
    assert whole[0].batch_size is None


def test_one_image_that_does_not_fit_is_told_of_as_such() -> None:
    with pytest.raises(InputOutOfMemory, match="an image whose activations fit"):
        rows(evaluated(small(0), [(3, grey(), 0)], ATTACK))


@dataclass
class Grouped:
    """An evaluation that fits two images at once, and writes down its groups."""

    seen: list[list[int]] = field(default_factory=list)

    def __call__(
        self, subject: EvaluationTarget, inputs: Sequence[Any], asked: AutoAttack
    ) -> Iterator[Heartbeat | EvaluationRecord]:
        for first in range(0, len(inputs), asked.together):
            some = [index for index, _, _ in inputs[first : first + asked.together]]
            self.seen.append(some)
            yield Heartbeat(index=some[0], label=0)
            if len(some) > 2:
                raise torch.OutOfMemoryError("no room")
            for index in some:
                yield EvaluationRecord(index=index, seed=0)


def test_inputs_attacked_together_are_halved_and_each_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grouped = Grouped()
    monkeypatch.setattr("radii.rs_core.evaluate.runner.evaluation_function", lambda name: grouped)
    given = [(index, grey(), 0) for index in range(7)]
    found = rows(evaluated(subject(0.8, 0.05), given, AutoAttack(together=5)))
    assert [(row.index, row.batch_size) for row in found] == [
        (0, 2),
        (1, 2),
        (2, 2),
        (3, 2),
        (4, 2),
        (5, None),
        (6, None),
    ]
    assert grouped.seen == [[0, 1, 2, 3, 4], [0, 1], [2, 3], [4], [5, 6]]
    alone = rows(evaluated(subject(0.8, 0.05), given, AutoAttack(together=5), alone=True))
    assert [row.index for row in alone] == list(range(7)) and grouped.seen[5:] == [[index] for index in range(7)]


class Broken(HalfSpaces):
    """Fails as networks do that were made for other images."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.zeros(3, 3)


class Unsteady(HalfSpaces):
    """Has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


@pytest.mark.parametrize("network", [Broken, Unsteady])
@pytest.mark.parametrize("asked", [ATTACK, AutoAttack(attacks=("apgd-ce",), iterations=2)])
def test_an_error_of_the_network_is_named_as_such(network: type[HalfSpaces], asked: Any) -> None:
    with pytest.raises(NetworkFailed, match=r"float32 images .* and can be differentiated") as caught:
        rows(evaluated(subject(0.8, 0.05, model=network(0.8)), [(3, grey(), 0)], asked))
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("kind", [RuntimeError, TypeError, IndexError, ValueError])
@pytest.mark.parametrize("where", ["radii.rs_core.evaluate.attack.project", "radii.rs_core.evaluate.attack.judged"])
def test_an_error_of_ours_is_not_laid_on_the_network(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], where: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise kind("a mistake of the attack")

    monkeypatch.setattr(where, fail)
    with pytest.raises(kind, match="a mistake of the attack") as caught:
        rows(evaluated(subject(0.8, 0.05), [(3, grey(), 0)], ATTACK))
    assert not isinstance(caught.value, RadiiError)
