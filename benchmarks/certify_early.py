"""What stopping early brings, and which votes differ between ways of running one network; parts of ``certify.py``."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from certify_models import TrainedModel

from radii.rs_core.certify import engine
from radii.rs_core.certify.autotune import RunConfiguration
from radii.rs_core.certify.inference_model import InferenceModel
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.noise.streams import CHUNK, Stage, fill
from radii.rs_core.records import Certificate
from radii.rs_core.specs.fields import Precision

SAMPLES_LOOKED_AT = 1_000
INPUTS_LOOKED_AT = 20


def early(
    trained: TrainedModel,
    configuration: RunConfiguration,
    precision: Precision,
    textbook_rate: Callable[[], float],
    pilot_inputs: int | None,
) -> dict[str, Any]:
    """Time, samples and results of ``at_radii``, one radius at a time and all together, and of ``pilot`` against the fixed n;
    ``pilot_inputs``: on so many of the inputs (None: all). The textbook loop's rate is measured before and after each."""
    sampler = Sampler(
        trained.model,
        trained.sigma,
        trained.data.num_classes,
        batch_size=configuration.batch_size,
        compiled=configuration.compiled,
        precision=precision,
    )
    n = trained.fixed[0].n
    at_radii = Procedure(sigma=trained.sigma, n=n, sampling="at_radii", radii=trained.radii)
    some = trained.fixed[: pilot_inputs or len(trained.fixed)]
    _, preparing = _certify(sampler, trained, some[:1], replace(at_radii, n=1_000))  # compiles, where that is the way
    rates = [textbook_rate()]

    def over_textbook(rows: Sequence[Certificate], seconds: float) -> float:
        rates.append(textbook_rate())
        return round((n + 100) * len(rows) / statistics.mean(rates[-2:]) / seconds, 1)

    def asked(*radii: float) -> dict[str, Any]:
        rows, seconds = _certify(sampler, trained, trained.fixed, replace(at_radii, radii=radii))
        return {
            "radii": list(radii),
            "vs_textbook": over_textbook(rows, seconds),
            "samples": round(_mean_samples(rows)),
            "median_samples": statistics.median(row.n0 + row.n for row in rows),
            "certified_accuracy": [[_certified(trained.fixed, radius), _certified(rows, radius)] for radius in radii],
        }

    alone = [asked(radius) for radius in trained.radii]
    together = asked(*trained.radii)
    pilot, pilot_seconds = _certify(sampler, trained, some, Procedure(sigma=trained.sigma, n=n, sampling="pilot"))
    pilot_vs_textbook = over_textbook(pilot, pilot_seconds)
    return {
        "textbook_rate": round(statistics.median(rates), 1),
        "preparing_seconds": round(preparing, 1),
        "at_radii_vs_textbook": {f"{found['radii'][0]:g}": found["vs_textbook"] for found in alone}
        | {"together": together["vs_textbook"]},
        "at_radii": [*alone, together],
        "inputs": len(trained.fixed),
        "pilot_vs_textbook": pilot_vs_textbook,
        "pilot_samples": round(_mean_samples(pilot)),
        "pilot_inputs": len(some),
        "acr": [round(_acr(some), 4), round(_acr(pilot), 4)],
        "acr_lost": round(1 - _acr(pilot) / _acr(some), 4),
    }


def _certify(
    sampler: Sampler, trained: TrainedModel, fixed: Sequence[Certificate], procedure: Procedure
) -> tuple[list[Certificate], float]:
    inputs = [(row.index, trained.image(row.index), row.label) for row in fixed]
    started = time.perf_counter()
    found = [record for record in engine.certify(sampler, inputs, procedure) if isinstance(record, Certificate)]
    seconds = time.perf_counter() - started
    print(f"{procedure.sampling} on {len(inputs)} inputs, {sampler.precision}: {seconds:.0f} s", file=sys.stderr)
    return found, seconds


def _mean_samples(rows: Sequence[Certificate]) -> float:
    return statistics.mean(row.n0 + row.n for row in rows)


def _certified(rows: Sequence[Certificate], radius: float) -> float:
    return round(sum(row.correct and row.radius >= radius for row in rows) / len(rows), 4)


def _acr(rows: Sequence[Certificate]) -> float:
    return statistics.mean(row.radius * row.correct for row in rows)


@torch.no_grad()
def votes_that_differ(trained: TrainedModel, configurations: Mapping[Precision, RunConfiguration]) -> dict[str, Any]:
    """On the same noise, against the network as the textbook loop runs it: how many votes differ, and by how much logits
    and the gap of the two largest among those."""
    found: dict[str, Any] = {}
    for precision, configuration in configurations.items():
        prepared = InferenceModel(trained.model, precision=precision, compiled=configuration.compiled)
        votes = differing = 0
        largest = widest = 0.0
        for index in trained.indices[:INPUTS_LOOKED_AT]:
            x = trained.image(index)
            for first in range(0, SAMPLES_LOOKED_AT // CHUNK, max(1, configuration.batch_size // CHUNK)):
                batch = _noisy(x, trained.sigma, index, first, max(1, configuration.batch_size // CHUNK))
                plain = trained.model(batch.contiguous())
                logits = prepared(batch)
                scale = plain.abs().amax(1, keepdim=True)
                other = logits.argmax(1) != plain.argmax(1)
                top = plain.topk(2, dim=1).values
                gaps = ((top[:, 0] - top[:, 1]) / scale[:, 0])[other]
                votes, differing = votes + len(batch), differing + int(other.sum())
                largest = max(largest, float(((logits - plain).abs() / scale).max()))
                widest = max(widest, float(gaps.max()) if len(gaps) else 0.0)
        found[precision] = {
            "votes": votes,
            "differ": differing,
            "largest_relative_difference_of_logits": float(f"{largest:.3g}"),
            "widest_gap_of_one_that_differs": float(f"{widest:.3g}"),
        }
    return found


def _noisy(x: torch.Tensor, sigma: float, index: int, first: int, parts: int) -> torch.Tensor:
    batch = torch.empty((parts * CHUNK, *x.shape), memory_format=torch.channels_last, device=x.device)
    for part in range(parts):
        rows = batch[part * CHUNK : (part + 1) * CHUNK]
        fill(rows, first + part, sigma=sigma, seed=0, index=index, stage=Stage.ESTIMATION)
    return batch + x
