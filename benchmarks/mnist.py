"""MNIST through the service: LeNet under Gaussian noise (sigma 0.25), a short training, then a certification.

Uploads the four idx files of a folder to a service of its own, runs one training and one certification job, and prints
the table and, last, one JSON line. ``--quick`` is a smoke run. Published at full budget (90 epochs, all 10,000 test images,
n = 100,000): ACR 0.911.

    .venv/bin/python benchmarks/mnist.py --data FOLDER [--out benchmarks/results/mnist.md]
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

from radii.rs_core.reports.certification import Report, summarize
from radii.rs_core.reports.certification_text import format_table
from radii.service.client.client import Client
from radii.service.client.job import Job
from radii.service.demo import service_in, watch

FILES = {
    "training": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def main() -> None:
    """Runs the two jobs and prints what came of them."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="radii-mnist-") as scratch,
        service_in(Path(scratch), workers=options.workers) as url,
        Client(url) as client,
    ):
        training, certification = _run(client, options)
        report = summarize(list(certification.certificates()))
        accuracy = training.epochs()[-1].test_accuracy or 0.0
        provenance = certification.report().provenance
    figures = {
        "acr": report.acr,
        "certified_accuracy": {f"{point.radius:g}": point.certified_accuracy for point in report.certified_accuracy},
        "inputs": report.inputs,
        "n": report.n,
        "epochs": options.epochs,
        "test_accuracy_under_noise": accuracy,
        "training_seconds": round(_seconds(training), 1),
        "certification_seconds": round(_seconds(certification), 1),
    }
    _show(report, figures, json.dumps(provenance), options.data, options.out)


def _run(client: Client, options: argparse.Namespace) -> tuple[Job, Job]:
    sets = {part: client.add_dataset(f"MNIST, {part}", [options.data / file for file in FILES[part]]) for part in FILES}
    training = client.train(
        name="LeNet on MNIST",
        dataset=sets["training"],
        test_dataset=sets["test"].id,
        architecture="lenet",
        sigma=0.25,
        epochs=options.epochs,
        learning_rate=0.01,
        lr_step=max(1, options.epochs // 3),
        inputs={"count": options.images},
    )
    watch(training, "Training").wait(check=True)
    certification = client.certify(
        checkpoint=training.checkpoint_id or "",
        dataset=sets["test"],
        n=options.n,
        inputs={"step": max(1, 10_000 // options.inputs)},
    )
    return training, watch(certification, "Certifying").wait(check=True)


def _seconds(job: Job) -> float:
    assert job.info.started is not None and job.info.finished is not None
    return (job.info.finished - job.info.started).total_seconds()


def _show(report: Report, figures: dict[str, object], provenance: str, data: Path, out: Path | None) -> None:
    given = [part for part in sys.argv if part not in ("--out", str(out), "--data", str(data))]
    command = shlex.join([".venv/bin/python", *given, "--data", data.name])
    line = json.dumps(figures)
    print(f"\n{format_table(report)}\n\n{line}")
    if out is not None:
        out.write_text(
            "# MNIST through the service\n\n"
            f"LeNet, sigma 0.25, {figures['epochs']} epochs of Gaussian augmentation, "
            f"{figures['inputs']} evenly spaced test images.\n\n"
            f"```\n{command}\n```\n\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores.\n\n"
            f"```\n{format_table(report)}\n```\n\nProvenance: `{provenance}`\n\n```json\n{line}\n```\n"
        )


def data_folder(given: Path | None, *, optional: bool) -> Path:
    """The folder of the idx files; without one the program ends, well where they are optional."""
    if given is None and "RADII_TEST_DATA" in os.environ:
        return Path(os.environ["RADII_TEST_DATA"]) / "mnist"
    if given is None:
        print("No MNIST here: give --data, or set RADII_TEST_DATA.")
        sys.exit(0 if optional else 2)
    return given


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="folder of the idx files (or RADII_TEST_DATA/mnist)")
    parser.add_argument("--out", type=Path, default=None, help="file for the result")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--images", type=int, default=60_000, help="training images")
    parser.add_argument("--inputs", type=int, default=500, help="test images to certify")
    parser.add_argument("--n", type=int, default=10_000, help="noise samples for estimation")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a smoke run: little training, few inputs")
    options = parser.parse_args()
    options.data = data_folder(options.data, optional=options.quick)
    if options.quick:
        options.epochs, options.images, options.inputs, options.n = 1, 2_000, 20, 1_000
    return options


if __name__ == "__main__":
    main()
