"""How to run a network on a machine: the size of its batches, and whether it is worth compiling; measured once, then kept.

A batch that fits the caches is worth as much as the kernels (1,000 images are the worst choice on a CPU), and a small
network is twice as fast compiled: but that takes its time, and pays only on long work. What is found belongs to (network,
shape, precision, machine, threads) and not to the weights. It decides about time alone, so that a wrong guess costs
nothing else; a job keeps what its first worker found, because the last bits of logits depend on it.
"""

import json
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from radii.rs_core.certify.inference_model import InferenceModel
from radii.rs_core.certify.sampler import NoiseChunk, Sampler, whole_parts
from radii.rs_core.noise.streams import CHUNK, Stage
from radii.rs_core.out_of_memory import ran_out
from radii.rs_core.specs.fields import Precision
from radii.rs_core.specs.jobs import DEFAULT_BATCH

BATCHES = {"cpu": (100, 200, 400, 800), "cuda": (500, 1_000, 2_000, 4_000, 8_000)}
"""Sizes that are tried, in this order, until one is clearly slower than the best before it."""
CLEARLY = 0.8
"""Of the best rate so far: below it a way is out, above it one short measurement does not tell."""
ROUNDS = 5
"""Of measuring those that are close once more, in turns, so that a machine that slows down does so for all of them."""
SHORT = 30.0
"""Seconds of work below which nothing is tried: the measurement would take longer than it saves."""
LONG = 120.0
"""Seconds of work from which on compiling is tried."""
SECONDS = 0.5
"""Of each measurement, at least; one pass where that takes longer."""

log = logging.getLogger("radii.certify")


@dataclass(frozen=True, kw_only=True)
class RunConfiguration:
    """How to run a network, and how many noise samples a second that gives."""

    batch_size: int = DEFAULT_BATCH
    compiled: bool = False
    rate: float = 0.0
    tried: Literal["nothing", "batches", "compiling"] = "nothing"

    def serves(self, samples: int) -> bool:
        """Whether work of so many samples would try no more, and would take this."""
        if self.tried == "compiling":
            return not self.compiled or samples >= SHORT * self.rate
        return self.tried == "batches" and SHORT * self.rate <= samples < LONG * self.rate


Measure = Callable[[int, bool, float], tuple[float, bool]]
"""From batch size, whether to compile, and seconds to take, to noise samples a second and whether it was compiled."""


def tune(
    measure: Measure, *, samples: int, device: str, batch_size: int | None = None, may_compile: bool = True
) -> RunConfiguration:
    """The fastest way found for so many samples; ``batch_size``: one that was chosen already."""
    sizes = BATCHES[device] if batch_size is None else (whole_parts(batch_size),)
    first = RunConfiguration(batch_size=sizes[0], rate=measure(sizes[0], False, 0.0)[0])
    while first.rate == 0.0 and first.batch_size > 1:  # not even the smallest fits into memory
        sizes = (whole_parts(first.batch_size // 2),)
        first = RunConfiguration(batch_size=sizes[0], rate=measure(sizes[0], False, 0.0)[0])
    if first.rate == 0.0 or samples < SHORT * first.rate:
        return first
    configurations = _configurations(sizes, measure, tried="batches") or [replace(first, tried="batches")]
    best = max(configurations, key=_rate_of)
    if may_compile and samples >= LONG * best.rate:
        place = sizes.index(best.batch_size)
        order = (*sizes[place:], *reversed(sizes[:place]))
        configurations = [replace(configuration, tried="compiling") for configuration in configurations]
        configurations += _configurations(order, measure, tried="compiling", than=best.rate)
    return _fastest(configurations, measure)


def _configurations(
    sizes: Sequence[int], measure: Measure, *, tried: Literal["batches", "compiling"], than: float = 0.0
) -> list[RunConfiguration]:
    """What one short measurement finds at these sizes, until one is clearly slower than the best before it, or than
    ``than``, or cannot be compiled."""
    found, compiled = [], tried == "compiling"
    for size in sizes:
        rate, done = measure(size, compiled, SECONDS)
        if done != compiled or rate == 0.0 or rate < CLEARLY * than:
            break
        found.append(RunConfiguration(batch_size=size, compiled=compiled, rate=rate, tried=tried))
        than = max(than, rate)
    return found


def _fastest(configurations: Sequence[RunConfiguration], measure: Measure) -> RunConfiguration:
    """Of those that come close to the best, the one whose median is the largest when they are measured in turns."""
    best = max(configurations, key=_rate_of)
    close = [configuration for configuration in configurations if configuration.rate >= CLEARLY * best.rate]
    if len(close) == 1:
        return best
    rates: list[list[float]] = [[] for _ in close]
    for _ in range(ROUNDS):
        for configuration, of_configuration in zip(close, rates, strict=True):
            of_configuration.append(measure(configuration.batch_size, configuration.compiled, SECONDS)[0])
    return max(
        (replace(configuration, rate=statistics.median(of)) for configuration, of in zip(close, rates, strict=True)),
        key=_rate_of,
    )


def _rate_of(configuration: RunConfiguration) -> float:
    return configuration.rate


def measured(base_classifier: nn.Module, x: torch.Tensor, num_classes: int, *, precision: Precision) -> Measure:
    """Measures noise samples a second on noisy copies of ``x`` (C, H, W), the whole way from the noise to the counts; 0
    where they do not fit into memory. A network is prepared, and compiled, once for each size."""
    networks: dict[tuple[int, bool], InferenceModel] = {}

    def rate(batch_size: int, compiled: bool, seconds: float) -> tuple[float, bool]:
        network = networks.setdefault(
            (batch_size if compiled else 0, compiled),
            InferenceModel(base_classifier, precision=precision, compiled=compiled),
        )
        sampler = Sampler(
            base_classifier, 0.25, num_classes, batch_size=batch_size, precision=precision, prepared=network
        )
        try:
            found = _rate(sampler, x, seconds)
            return 0.0 if sampler.forced else found, sampler.compiled
        except Exception as error:
            if ran_out(error):
                return 0.0, compiled
            raise

    return rate


def _rate(sampler: Sampler, x: torch.Tensor, seconds: float) -> float:
    sampler.begin_counts(1)
    image = sampler.prepare(x)
    parts = {
        place: NoiseChunk(x=image, index=0, stage=Stage.TEST, number=place, rows=CHUNK, counts_row=0)
        for place in range(sampler.room)
    }
    sampler.count(parts)  # prepares the network, and compiles it where that was asked for
    sampler.read()
    passes, started = 0, time.perf_counter()
    while passes == 0 or time.perf_counter() - started < seconds:
        sampler.count(parts)
        passes += 1
    sampler.read()
    return passes * sampler.room * CHUNK / (time.perf_counter() - started)


def remembered(file: Path | None, key: str, samples: int, find: Callable[[], RunConfiguration]) -> RunConfiguration:
    """What was found for ``key`` before, where that serves so much work, else what ``find`` finds now, kept in ``file``
    for the next time as far as something was tried. A file that cannot be written is done without."""
    known = _read(file).get(key) if file is not None else None
    if known is not None and RunConfiguration(**known).serves(samples):
        return RunConfiguration(**known)
    configuration = find()
    if file is not None and configuration.tried != "nothing":
        part = file.with_name(f"{file.name}.{time.time_ns()}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(_read(file) | {key: asdict(configuration)}, indent=1))
            part.replace(file)
        except OSError as error:
            log.warning("what was found about running the network is not kept", extra={"error": str(error)[:300]})
    return configuration


def configuration_for(
    base_classifier: nn.Module,
    x: torch.Tensor,
    num_classes: int,
    *,
    name: str,
    precision: Precision,
    samples: int,
    batch_size: int | None = None,
    may_compile: bool = True,
    file: Path | None = None,
) -> RunConfiguration:
    """How to run a network on inputs like ``x`` for so many noise samples; ``name`` is its architecture's, ``file`` where
    what was found on this machine is kept."""
    device = x.device.type
    card = torch.cuda.get_device_name(x.device) if device == "cuda" else torch.backends.cpu.get_cpu_capability()
    shape = "x".join(str(side) for side in x.shape)
    asked = f"{batch_size or 'any'} {'compiled' if may_compile else 'as it is'}"
    key = (
        f"{name} {shape} {num_classes} {precision} {card} {torch.get_num_threads()} threads {torch.__version__} {asked}"
    )
    measure = measured(base_classifier, x, num_classes, precision=precision)
    return remembered(
        file,
        key,
        samples,
        lambda: tune(measure, samples=samples, device=device, batch_size=batch_size, may_compile=may_compile),
    )


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(file.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
