"""What one training step costs, by method, relative to Gaussian augmentation: counted passes beside measured time.

Every method sees the same images in the same network at sigma 0.5; copies and attack steps, which decide the cost, are
those in the row's name, other hyper-parameters the defaults. One round runs each method over one loader batch, all its
optimiser steps included; rounds are interleaved and the ratio is taken within a round, so that a slow moment of the
machine touches all alike. Medians over the rounds.

A pass is one forward and backward over one image: "full" has gradients for the weights, "input" for the input alone. A
full pass is three units of work (one forward, two backward), an input pass two, which gives the expected ratio
full + 2/3 input, a full pass of Gaussian augmentation being one. The last line is one JSON object.

    .venv/bin/python benchmarks/training_cost.py [--network cifar_resnet20] [--out benchmarks/results/training_cost.md]
"""

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from radii.rs_core.methods.base import Step
from radii.rs_core.methods.registry import loss_function, method
from radii.rs_core.models import registry as models
from radii.rs_core.noise.streams import Stage, generator
from radii.rs_core.specs.jobs import CatRs, Consistency, Gaussian, Macer, SmoothAdv, SmoothMix, Stability

SIGMA = 0.5
SHAPES = {"lenet": (1, 28, 28), "cifar_resnet20": (3, 32, 32), "cifar_resnet110": (3, 32, 32)}
EPOCH = 20
"""Beyond every warm-up."""


@dataclass(frozen=True)
class Row:
    """A method and the ratio that its authors' logs show (CIFAR-100, ResNet-110, seconds per epoch)."""

    hp: Any
    published: float | None


ROWS = {
    "Gaussian": Row(Gaussian(), 1.0),
    "Stability": Row(Stability(), 1.8),
    "Consistency m2": Row(Consistency(m=2), 1.95),
    "SmoothMix m2 T4": Row(SmoothMix(m=2, steps=4), 8.5),
    "SmoothMix one-step m2 T4": Row(SmoothMix(m=2, steps=4, mix_step=1), None),
    "MACER k16": Row(Macer(m=16), 13.9),
    "CAT-RS M4 T4, all attacked": Row(CatRs(m=4, steps=4, masked_attacks="all"), 16.3),
    "CAT-RS M4 T4, masked skipped": Row(CatRs(m=4, steps=4, masked_attacks="skip"), None),
    "SmoothAdv m4 T10": Row(SmoothAdv(m=4, steps=10), 26.5),
    "SmoothAdv DDN m4 T10": Row(SmoothAdv(m=4, steps=10, attack="ddn"), None),
    "Consistency + SmoothAdv m4 T10": Row(Consistency(m=4, attack={"steps": 10}), None),  # type: ignore[arg-type]
}


def main() -> None:
    """Measures and prints."""
    options = _options()
    bench = Bench(options.network, options.batch, torch.device(options.device))
    for row in ROWS.values():
        bench.run(row.hp)  # warms caches and allocators up, and counts the passes
    rounds = [{name: bench.run(row.hp) for name, row in ROWS.items()} for _ in range(options.rounds)]
    figures = {name: _figures(name, bench, rounds) for name in ROWS}
    hardware = (
        torch.cuda.get_device_name() if options.device == "cuda" else f"{os.cpu_count()} cores, {platform.machine()}"
    )
    facts = {"network": options.network, "batch": options.batch, "rounds": options.rounds, "hardware": hardware}
    table, line = _table(figures), json.dumps({**facts, "methods": figures})
    print(f"{table}\n\n{line}")
    if options.out is not None:
        command = f".venv/bin/python benchmarks/training_cost.py --network {options.network} --batch {options.batch}"
        options.out.write_text(
            f"# Cost of one training step, relative to Gaussian augmentation\n\n```\n{command}\n```\n\n"
            f"{time.strftime('%Y-%m-%d')}, {hardware}, torch {torch.__version__}; medians of {options.rounds} interleaved "
            f"rounds.\n\n{table}\n\n```json\n{line}\n```\n"
        )


class Bench:
    """One network, one batch; ``passes`` holds what each method's last run was counted at, per image."""

    def __init__(self, network: str, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device = device
        self.model = models.build(network, num_classes=10, input_shape=SHAPES[network]).to(device)
        self.x = torch.rand(batch, *SHAPES[network], device=device)
        self.y = torch.randint(0, 10, (batch,), device=device)
        self.soft = torch.softmax(torch.randn(batch, 10, device=device), 1)
        self.passes: dict[str, tuple[float, float]] = {}
        self._full = self._input = 0
        self.model.register_forward_pre_hook(self._count)

    def run(self, hp: Any) -> float:
        """Seconds for one loader batch, every optimiser step of it included."""
        self._full = self._input = 0
        chunks = method(hp.name).chunks(hp)
        size = len(self.x) // chunks
        optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-6, momentum=0.9)
        self.model.train()
        self._wait()
        begun = time.perf_counter()
        for chunk in range(chunks):
            part = slice(chunk * size, (chunk + 1) * size)
            optimizer.zero_grad(set_to_none=True)
            self._loss(hp, part, chunk).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        self._wait()
        spent = time.perf_counter() - begun
        images = size * chunks
        self.passes[repr(hp)] = self._full / images, self._input / images
        return spent

    def _loss(self, hp: Any, part: slice, step: int) -> Tensor:
        where = Step(
            sigma=SIGMA,
            epoch=EPOCH,
            epochs=150,
            first_drop=0,
            step=step,
            generator=generator(0, EPOCH, Stage.TRAINING, step, device=self.device),
            soft_labels=self.soft[part],
        )
        total: Tensor = loss_function(hp.name)(hp, self.model, self.x[part], self.y[part], where).total
        return total

    def _count(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        if module.training:
            self._full += len(inputs[0])
        elif torch.is_grad_enabled():
            self._input += len(inputs[0])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _figures(name: str, bench: Bench, rounds: list[dict[str, float]]) -> dict[str, Any]:
    full, of_input = bench.passes[repr(ROWS[name].hp)]
    return {
        "full_passes": full,
        "input_passes": of_input,
        "expected": full + 2 / 3 * of_input,
        "measured": statistics.median(seconds[name] / seconds["Gaussian"] for seconds in rounds),
        "ms_per_image": 1000 * statistics.median(seconds[name] for seconds in rounds) / len(bench.x),
        "published": ROWS[name].published,
    }


def _table(figures: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| method | full passes | input passes | expected x Gaussian | measured | measured / expected | published | ms per image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in figures.items():
        published = "" if row["published"] is None else f"{row['published']:g}"
        lines.append(
            f"| {name} | {row['full_passes']:g} | {row['input_passes']:.3g} | {row['expected']:.1f} "
            f"| {row['measured']:.1f} | {row['measured'] / row['expected']:.2f} | {published} | {row['ms_per_image']:.2f} |"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=list(SHAPES), default="cifar_resnet20")
    parser.add_argument("--batch", type=int, default=64, help="images in a loader batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=None, help="file for the result")
    parser.add_argument("--quick", action="store_true", help="LeNet, two rounds")
    options = parser.parse_args()
    if options.quick:
        options.network, options.batch, options.rounds = "lenet", 32, 2
    return options


if __name__ == "__main__":
    main()
