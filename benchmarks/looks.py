"""Every way to look at a smoothed classifier, on MNIST with models trained here: LeNet under Gaussian noise and with SmoothMix, an
ordinary LeNet, and mixes of it with the SmoothMix one (Adaptive Smoothing).

Tables: accuracy and robustness of the mix over the weight of its robust part (clean, certified, attacked), over-confidence along
an unrestricted search, accuracy under attack beside certified accuracy, accuracy and ACR on corrupted images, AutoAttack. Each
figure comes out of a ``radii`` command, and all commands are printed. What a folder holds already is not done again, so that a
run that was stopped goes on. ``--quick`` is a smoke run.

    .venv/bin/python benchmarks/looks.py --data FOLDER --work FOLDER [--out benchmarks/results/looks.md]
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shown
from mnist import FILES, data_folder

RADII = [sys.executable, "-m", "radii.service.cli.main"]
SIGMA = 0.5
WEIGHTS = (0.0, 0.5, 0.6, 0.67, 0.76, 0.8, 0.9, 1.0)
CERTIFIED_AT = (0.25, 0.5)
ATTACKED_AT = (0.25, 0.5)
MODELS = ("gaussian", "smoothmix")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done."""

    images: int = 20_000
    epochs: int = 12
    inputs: int = 100
    n: int = 10_000
    votes: int = 1_000
    m: int = 32
    attack_steps: int = 20
    corrupted: int = 20
    severities: tuple[int, ...] = (1, 3, 5)
    auto_inputs: int = 50
    auto_steps: int = 20


QUICK = Size(
    images=600,
    epochs=1,
    inputs=4,
    n=200,
    votes=100,
    m=2,
    attack_steps=2,
    corrupted=1,
    severities=(3,),
    auto_inputs=4,
    auto_steps=2,
)


@dataclass(kw_only=True)
class Work:
    """The folder, and the commands that filled it."""

    folder: Path
    data: Path
    size: Size
    commands: list[str] = field(default_factory=list)

    def files(self, part: str) -> str:
        """A data set, as ``--dataset`` has it."""
        return ",".join(str(self.data / name) for name in FILES[part])

    def made(self, name: str, *command: object) -> Path:
        """A file of the folder, made by a command unless it is there; ``certify`` and ``evaluate`` go on where they were."""
        out = self.folder / name
        whole = [*map(str, command), "--out", str(out)]
        self.commands.append(self._shown(whole))
        if not out.exists() or out.suffix == ".tsv":
            subprocess.run([*RADII, *whole], check=True, stdout=subprocess.DEVNULL)
        return out

    def report(self, results: Path, *more: object) -> dict[str, Any]:
        """What ``radii report --json`` says of results."""
        command = [*RADII, "report", str(results.with_suffix(".ndjson")), "--json", *map(str, more)]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return found

    def _shown(self, command: list[str]) -> str:
        text = shlex.join(["radii", *command])
        return text.replace(f"{self.folder}/", "").replace(f"{self.data}/", "")


def main() -> None:
    """Does all of it, and prints the tables."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="radii-looks-") as scratch:
        work = Work(folder=options.work or Path(scratch), data=options.data, size=QUICK if options.quick else Size())
        work.folder.mkdir(parents=True, exist_ok=True)
        models = _trained(work)
        figures = {
            "trade_off": _trade_off(work, models),
            "over_confidence": {name: _over_confidence(work, models[name], name) for name in MODELS},
            "attack": {name: _attack(work, models[name], name) for name in MODELS},
            "corruptions": {name: _corruptions(work, models[name], name) for name in MODELS},
            "autoattack": _autoattack(work, models),
            "commands": work.commands,
            "size": vars(work.size),
            "sigma": SIGMA,
            "cores": os.cpu_count(),
        }
    shown.finish(
        _text(figures), figures, options.out, line={name: figures[name] for name in ("trade_off", "corruptions")}
    )


def _trained(work: Work) -> dict[str, Path]:
    size, train = work.size, work.files("training")
    common: tuple[object, ...] = ("--dataset", train, "--count", size.images, "--epochs", size.epochs)
    step = ("--lr-step", max(1, size.epochs // 3))
    plain = ("--architecture", "lenet", "--learning-rate", 0.01)
    return {
        "standard": work.made("standard.safetensors", "train", *common, *step, *plain, "--sigma", 0.01),
        "gaussian": work.made("gaussian.safetensors", "train", *common, *step, *plain, "--sigma", SIGMA),
        "smoothmix": work.made(
            "smoothmix.safetensors", "train", "--preset", f"mnist/smoothmix-eta5/{SIGMA:g}", *common, *step
        ),
    }


def _chosen(work: Work, inputs: int) -> tuple[object, ...]:
    return "--dataset", work.files("test"), "--step", max(1, 10_000 // inputs), "--count", inputs


def _certified(work: Work, model: Path, name: str, *more: object) -> Path:
    chosen = _chosen(work, work.size.inputs)
    return work.made(f"{name}.tsv", "certify", "--checkpoint", model, *chosen, "--n", work.size.n, *more)


def _trade_off(work: Work, models: dict[str, Path]) -> list[dict[str, Any]]:
    """By weight: clean and certified accuracy from one certification, attacked accuracy from an attack each."""
    parts = (models["standard"], models["smoothmix"])
    mix = work.made("mix.safetensors", "compose", "mixed", *parts, "--robust-weight", 0.8)
    found = work.report(_certified(work, mix, "mix", "--bound", "mixed"), "--radii", ",".join(map(str, CERTIFIED_AT)))
    by_weight = {row["robust_weight"]: row for row in found["weights"]}
    rows = []
    for weight in WEIGHTS:
        attack = work.made(
            f"mix-attack-{weight:g}.tsv",
            *("evaluate", "attack", "--checkpoint", mix, *_chosen(work, work.size.inputs)),
            *("--set", "evaluation.target=mix", "--set", f"evaluation.robust_weight={weight:g}"),
            *("--at", ",".join(map(str, ATTACKED_AT)), "--steps", work.size.attack_steps),
            *("--m", work.size.m, "--n", work.size.votes),
        )
        attacked = work.report(attack)["points"]
        known = by_weight[weight]
        rows.append(
            {
                "robust_weight": weight,
                "clean": known["accuracy"]["certified_accuracy"],
                "abstained": known["abstained"],
                "acr": known["acr"],
                "certified": [point["certified_accuracy"] for point in known["certified"]],
                "by_lipschitz": [point["certified_accuracy"] for point in known["by_lipschitz"]],
                "attacked": [point["accuracy"]["share"] for point in attacked],
                "unbroken": [point["unbroken"] for point in attacked],
            }
        )
    return rows


def _over_confidence(work: Work, model: Path, name: str) -> list[dict[str, Any]]:
    chosen = _chosen(work, work.size.inputs)
    out = work.made(
        f"{name}-over-confidence.tsv",
        *("evaluate", "over-confidence", "--checkpoint", model, *chosen, "--n", work.size.votes),
    )
    return [dict(point) for point in work.report(out)["points"]]


def _attack(work: Work, model: Path, name: str) -> dict[str, Any]:
    certificates = _certified(work, model, name)
    out = work.made(
        f"{name}-attack.tsv",
        *("evaluate", "attack", "--checkpoint", model, *_chosen(work, work.size.inputs), "--at", "0,0.5,1,1.5,2"),
        *("--steps", work.size.attack_steps, "--m", work.size.m, "--n", work.size.votes),
    )
    command = [*RADII, "report", str(out.with_suffix(".ndjson")), "--json", "--certificates", str(certificates)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"points": found["points"], "held": found["held"]}


def _corruptions(work: Work, model: Path, name: str) -> dict[str, Any]:
    severities = [part for severity in work.size.severities for part in ("--severity", severity)]
    corrupted = work.made(
        "corrupted.safetensors", "corrupt", *_chosen(work, work.size.corrupted), *severities, "--seed", 0
    )
    out = work.made(
        f"{name}-corrupted.tsv", "certify", "--checkpoint", model, "--dataset", corrupted, "--n", work.size.votes
    )
    found: dict[str, Any] = work.report(out)["corruptions"]
    return found


def _autoattack(work: Work, models: dict[str, Path]) -> dict[str, list[float]]:
    """Clean and robust accuracy, without noise, linf 0.1."""
    rows = {}
    for name, model in {**models, "mix of 0.8": work.folder / "mix.safetensors"}.items():
        out = work.made(
            f"{name.replace(' ', '-')}-autoattack.tsv",
            *("evaluate", "autoattack", "--checkpoint", model, *_chosen(work, work.size.auto_inputs), "--epsilon", 0.1),
            *("--set", f"evaluation.iterations={work.size.auto_steps}", "--set", "evaluation.queries=500"),
        )
        rows[name] = [point["accuracy"]["share"] for point in work.report(out)["points"]]
    return rows


def _text(figures: dict[str, Any]) -> str:
    size = figures["size"]
    about = (
        f"LeNet on MNIST, sigma {SIGMA:g}: {size['images']:,} training images, {size['epochs']} epochs; {size['inputs']} evenly spaced "
        f"test images; n = {size['n']:,} to certify, {size['votes']:,} votes at each point of an attack or a search, m = {size['m']}, "
        f"{size['attack_steps']} steps. {figures['cores']} cores. A small budget: the intervals of shares are about 10 points to each side."
    )
    blocks = [
        "# Every way to look at a smoothed classifier",
        about,
        "## Adaptive Smoothing: accuracy and robustness over the weight of the robust classifier",
        _EXPECTED["trade_off"],
        _trade_off_table(figures["trade_off"]),
        "## Over-confidence off the class",
        _EXPECTED["over_confidence"],
        shown.table(
            ["length of the search", *(f"{name}: {what}" for name in MODELS for what in ("true", "other", "distance"))],
            [
                [f"{points[0]['point']:g}"]
                + [
                    cell
                    for at in points
                    for cell in (_share(at["true_votes"]), _share(at["other_votes"]), f"{at['distance']:.2f}")
                ]
                for points in zip(*(figures["over_confidence"][name] for name in MODELS), strict=True)
            ],
        ),
        "## Under attack",
        _EXPECTED["attack"],
        shown.table(
            [
                "radius",
                *(f"{name}: {what}" for name in MODELS for what in ("right", "right or abstained", "certified")),
            ],
            [
                [f"{points[0]['point']:g}"]
                + [
                    cell
                    for at in points
                    for cell in map(_share, (at["accuracy"]["share"], at["unbroken"], at["certified"]))
                ]
                for points in zip(*(figures["attack"][name]["points"] for name in MODELS), strict=True)
            ],
        ),
        *(_held(name, figures["attack"][name]["held"]) for name in MODELS),
        "## On corrupted images",
        _EXPECTED["corruptions"],
        _corruption_table(figures["corruptions"]),
        "## AutoAttack, linf 0.1, without noise",
        _EXPECTED["autoattack"],
        shown.table(
            ["model", "clean", "attacked"], [[name, *map(_share, row)] for name, row in figures["autoattack"].items()]
        ),
        "## Commands",
        "Printed by",
        f"```\n{shown.command()}\n```",
        "which runs these, with the data set's files in the folder of `--data`:",
        "```\n" + "\n".join(dict.fromkeys(figures["commands"])) + "\n```",
    ]
    return "\n\n".join(blocks) + "\n"


_EXPECTED = {
    "trade_off": "Expected: clean accuracy falls towards that of the robust classifier as its weight grows, nothing is certified below "
    "1/2, and certified and attacked accuracy grow with the weight; randomized smoothing certifies at least what the Lipschitz "
    "constant does, and what no attack turns, right or abstained, is at least what is certified. Right at 1,000 votes is less than that where "
    "they leave no class clear.",
    "over_confidence": "Expected, the slides' claim: along the search the votes for the strongest other class grow less for SmoothMix than for "
    "the Gaussian model. True and other are mean shares of votes, the distance is that from the input.",
    "attack": "Expected: the share that is right or abstains under attack is at least certified accuracy at every radius, but for the "
    "failure probabilities of both.",
    "corruptions": "Expected: no great difference on MNIST, where both lose most on what removes contrast. Constants of ImageNet-C; images of "
    "28 pixels are padded by their edges and cut back.",
    "autoattack": "Expected: the ordinary network loses most, the one trained under noise less. A reduced version: 500 queries, fewer iterations.",
}


def _held(name: str, held: dict[str, Any]) -> str:
    return (
        f"{name}: {held['checked']:,} answers within a certified radius, {held['count']} of another class than the certified one; the two "
        f"alphas allow {held['allowed']:.2g}."
    )


def _trade_off_table(rows: list[dict[str, Any]]) -> str:
    curves = {"certified": CERTIFIED_AT, "by_lipschitz": CERTIFIED_AT, "attacked": ATTACKED_AT, "unbroken": ATTACKED_AT}
    named = {"attacked": "right under attack", "unbroken": "right or abstained under it"}
    heads = [f"{named.get(name, name.replace('_', ' '))} at {at:g}" for name, radii in curves.items() for at in radii]
    lines = []
    for row in rows:
        shares = [row["clean"], row["abstained"], *(share for name in curves for share in row[name])]
        lines.append([f"{row['robust_weight']:g}", *map(_share, shares)])
    return shown.table(["robust weight", "clean", "abstained", *heads], lines)


def _corruption_table(found: dict[str, Any]) -> str:
    rows = [
        [rows[0]["corruption"], *(cell for row in rows for cell in (_share(row["accuracy"]), f"{row['acr']:.3f}"))]
        for rows in zip(*(found[name]["corruptions"] for name in MODELS), strict=True)
    ]
    means = [found[name]["means"][0] for name in MODELS]
    rows.append(["mean", *(cell for mean in means for cell in (_share(mean["macc"]), f"{mean['macr']:.3f}"))])
    return shown.table(["corruption", *(f"{name}: {what}" for name in MODELS for what in ("accuracy", "ACR"))], rows)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of the idx files (or RADII_TEST_DATA/mnist)")
    parser.add_argument(
        "--work", type=Path, default=None, help="folder of models and results, to go on with; none: a passing one"
    )
    parser.add_argument("--out", type=Path, default=None, help="file for the tables (.md; the figures beside it)")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    options = parser.parse_args()
    options.data = data_folder(options.data, optional=options.quick)
    return options


if __name__ == "__main__":
    main()
