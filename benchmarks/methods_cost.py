"""What a training epoch of each method costs beside Gaussian's."""

import statistics
from typing import Any

import torch
from methods_rows import ATTACK_EVERY_IMAGE, Row
from pydantic import TypeAdapter
from training_cost import Bench

from radii.rs_core.specs.jobs import Method


def method_costs(rows: dict[str, Row], batch: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Passes per image and the time of an epoch beside Gaussian's, after every warm-up: whole batches in turn.

    The network is untrained, so CAT-RS is made to attack every image, as it nearly does once the network is trained.
    """
    methods = {name: row.method for name, row in rows.items()}
    methods["CAT-RS"] = methods["CAT-RS"] | ATTACK_EVERY_IMAGE
    records = {name: TypeAdapter(Method).validate_python(body) for name, body in methods.items()}
    bench = Bench("lenet", batch, torch.device("cpu"))
    for hp in records.values():
        bench.run(hp)
    seconds = [{name: bench.run(hp) for name, hp in records.items()} for _ in range(rounds)]
    return {
        name: {
            "passes": bench.passes[repr(hp)],
            "cost": statistics.median(turn[name] / turn["Gaussian"] for turn in seconds),
        }
        for name, hp in records.items()
    }
