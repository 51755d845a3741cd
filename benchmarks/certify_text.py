"""The tables of ``certify.py``."""

from collections.abc import Mapping
from typing import Any

from shown import table

TARGETS = """\
Targets: fp32 3 times the textbook loop at batch 1,000 and 1.3 times the packaged library (2.7 and 1.2 on ResNet-110); bf16 6
times, 2.6 times the better of batch 400 and the packaged library, and on ResNets 75 % of the matrix rate; at_radii 100 times
the textbook loop within 0.5 points; pilot 7 times at 1 % less ACR."""
SHOWN = {"lenet": "LeNet 28x28", "cifar_resnet20": "ResNet-20 32x32", "cifar_resnet110": "ResNet-110 32x32"}


def text(figures: Mapping[str, Any], command: str) -> str:
    """Everything, as Markdown."""
    models: Mapping[str, Any] = figures["models"]
    machine = f"{figures['machine']}, {figures['threads']} threads, torch {figures['torch']}"
    head = f"# Speed of certification\n\n```\n{command}\n```\n\n{machine}; medians of {figures['rounds']} interleaved rounds.\n"
    parts = [head, _rates(models), TARGETS, _early(models), _votes(models)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _rates(models: Mapping[str, Any]) -> str:
    names = [SHOWN[name] for name in models]
    rows: list[list[object]] = [
        [label, *(_count(model["rates"].get(who)) for model in models.values())]
        for who, label in (
            ("textbook_1000", "textbook loop, batch 1,000"),
            ("textbook_400", "textbook loop, batch 400"),
            ("packaged", "adversarial-robustness-toolbox"),
            ("fp32", "radii, fp32"),
            ("bf16", "radii, bf16"),
        )
    ]
    rows += [
        [label, *(_times(model[name]) for model in models.values())]
        for name, label in (
            ("fp32_vs_textbook", "fp32 over the textbook loop, batch 1,000"),
            ("fp32_vs_art", "fp32 over the packaged library"),
            ("bf16_vs_textbook", "bf16 over the textbook loop, batch 1,000"),
            ("bf16_vs_best_fp32_baseline", "bf16 over the better of batch 400 and the packaged library"),
        )
    ]
    for precision in ("fp32", "bf16"):
        rows.append(
            [
                f"{precision}: share of the matrix rate",
                *(
                    f"{100 * model[f'{precision}_matrix_share']:.0f} % of {model['matrix'][precision]:,.0f} GFLOP/s"
                    for model in models.values()
                ),
            ]
        )
        rows.append([f"{precision}: run", *(_configuration(model["ways"][precision]) for model in models.values())])
    return "Noise samples a second.\n\n" + table(["", *names], rows)


def _early(models: Mapping[str, Any]) -> str:
    at_radii, pilot = [], []
    for name, trained in _trained(models):
        for precision, found in trained["early"].items():
            who = f"{SHOWN[name]}, sigma {trained['sigma']:g}, {precision}"
            at_radii += [[who, *_at_radii(asked, found["inputs"])] for asked in found["at_radii"]]
            pilot.append(
                [
                    who,
                    f"{found['pilot_inputs']:,}",
                    f"{found['pilot_vs_textbook']:.1f} x",
                    f"{found['pilot_samples']:,}",
                    f"{100 * found['acr_lost']:.2f} % of {found['acr'][0]:.3f}",
                ]
            )
    if not pilot:
        return ""
    return (
        "## Fewer samples\n\nTime against the textbook loop at batch 1,000, which is its rate, measured before and after each row, "
        "times the samples of a fixed n for each input. Tuning and compiling, once for a model on a machine, are left out "
        f"(compiling took {_preparing(models)} s again here). Certified accuracy and ACR against the certificates of the "
        f"fixed n on the same inputs, made in {_references(models)}.\n\n"
        + table(
            ["at_radii", "inputs", "radii", "time", "mean samples (median)", "accuracy at fixed n", "change, points"],
            at_radii,
        )
        + "\n\n"
        + table(["pilot", "inputs", "time", "mean samples", "ACR lost"], pilot)
    )


def _preparing(models: Mapping[str, Any]) -> str:
    taken = [found["preparing_seconds"] for _, trained in _trained(models) for found in trained["early"].values()]
    return f"{min(taken):.0f} to {max(taken):.0f}"


def _references(models: Mapping[str, Any]) -> str:
    return " or ".join(sorted({trained["reference"] for _, trained in _trained(models)}))


def _trained(models: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The trained models, each with its network."""
    return [(name, trained) for name, model in models.items() for trained in model["trained"]]


def _at_radii(asked: Mapping[str, Any], inputs: int) -> list[object]:
    accuracies = asked["certified_accuracy"]
    changes = [100 * (found - fixed) for fixed, found in accuracies]
    alone = len(accuracies) == 1
    return [
        f"{inputs:,}",
        f"{asked['radii'][0]:g}" if alone else "all of them",
        f"{asked['vs_textbook']:,.0f} x",
        f"{asked['samples']:,} ({asked['median_samples']:,.0f})",
        f"{100 * accuracies[0][0]:.1f} %" if alone else "",
        f"{changes[0]:+.1f}" if alone else f"{min(changes):+.1f} to {max(changes):+.1f}",
    ]


def _votes(models: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{SHOWN[name]}, sigma {trained['sigma']:g}, {precision}",
            f"{found['differ']:,} of {found['votes']:,}",
            found["largest_relative_difference_of_logits"],
            found["widest_gap_of_one_that_differs"],
        ]
        for name, trained in _trained(models)
        for precision, found in trained["differing_votes"].items()
    ]
    if not rows:
        return ""
    return (
        "## Votes that differ from the textbook loop's, on the same noise\n\nDifferences and gaps relative to the largest "
        "logit.\n\n"
        + table(
            ["", "votes that differ", "largest difference of logits", "widest top-two gap among those that differ"],
            rows,
        )
    )


def _count(value: float | None) -> str:
    return "not installed" if value is None else f"{value:,.0f}"


def _times(value: float | None) -> str:
    return "–" if value is None else f"**{value:.2f}**"


def _configuration(configuration: Mapping[str, Any]) -> str:
    return f"batch {configuration['batch_size']}, {'compiled' if configuration['compiled'] else 'folded'}"
