"""Every training method on MNIST, LeNet, sigma 0.5, at one small budget, through the service: one table.

The first 10,000 training images, 10 epochs of one schedule for every method, soft labels from 100 votes, the first 500
test images, n = 10,000. Hyper-parameters are the published ones (MNIST, sigma 0.5), but that attacks have their whole
radius from the first epoch on, where the published runs let it grow over 10 of 90.

Each row is a training job and a certification job of a service whose folder is kept in ``--work``: stopped at any time,
the same command goes on from there, and ``--rows`` makes the table in parts. Rows that the JSON file beside ``--out`` holds
stay unless they are made anew, and so does what is written under the tables, from the first heading on. The last line is
one JSON object.

    .venv/bin/python benchmarks/methods.py --data FOLDER --work FOLDER [--out benchmarks/results/methods.md]
"""

import argparse
import json
import os
import shlex
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from mnist import FILES, data_folder
from pydantic import TypeAdapter
from training_cost import Bench

from rs_core.certify.bounds import max_radius
from rs_core.report import Report, summarize
from rs_core.spec import Method
from service.client import Client
from service.client_job import Job
from service.demo import service_in

SIGMA = 0.5
RADII = (0.0, 0.5, 1.0, 1.5)
ATTACK = {"steps": 10, "epsilon": 255 / 256, "warmup_epochs": 1}
MIX = {"name": "smoothmix", "m": 4, "steps": 4, "step_size": 1.0, "warmup_epochs": 1}
BATCH = 256
CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Row:
    """One method with its hyper-parameters and its published ACR at full budget."""

    method: dict[str, Any]
    published: str


ROWS = {
    "Gaussian": Row({"name": "gaussian"}, "1.558"),
    "Stability": Row({"name": "stability", "weight": 2.0}, "1.572"),
    "Consistency": Row({"name": "consistency", "m": 2, "weight": 5.0, "eta": 0.5}, "1.655"),
    "MACER": Row({"name": "macer", "m": 16, "weight": 16.0, "deferred": True}, "1.590"),
    "SmoothMix, eta 1": Row(MIX | {"eta": 1.0}, "1.678"),
    "SmoothMix, eta 5": Row(MIX | {"eta": 5.0}, "1.693"),
    "SmoothMix one-step, eta 1": Row(MIX | {"eta": 1.0, "mix_step": 1}, "1.693"),
    "SmoothMix one-step, eta 5": Row(MIX | {"eta": 5.0, "mix_step": 1}, "1.685"),
    "SmoothAdv": Row({"name": "smoothadv", "m": 4} | ATTACK, "1.687"),
    "Consistency + SmoothAdv": Row(
        {"name": "consistency", "m": 4, "weight": 1.0, "eta": 0.5, "attack": ATTACK}, "1.696"
    ),
    "CAT-RS": Row({"name": "cat_rs", "m": 4, "weight": 1.0, "soft_label_n": 100}, "1.700"),
}


def main() -> None:
    """Runs what is missing and prints what there is."""
    options = _options()
    with (
        _folder(options.work) as work,
        service_in(work, workers=options.workers) as url,
        Client(url) as client,
    ):
        ledger = Ledger(work / "jobs.json", _settings(options))
        sets = _datasets(client, ledger, options.data)
        _run(client, ledger, sets, options)
        figures = _earlier(options)
        for name in ROWS:
            if ledger.get(f"{name}/certify") and (row := _figures(client, ledger, name)) is not None:
                figures[name] = row
    costs = _costs(options.cost_rounds)
    done = {name: figures[name] | costs[name] for name in ROWS if name in figures}
    text = f"{_table(done)}\n\n{_steps_up(done)}"
    short = {name: {key: row[key] for key in row if key != "radii"} for name, row in done.items()}
    print(f"\n{text}\n\n{json.dumps(short)}")
    if options.out is not None:
        _write(options, text, done)


def _earlier(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The rows in the result file, which other runs of the same settings have made."""
    if options.out is None or not options.out.with_suffix(".json").exists():
        return {}
    earlier: dict[str, Any] = json.loads(options.out.with_suffix(".json").read_text())
    _same(_settings(options), earlier["settings"], options.out)
    rows: dict[str, dict[str, Any]] = earlier["rows"]
    return rows


def _settings(options: argparse.Namespace) -> dict[str, int]:
    """What every row of one table has in common."""
    return {name: getattr(options, name) for name in ("epochs", "lr_step", "images", "inputs", "n")}


def _same(settings: dict[str, int], known: dict[str, int], where: Path) -> None:
    if settings != known:
        raise SystemExit(f"{where} holds rows of other settings: expected {known}, got {settings}")


class Ledger:
    """Which jobs and data sets were made under which settings, as a JSON file."""

    def __init__(self, path: Path, settings: dict[str, int]) -> None:
        self._path = path
        self._settings = settings
        self._known: dict[str, str] = {}
        if path.exists():
            body = json.loads(path.read_text())
            _same(settings, body["settings"], path)
            self._known = body["made"]

    def get(self, key: str) -> str | None:
        """The identifier, if there is one."""
        return self._known.get(key)

    def put(self, key: str, identifier: str) -> str:
        """Writes one down, and returns it."""
        self._known[key] = identifier
        self._path.write_text(json.dumps({"settings": self._settings, "made": self._known}, indent=1))
        return identifier


def _datasets(client: Client, ledger: Ledger, data: Path) -> dict[str, str]:
    sets = {}
    for part, files in FILES.items():
        known = ledger.get(part)
        sets[part] = known or ledger.put(part, client.add_dataset(f"MNIST, {part}", [data / file for file in files]).id)
    return sets


def _run(client: Client, ledger: Ledger, sets: dict[str, str], options: argparse.Namespace) -> None:
    """Submits each chosen row's training, and its certification as soon as that has ended; waits for all."""
    chosen = [name for name in ROWS if not options.rows or name in options.rows]
    for name in chosen:
        if ledger.get(f"{name}/train") is None:
            ledger.put(f"{name}/train", _train(client, name, sets, options).id)
    begun, waiting = time.monotonic(), list(chosen)
    while waiting:
        for name in list(waiting):
            if _step(client, ledger, name, sets, options):
                waiting.remove(name)
                print(f"{time.monotonic() - begun:7.0f} s  {name} is done, {len(waiting)} to go", flush=True)
        time.sleep(CHECK_SECONDS)


def _step(client: Client, ledger: Ledger, name: str, sets: dict[str, str], options: argparse.Namespace) -> bool:
    """Brings one row forward; True where it is finished."""
    training = client.job(ledger.get(f"{name}/train") or "")
    certification = ledger.get(f"{name}/certify")
    if certification is not None:
        return _succeeded(client.job(certification), name)
    if _succeeded(training, name):
        job = client.certify(
            checkpoint=training.checkpoint_id or "",
            dataset=sets["test"],
            n=options.n,
            inputs={"count": options.inputs},
        )
        ledger.put(f"{name}/certify", job.id)
    return False


def _succeeded(job: Job, name: str) -> bool:
    if job.state in ("failed", "cancelled", "expired"):
        raise SystemExit(f"{name}: {job.info.kind} {job.state}: {job.info.problem and job.info.problem.detail}")
    return job.state == "succeeded"


def _train(client: Client, name: str, sets: dict[str, str], options: argparse.Namespace) -> Job:
    return client.train(
        name=f"LeNet, {name}",
        dataset=sets["training"],
        architecture="lenet",
        sigma=SIGMA,
        method=ROWS[name].method,
        epochs=options.epochs,
        batch_size=BATCH,
        memory_format="channels_last",
        learning_rate=0.01,
        lr_step=options.lr_step,
        inputs={"count": options.images},
    )


def _figures(client: Client, ledger: Ledger, name: str) -> dict[str, Any] | None:
    training = client.job(ledger.get(f"{name}/train") or "")
    certification = client.job(ledger.get(f"{name}/certify") or "")
    if certification.state != "succeeded":
        return None
    rows = list(certification.certificates())
    report: Report = summarize(rows, radii=RADII)
    epochs = training.epochs()
    attacked = [epoch.terms["confident"] for epoch in epochs if "confident" in epoch.terms]
    return {
        "acr": report.acr,
        "certified_accuracy": {f"{p.radius:g}": p.certified_accuracy for p in report.certified_accuracy},
        "abstained": report.abstention_rate,
        "published_acr": ROWS[name].published,
        "memory_format": training.info.spec["memory_format"],
        "steps": sum(epoch.steps for epoch in epochs),
        "last_loss": epochs[-1].loss,
        "accuracy_under_noise": epochs[-1].accuracy,
        "attacked": statistics.mean(attacked) if attacked else None,
        "radii": [round(row.radius, 5) if row.correct else 0.0 for row in rows],
    }


def _costs(rounds: int) -> dict[str, dict[str, Any]]:
    """Passes per image and the time of an epoch beside Gaussian's, after every warm-up: whole batches of 256 in turn.

    The network is untrained, so CAT-RS is made to attack every image, as it nearly does once the network is trained.
    """
    methods = {name: row.method for name, row in ROWS.items()}
    methods["CAT-RS"] = methods["CAT-RS"] | {"masked_attacks": "all"}
    records = {name: TypeAdapter(Method).validate_python(body) for name, body in methods.items()}
    bench = Bench("lenet", BATCH, torch.device("cpu"))
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


def _table(rows: dict[str, dict[str, Any]]) -> str:
    head = "| method | ACR | " + " | ".join(f"at {radius:g}" for radius in RADII)
    lines = [head + " | abstained | steps | passes | cost | published ACR |", "|---|" + "---|" * (len(RADII) + 6)]
    for name, row in rows.items():
        accuracies = " | ".join(f"{100 * row['certified_accuracy'][f'{radius:g}']:.1f}" for radius in RADII)
        passes = " + ".join(f"{count:.3g}" for count in row["passes"])
        lines.append(
            f"| {name} | {row['acr']:.3f} | {accuracies} | {100 * row['abstained']:.1f} | {row['steps']:,} | {passes} "
            f"| {row['cost']:.1f} | {row['published_acr']} |"
        )
    return "\n".join(lines)


def _steps_up(rows: dict[str, dict[str, Any]]) -> str:
    """By how much each row's ACR is above the next lower one, over the same inputs, where both have their radii."""
    lines = ["| by ACR | above the row before | standard error |", "|---|---|---|"]
    known = sorted((row["acr"], name) for name, row in rows.items() if row.get("radii"))
    for (_, before), (_, name) in pairwise(known):
        differences = [b - a for a, b in zip(rows[before]["radii"], rows[name]["radii"], strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5
        lines.append(f"| {name} over {before} | {statistics.mean(differences):.4f} | {error:.4f} |")
    return "\n".join(lines)


def _write(options: argparse.Namespace, table: str, rows: dict[str, Any]) -> None:
    parts = ["benchmarks/methods.py", "--data", options.data.name, "--work", "FOLDER", "--out", str(options.out)]
    for name, value in _settings(options).items():
        parts += [f"--{name.replace('_', '-')}", str(value)]
    text = (
        "# Every training method, MNIST\n\n"
        f"LeNet, sigma {SIGMA:g}, the first {options.images:,} training images, {options.epochs} epochs, learning rate "
        f"0.01 with a drop every {options.lr_step} epochs, batch 256; soft labels of CAT-RS from 100 votes; the first "
        f"{options.inputs} test images, n = {options.n:,}, alpha 0.001 (cap {max_radius(options.n, 0.001, SIGMA):.3f}). "
        "Attacks without a warm-up. The JSON file says which rows were trained channels-last. "
        "Accuracies in per cent. Passes per training image: forward and backward for the weights + for the input alone, after "
        "every warm-up; cost: time of an epoch beside Gaussian's, whole batches timed in turn "
        f"({options.cost_rounds} rounds, medians).{_attacked(rows)}\n\n"
        f"```\n{shlex.join(['.venv/bin/python', *parts])}\n```\n\n"
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, no GPU. Every figure, and the radius of each input: "
        f"`{options.out.with_suffix('.json').name}`.\n\n{table}\n{_remarks(options.out)}"
    )
    options.out.write_text(text)
    options.out.with_suffix(".json").write_text(
        json.dumps({"settings": _settings(options), "rows": rows}, separators=(",", ":")) + "\n"
    )


def _remarks(out: Path) -> str:
    """What a reader of the figures has written under them in the file that is there: it stays."""
    _, heading, text = (out.read_text() if out.exists() else "").partition("\n## ")
    return heading + text


def _attacked(rows: dict[str, Any]) -> str:
    share = rows.get("CAT-RS", {}).get("attacked")
    if share is None:
        return ""
    return f" CAT-RS attacked {100 * share:.0f} % of the images over its epochs; its passes and cost are of all."


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is None:
        with tempfile.TemporaryDirectory(prefix="radii-methods-") as scratch:
            yield Path(scratch)
        return
    work.mkdir(parents=True, exist_ok=True)
    yield work


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="folder of the idx files (or RADII_TEST_DATA/mnist)")
    parser.add_argument("--work", type=Path, default=None, help="folder that keeps the jobs, to go on from")
    parser.add_argument("--out", type=Path, default=None, help="file for the result")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=None, help="rows to make now")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr-step", type=int, default=4)
    parser.add_argument("--images", type=int, default=10_000, help="training images")
    parser.add_argument("--inputs", type=int, default=500, help="test images to certify")
    parser.add_argument("--n", type=int, default=10_000, help="noise samples for estimation")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cost-rounds", type=int, default=5, help="interleaved rounds of the cost column")
    parser.add_argument("--quick", action="store_true", help="a smoke run of three cheap rows")
    options = parser.parse_args()
    options.data = data_folder(options.data, optional=options.quick)
    if options.quick:
        options.epochs, options.lr_step, options.images, options.inputs, options.n = 1, 1, 1_000, 10, 1_000
        options.rows, options.cost_rounds = ["Gaussian", "Stability", "Consistency"], 1
    return options


if __name__ == "__main__":
    main()
