"""Twenty optimiser steps of every method's training, for two seeds, as they once were: a refactor must reproduce them.

They are steps of :func:`radii.rs_core.training.loop.train`: order, augmentation, chunks, noise, schedule and weight decay count.

They run in float64 on the noise of float32, because a CPU's own order of summation must not show: in float32 it moves
losses by 1e-7 at first, and past a mask, a vote or a rounded pixel by up to 1e-2 (seen for DDN and MACER). What is left is
the noise itself, whose last bits depend on the width of the CPU's vectors: 2e-6 was seen between AVX and none. So a relative
difference of 1e-5 is another computation, not another machine.

After a deliberate change, write the files anew and say so in the commit:
``PYTHONPATH=tests/support python tests/rs_core/methods/test_golden_losses.py``.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from pydantic import TypeAdapter
from tests_support import trainings
from torch import Tensor

from radii.rs_core.data.builtin import digits
from radii.rs_core.methods.base import LossTerms
from radii.rs_core.methods.registry import METHODS, loss_function, method
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.soft_labels import labels as soft_labels
from radii.rs_core.soft_labels.labels import SoftLabels
from radii.rs_core.specs.jobs import (
    AdaptiveSmoothing,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    Method,
    Selection,
    SmoothAdv,
    SmoothMix,
    Stability,
    TrainSpec,
)
from radii.rs_core.specs.methods import AttackFirst
from radii.rs_core.training import loop

FOLDER = Path(__file__).parent / "golden"
STEPS, IMAGES, SEEDS = 20, 4, (0, 1)
TOLERANCE = 1e-5

RECORDED: dict[str, Method] = {
    "gaussian": Gaussian(),
    "stability": Stability(),
    "smoothadv-pgd": SmoothAdv(m=2, steps=2, warmup_epochs=2),
    "smoothadv-ddn": SmoothAdv(m=2, steps=4, attack="ddn", warmup_epochs=2),
    "macer": Macer(m=4),
    "macer-deferred": Macer(m=4, deferred=True),
    "consistency": Consistency(),
    "consistency-attacked": Consistency(attack=AttackFirst(steps=2, warmup_epochs=2)),
    "smoothmix": SmoothMix(steps=2, warmup_epochs=2),
    "smoothmix-one-step": SmoothMix(steps=2, mix_step=1, warmup_epochs=2),
    "cat_rs": CatRs(m=2, steps=2),
    "adaptive_smoothing": AdaptiveSmoothing(extra_clean=3, attacked=4, steps=2, ce_weight=0.5),
}
"""What :func:`write` records; the test reads the hyper-parameters from the files."""


def twenty_steps(hp: Method, seed: int) -> dict[str, list[float]]:
    """Loss and accuracy of each optimiser step of a training: two epochs, the second at half the learning rate."""
    data, losses, accuracies = digits(), list[float](), list[float]()
    chunks = method(hp.name).chunks(hp)
    spec = TrainSpec(
        dataset="digits",
        architecture="digits_cnn",
        sigma=0.25,
        epochs=2,
        batch_size=IMAGES * chunks,
        learning_rate=0.02,
        lr_step=1,
        lr_gamma=0.5,
        lr_drop="exact",
        weight_decay=0.001,
        augmentation="crop_flip",
        inputs=Selection(count=IMAGES * STEPS // 2),
        seed=seed,
    )
    spec = trainings.by(hp, spec)
    if hp.name == "adaptive_smoothing":  # normalisation over few numbers would make last bits show in large steps
        spec = dataclasses.replace(spec, sigma=None, learning_rate=0.0005)
    labels = _votes(data.labels[: IMAGES * STEPS // 2]) if method(hp.name).needs_soft_labels else None

    def recording(name: str) -> Callable[..., LossTerms]:
        def loss(*given: Any) -> LossTerms:
            terms = loss_function(name)(*given)
            losses.append(terms.total.item())
            accuracies.append(round(terms.accuracy.item(), 6))
            return terms

        return loss

    with (
        mock.patch.object(loop, "first_model", _sharp),
        mock.patch.object(loop, "batches", _in_float64),
        mock.patch.object(loop, "loss_function", recording),
    ):
        for _ in loop.train(spec, data, soft_labels=labels, start=trainings.start_of(spec)):
            pass
    return {"losses": losses, "accuracies": accuracies}


_first, _batches = loop.first_model, loop.batches


def _sharp(*given: Any) -> BaseClassifier:
    """The initial weights, doubled: predictions are sharp enough from the start for every term to count."""
    model = _first(*given)
    for parameter in model.parameters():
        parameter.data.mul_(2.0)
    return model.double()


def _in_float64(*given: Any, **how: Any) -> Iterator[tuple[Tensor, Tensor]]:
    return ((x.double(), y) for x, y in _batches(*given, **how))


def _votes(labels: Iterable[int]) -> SoftLabels:
    """Made-up votes: of 100 between 55 and 95 for the label, most others for the next class, few for one beyond."""
    rows = []
    for index, label in enumerate(labels):
        share = 55 + index % 41
        votes = [0] * 10
        votes[label], votes[(label + 1) % 10] = share, 3 * (100 - share) // 4
        votes[(label + 4) % 10] = 100 - sum(votes)
        rows.append(votes)
    return soft_labels.from_counts(range(len(rows)), rows, 10)


def write() -> None:
    """Records every method's losses anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, hp in RECORDED.items():
        body = {"method": dataclasses.asdict(hp)} | {"seeds": {str(seed): twenty_steps(hp, seed) for seed in SEEDS}}
        (FOLDER / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n")


def _read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())  # type: ignore[no-any-return]


def test_every_method_has_its_golden_losses() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(RECORDED)
    assert {_read(name)["method"]["name"] for name in RECORDED} == set(METHODS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", RECORDED)
def test_twenty_steps_give_the_losses_they_gave(name: str, seed: int) -> None:
    golden = _read(name)
    hp: Method = TypeAdapter(Method).validate_python(golden["method"])
    assert hp == RECORDED[name]
    got, wanted = twenty_steps(hp, seed), golden["seeds"][str(seed)]
    assert len(wanted["losses"]) == STEPS
    assert got["losses"] == pytest.approx(wanted["losses"], rel=TOLERANCE)
    assert got["accuracies"] == pytest.approx(wanted["accuracies"], abs=1e-5)


if __name__ == "__main__":
    write()
