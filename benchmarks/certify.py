"""How fast certification is: the textbook loop, the packaged library and this engine, interleaved in one run.

Rates are noise samples a second, medians of the rounds, on untrained weights, which cost the same; a ratio is the median of
the rounds' ratios. The share of the matrix rate is what the engine's forward passes use of what a large product of two
matrices reaches on the same cores in the same run.

With ``--trained NETWORK=FOLDER``, one or more (a checkpoint ``model.safetensors``, a data set ``images.npz`` and the
certificates ``fixed.ndjson`` of n = 100,000 on some of its inputs, as ``benchmarks/certify_models.py`` makes them) the
procedures that stop early run on those inputs, in float32 on every fourth: their time against the textbook loop's at batch
1,000, which is its rate, measured before and after each, times 100,100 samples an input, and their certified accuracy and
ACR against those of the fixed n. ``--quick`` does everything on a LeNet that it trains for a few seconds, within a minute.

The packaged library is an extra of its own: ``pip install -e '.[bench]'``. The last line is one JSON object.

    .venv/bin/python benchmarks/certify.py [--quick] [--trained lenet=FOLDER] [--out benchmarks/results/certify.md]
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import shown
import torch
from certify_contenders import Contender, matrix_rate, operations, ours, packaged, textbook
from certify_early import early, votes_that_differ
from certify_models import TrainedModel, quick_model, read
from certify_text import text

from radii.rs_core.certify.autotune import RunConfiguration, configuration_for
from radii.rs_core.models import registry
from radii.rs_core.specs.fields import Precision
from radii.worker.tasks.environment import cpu_name

MODELS = {"lenet": (1, 28, 28), "cifar_resnet20": (3, 32, 32), "cifar_resnet110": (3, 32, 32)}
CLASSES = 10
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
LONG = 10**10
"""Noise samples of the job that the engine is tuned for."""


def main() -> None:
    """Measures and prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="radii-certify-") as scratch:
        trained = (
            [("lenet", quick_model(Path(scratch), torch.device(options.device)))] if options.quick else options.trained
        )
        for name in options.models:
            found[name], configurations = _measured(name, options)
            found[name]["trained"] = [
                _early(model, configurations, options) for network, model in trained if network == name
            ]
    facts = {
        "machine": torch.cuda.get_device_name() if options.device == "cuda" else cpu_name(),
        "threads": options.threads,
        "rounds": options.rounds,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    figures = {**facts, "models": found}
    shown.finish(text(figures, shown.command()), figures, options.out, {**facts, **_ratios(found)})


def _measured(name: str, options: argparse.Namespace) -> tuple[dict[str, Any], dict[Precision, RunConfiguration]]:
    """Rates of all contenders on one model, round by round, and how the engine ran it."""
    shape, device = MODELS[name], torch.device(options.device)
    torch.manual_seed(0)
    network = registry.build(name, num_classes=CLASSES, input_shape=shape).eval().to(device)
    x = torch.rand(shape).to(device)
    configurations = {
        precision: _configuration(name, network, x, precision, options.batch_size) for precision in PRECISIONS
    }
    contenders: dict[str, Contender | None] = {
        "textbook_1000": textbook(network, x, CLASSES, 1_000),
        "textbook_400": textbook(network, x, CLASSES, 400),
        "packaged": packaged(network, x, CLASSES),
        **{
            precision: ours(network, x, CLASSES, configuration, precision)
            for precision, configuration in configurations.items()
        },
    }
    samples = {who: _amount(run, options.seconds) for who, run in contenders.items() if run is not None}
    rates: dict[str, list[float]] = {who: [] for who in samples}
    matrix: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    for number in range(options.rounds):
        print(f"{name}: round {number + 1} of {options.rounds}", file=sys.stderr)
        for who, amount in samples.items():
            rates[who].append(amount / contenders[who](amount))  # type: ignore[misc]
        for precision, of_rounds in matrix.items():
            of_rounds.append(matrix_rate(precision, device))
    work = operations(network, x)
    medians = {who: statistics.median(of_rounds) for who, of_rounds in rates.items()}
    figures = {
        "rates": {who: round(rate, 1) for who, rate in medians.items()},
        "ways": {
            precision: {"batch_size": configuration.batch_size, "compiled": configuration.compiled}
            for precision, configuration in configurations.items()
        },
        "operations": work,
        "matrix": {precision: round(statistics.median(of) / 1e9, 1) for precision, of in matrix.items()},
        "fp32_vs_textbook": _over(rates, "fp32", "textbook_1000"),
        "fp32_vs_art": _over(rates, "fp32", "packaged"),
        "bf16_vs_textbook": _over(rates, "bf16", "textbook_1000"),
        "bf16_vs_best_fp32_baseline": _over(rates, "bf16", "textbook_400", "packaged"),
        "bf16_vs_art": _over(rates, "bf16", "packaged"),
        "fp32_matrix_share": _share(rates["fp32"], matrix["fp32"], work),
        "bf16_matrix_share": _share(rates["bf16"], matrix["bf16"], work),
    }
    return figures, configurations


def _configuration(
    name: str, network: Any, x: torch.Tensor, precision: Precision, batch_size: int | None
) -> RunConfiguration:
    return configuration_for(network, x, CLASSES, name=name, precision=precision, samples=LONG, batch_size=batch_size)


def _amount(run: Contender, seconds: float) -> int:
    """Noise samples, in whole thousands, that take about so many seconds."""
    run(1_000)
    rate = 2_000 / run(2_000)
    return max(2_000, round(rate * seconds / 1_000) * 1_000)


def _over(rates: Mapping[str, list[float]], one: str, *others: str) -> float | None:
    """The median over the rounds of one rate over the best of others; None where one of them is missing."""
    if any(other not in rates for other in others):
        return None
    best = [max(of_round) for of_round in zip(*(rates[other] for other in others), strict=True)]
    return round(statistics.median(a / b for a, b in zip(rates[one], best, strict=True)), 2)


def _share(rates: list[float], matrix: list[float], work: int) -> float:
    return round(statistics.median(rate * work / most for rate, most in zip(rates, matrix, strict=True)), 3)


def _early(
    trained: TrainedModel, configurations: Mapping[Precision, RunConfiguration], options: argparse.Namespace
) -> dict[str, Any]:
    """What stopping early brings on a trained model, and which votes differ."""
    baseline = textbook(trained.model, trained.image(trained.indices[0]), CLASSES, 1_000)
    amount = _amount(baseline, options.seconds)

    def rate() -> float:
        return amount / baseline(amount)

    precisions: tuple[Precision, ...] = ("bf16",) if options.quick else PRECISIONS
    return {
        "sigma": trained.sigma,
        "reference": trained.fixed[0].precision,
        "early": {
            precision: early(
                _part(trained, precision), configurations[precision], precision, rate, options.pilot_inputs
            )
            for precision in precisions
        },
        "differing_votes": votes_that_differ(trained, configurations),
    }


def _part(trained: TrainedModel, precision: Precision) -> TrainedModel:
    """All inputs; in float32, which takes longest, every fourth."""
    return trained if precision == "bf16" else replace(trained, fixed=trained.fixed[::4])


def _ratios(found: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON line: each ratio by model."""
    names = ("fp32_vs_textbook", "fp32_vs_art", "bf16_vs_textbook", "bf16_vs_best_fp32_baseline", "bf16_vs_art")
    shares = ("fp32_matrix_share", "bf16_matrix_share")
    line: dict[str, Any] = {
        name: {model: figures[name] for model, figures in found.items()} for name in (*names, *shares)
    }
    for name in ("at_radii_vs_textbook", "pilot_vs_textbook"):
        line[name] = {
            model: {
                f"sigma {trained['sigma']:g}": {precision: early[name] for precision, early in trained["early"].items()}
                for trained in figures["trained"]
            }
            for model, figures in found.items()
            if figures["trained"]
        }
    return line


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, about")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch-size", type=int, help="of the engine (default: the fastest that is found)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--trained", nargs="+", type=_named, default=[], metavar="NETWORK=FOLDER")
    parser.add_argument(
        "--pilot-inputs",
        type=int,
        default=None,
        help="inputs of the pilot's measurement (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="LeNet alone, within a minute")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.trained = [(name, read(folder, torch.device(options.device))) for name, folder in options.trained]
    if options.quick:
        options.models, options.seconds, options.batch_size = ["lenet"], 0.3, 400
    return options


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or name not in MODELS:
        raise argparse.ArgumentTypeError(f"expected NETWORK=FOLDER with one of {', '.join(MODELS)}, got {text!r}")
    return name, Path(folder)


if __name__ == "__main__":
    main()
