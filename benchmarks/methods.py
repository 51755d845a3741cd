"""Every training method on MNIST, LeNet, sigma 0.5, at one small budget, through the service: one table.

The first 10,000 training images, 10 epochs of one schedule for every method, soft labels from 100 votes, the first 500
test images, n = 10,000. Hyper-parameters are the published ones (MNIST, sigma 0.5), but that attacks have their whole
radius from the first epoch on, where the published runs let it grow over 10 of 90.

Each row is a training job and a certification job of a service whose folder is kept in ``--work``: stopped at any time,
the same command goes on from there, and ``--rows`` makes the table in parts. Rows that the JSON file beside ``--out`` holds
stay unless they are made anew, and so does what is written under the tables, from the first heading on. The last line is
one JSON object. ``--table cat_rs`` looks into CAT-RS: another seed, more epochs.

    .venv/bin/python benchmarks/methods.py --data FOLDER --work FOLDER [--out benchmarks/results/methods.md]
"""

import argparse
import json
import os
import shlex
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from methods_cost import method_costs
from methods_rows import TABLES, Row
from methods_text import RADII, SIGMA, Figures, cat_rs_text, methods_text, write
from mnist import FILES, data_folder

from radii.rs_core.reports.certification import Report, summarize
from radii.service.client.client import Client
from radii.service.client.job import Job
from radii.service.demo import service_in

MACHINE = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, no GPU."
METHODS_OUT = Path(__file__).parent / "results" / "methods.md"
BATCH = 256
CHECK_SECONDS = 2.0


def main() -> None:
    """Runs what is missing and prints what there is."""
    options = _options()
    rows, settings = TABLES[options.table], _settings(options)
    figures, beside = _earlier(options.out, settings), _beside(settings)
    with (
        _folder(options.work) as work,
        service_in(work, workers=options.workers) as url,
        Client(url) as client,
    ):
        ledger = Ledger(work / "jobs.json", settings)
        sets = _datasets(client, ledger, options.data)
        _run(client, ledger, sets, options)
        for name in rows:
            if ledger.get(f"{name}/certify") and (row := _figures(client, ledger, name, rows[name])) is not None:
                figures[name] = row
    figures = {name: figures[name] for name in rows if name in figures}
    made = f"```\n{_command(options, settings)}\n```\n\n{MACHINE}"
    if options.table == "methods":
        costs = method_costs(rows, BATCH, options.cost_rounds)
        figures = {name: row | costs[name] for name, row in figures.items()}
        text = methods_text(figures, settings, made, options.cost_rounds)
    else:
        text = cat_rs_text(figures, settings, made, beside)
    short = {name: {key: row[key] for key in row if key != "radii"} for name, row in figures.items()}
    print(f"\n{text}\n{json.dumps(short)}")
    if options.out is not None:
        write(options.out, text, {"settings": settings, "rows": figures})


def _earlier(out: Path | None, settings: dict[str, int]) -> Figures:
    """The rows in the result file, which other runs of the same settings have made."""
    if out is None or not out.with_suffix(".json").exists():
        return {}
    earlier: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    _same(settings, earlier["settings"], out)
    rows: Figures = earlier["rows"]
    return rows


def _beside(settings: dict[str, int]) -> Figures:
    """The rows of the committed methods table, where they are of the same settings."""
    body = json.loads(METHODS_OUT.with_suffix(".json").read_text())
    return body["rows"] if body["settings"] == settings else {}


def _settings(options: argparse.Namespace) -> dict[str, int]:
    """What the rows of one table have in common."""
    return {name: getattr(options, name) for name in ("epochs", "lr_step", "images", "inputs", "n")}


def _command(options: argparse.Namespace, settings: dict[str, int]) -> str:
    parts = ["benchmarks/methods.py", "--table", options.table, "--data", options.data.name, "--work", "FOLDER"]
    parts += ["--out", str(options.out)] if options.out else []
    for name, value in settings.items():
        parts += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([".venv/bin/python", *parts])


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

    def made(self, key: str, make: Callable[[], str]) -> str:
        """The identifier; where there is none, what ``make`` makes, written down."""
        if key not in self._known:
            self._known[key] = make()
            self._path.write_text(json.dumps({"settings": self._settings, "made": self._known}, indent=1))
        return self._known[key]


def _datasets(client: Client, ledger: Ledger, data: Path) -> dict[str, str]:
    def add(part: str) -> str:
        return client.add_dataset(f"MNIST, {part}", [data / file for file in FILES[part]]).id

    return {part: ledger.made(part, partial(add, part)) for part in FILES}


def _run(client: Client, ledger: Ledger, sets: dict[str, str], options: argparse.Namespace) -> None:
    """Takes as many of the chosen rows as there are workers forward at a time, until all are certified."""
    rows = TABLES[options.table]
    waiting = [name for name in rows if options.rows is None or name in options.rows]
    begun = time.monotonic()
    while waiting:
        for name in waiting[: options.workers]:
            if _step(client, ledger, name, sets, options):
                waiting.remove(name)
                print(f"{time.monotonic() - begun:7.0f} s  {name} is done, {len(waiting)} to go", flush=True)
        time.sleep(CHECK_SECONDS)


def _step(client: Client, ledger: Ledger, name: str, sets: dict[str, str], options: argparse.Namespace) -> bool:
    """Brings one row forward by its training and its certification; True at its end."""
    row = TABLES[options.table][name]
    training = client.job(ledger.made(f"{name}/train", lambda: _train(client, name, row, sets, options).id))
    if not _succeeded(training, name):
        return False
    certification = ledger.made(f"{name}/certify", lambda: _certify(client, training, sets, options).id)
    return _succeeded(client.job(certification), name)


def _succeeded(job: Job, name: str) -> bool:
    if job.state in ("failed", "cancelled", "expired"):
        raise SystemExit(f"{name}: {job.info.kind} {job.state}: {job.info.problem and job.info.problem.detail}")
    return job.state == "succeeded"


def _train(client: Client, name: str, row: Row, sets: dict[str, str], options: argparse.Namespace) -> Job:
    return client.train(
        name=f"LeNet, {name}",
        sigma=SIGMA,
        method=row.method,
        epochs=row.epochs or options.epochs,
        lr_step=row.lr_step or options.lr_step,
        seed=row.seed,
        inputs={"count": options.images},
        dataset=sets["training"],
        architecture="lenet",
        batch_size=BATCH,
        memory_format="channels_last",
        learning_rate=0.01,
    )


def _certify(client: Client, training: Job, sets: dict[str, str], options: argparse.Namespace) -> Job:
    return client.certify(
        checkpoint=training.checkpoint_id or "",
        dataset=sets["test"],
        n=options.n,
        inputs={"count": options.inputs},
    )


def _figures(client: Client, ledger: Ledger, name: str, row: Row) -> dict[str, Any] | None:
    training = client.job(ledger.get(f"{name}/train") or "")
    certification = client.job(ledger.get(f"{name}/certify") or "")
    if certification.state != "succeeded":
        return None
    rows = list(certification.certificates())
    report: Report = summarize(rows, radii=RADII)
    epochs = training.epochs()
    confident = [epoch.terms["confident"] for epoch in epochs if "confident" in epoch.terms]
    return {
        "acr": report.acr,
        "certified_accuracy": {f"{p.radius:g}": p.certified_accuracy for p in report.certified_accuracy},
        "abstained": report.abstention_rate,
        "published_acr": row.published,
        "memory_format": training.info.spec["memory_format"],
        "steps": sum(epoch.steps for epoch in epochs),
        "last_loss": epochs[-1].loss,
        "accuracy_under_noise": epochs[-1].accuracy,
        "attacked": statistics.mean(confident) if confident else None,
        "confident": confident,
        "radii": [round(found.radius, 5) if found.correct else 0.0 for found in rows],
    }


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
    parser.add_argument("--table", choices=list(TABLES), default="methods", help="which rows")
    parser.add_argument("--rows", nargs="*", default=None, help="rows to make now")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr-step", type=int, default=4)
    parser.add_argument("--images", type=int, default=10_000, help="training images")
    parser.add_argument("--inputs", type=int, default=500, help="test images to certify")
    parser.add_argument("--n", type=int, default=10_000, help="noise samples for estimation")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cost-rounds", type=int, default=5, help="interleaved rounds of the cost column")
    parser.add_argument("--quick", action="store_true", help="a smoke run of three cheap rows")
    options = parser.parse_args()
    if unknown := set(options.rows or ()) - set(TABLES[options.table]):
        parser.error(f"--rows: expected some of {list(TABLES[options.table])}, got {sorted(unknown)}")
    options.data = data_folder(options.data, optional=options.quick)
    if options.quick:
        options.epochs, options.lr_step, options.images, options.inputs, options.n = 1, 1, 1_000, 10, 1_000
        options.rows, options.cost_rounds = ["Gaussian", "Stability", "Consistency"], 1
    return options


if __name__ == "__main__":
    main()
