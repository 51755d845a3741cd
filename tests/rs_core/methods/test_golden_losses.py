"""Twenty optimiser steps of every method, for two seeds, as they once were: a refactor must reproduce them.

The steps run in float64 on the noise of float32, because a CPU's own order of summation must not show: in float32 it
moves losses by 1e-7 at first, and past a mask, a vote or a rounded pixel by up to 1e-2 (seen for DDN and MACER); in
float64 by less than 1e-12. So a relative difference of 1e-5 is another computation, not another machine.

After a deliberate change, write the files anew and say so in the commit:
``PYTHONPATH=tests/support python tests/rs_core/methods/test_golden_losses.py``.
"""

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from rs_core.data.builtin import digits
from rs_core.data.dataset import Dataset
from rs_core.method_spec import AttackFirst
from rs_core.methods.table import METHODS, loss_function
from rs_core.methods.terms import Step, Terms
from rs_core.models import table as models
from rs_core.models.normalize import BaseClassifier
from rs_core.noise import Stage, generator
from rs_core.spec import CatRs, Consistency, Gaussian, Macer, Method, SmoothAdv, SmoothMix, Stability

FOLDER = Path(__file__).parent / "golden"
STEPS, IMAGES, SEEDS = 20, 4, (0, 1)
SIGMA, EPOCH = 0.25, 9
"""The tenth epoch: warm-ups are over."""
TOLERANCE = 1e-5

RECORDED: dict[str, Method] = {
    "gaussian": Gaussian(),
    "stability": Stability(),
    "smoothadv-pgd": SmoothAdv(m=2, steps=2),
    "smoothadv-ddn": SmoothAdv(m=2, steps=4, attack="ddn"),
    "macer": Macer(m=4),
    "consistency": Consistency(),
    "consistency-attacked": Consistency(attack=AttackFirst(steps=2)),
    "smoothmix": SmoothMix(steps=2),
    "smoothmix-one-step": SmoothMix(steps=2, mix_step=1),
    "cat_rs": CatRs(m=2, steps=2),
}
"""What :func:`write` records; the test reads the hyper-parameters from the files."""


def twenty_steps(hp: Method, seed: int) -> dict[str, list[float]]:
    """Loss and accuracy of each step on the built-in digits, by SGD with momentum."""
    data, model = _digits(), _model(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    order = torch.randperm(len(data), generator=generator(seed, EPOCH, Stage.ORDER))
    losses, accuracies = [], []
    for at in range(STEPS):
        x, y = data.batch(order[at * IMAGES : (at + 1) * IMAGES])
        terms = _terms(hp, model, x.double(), y, seed, at)
        optimizer.zero_grad()
        terms.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(terms.total.item())
        accuracies.append(round(terms.accuracy.item(), 6))
    return {"losses": losses, "accuracies": accuracies}


@cache
def _digits() -> Dataset:
    return digits()


def _model(seed: int) -> BaseClassifier:
    """The seed's initial weights, doubled: predictions are sharp enough from the start for every term to count."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(seed, 0, Stage.INITIAL_WEIGHTS).get_state())
        model = models.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8))
    for parameter in model.parameters():
        parameter.data.mul_(2.0)
    return model.double().train()


def _terms(hp: Method, model: BaseClassifier, x: Tensor, y: Tensor, seed: int, at: int) -> Terms:
    step = Step(
        sigma=SIGMA,
        epoch=EPOCH,
        epochs=EPOCH + 1,
        first_drop=EPOCH + 1,
        step=at,
        generator=generator(seed, EPOCH, Stage.TRAINING, at),
        soft_labels=_votes(y),
    )
    return loss_function(hp.name)(hp, model, x, y, step)


def _votes(y: Tensor) -> Tensor:
    """Made-up vote frequencies (B, 10): more for the label in later rows, some for the next class, few for one beyond."""
    share = torch.linspace(0.55, 0.95, len(y))
    votes = torch.zeros(len(y), 10)
    rows = torch.arange(len(y))
    votes[rows, y], votes[rows, (y + 1) % 10], votes[rows, (y + 4) % 10] = share, 0.75 * (1 - share), 0.25 * (1 - share)
    return votes


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
