"""The main job, end to end, as a user does it: ``python -m radii.service.demo [--out FOLDER]``.

Starts a service in its embedded mode (SQLite, local workers, no broker) in a scratch folder on a free loopback port, and
through REST uploads handwritten digits, trains a small network under Gaussian noise, certifies held-out
images, and leaves the report in a folder. Everything that it started has ended when it ends.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from radii.rs_core.data.builtin import WHITE, digit_pixels
from radii.rs_core.reports.certification import summarize
from radii.rs_core.reports.certification_text import format_table
from radii.service.cli.transfer import files_of
from radii.service.client.client import Client
from radii.service.client.job import Job
from radii.service.console import INTERRUPTED, bar, orderly_end
from radii.worker.processes import launch

SIGMA, N0, N, ALPHA = 0.25, 100, 10_000, 0.001
TRAINING_IMAGES = 1_397
DESCRIPTION = "Train, certify and download a report, end to end, with a service of its own."
STARTED = "radii is listening on "


def main() -> None:
    """Runs the demonstration."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    parser.add_argument("--out", type=Path, default=Path("demo-report"), help="folder for the report")
    out: Path = parser.parse_args().out
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="radii-demo-") as scratch, service_in(Path(scratch)) as url:
        print(f"A service of its own runs at {url}, in {scratch}.", flush=True)
        with Client(url) as client:
            job = _certify(client, Path(scratch))
            _fetch(job, out)
            certificates = list(job.certificates())
    print(f"\n{format_table(summarize(certificates))}\n")
    print(f"The report is in {out.absolute()}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    print(f"Done in {time.monotonic() - begun:.0f} s; the service has ended and its folder is gone.")


def _certify(client: Client, scratch: Path) -> Job:
    """Upload, train, certify: each step waits for the one before."""
    train_file, test_file = _export_digits(scratch)
    training_set = client.add_dataset("digits, training part", [train_file])
    test_set = client.add_dataset("digits, held-out part", [test_file])
    print(f"Uploaded {training_set.count} training and {test_set.count} held-out images of shape {test_set.shape}.")
    training = client.train(
        name="digits under noise",
        dataset=training_set,
        test_dataset=test_set.id,
        architecture="digits_cnn",
        sigma=SIGMA,
        epochs=30,
        batch_size=64,
        learning_rate=0.05,
        lr_step=12,
    )
    watch(training, "Training under Gaussian noise")
    epoch = training.epochs()[-1]
    print(f"Trained {epoch.epoch + 1} epochs: accuracy under noise {100 * (epoch.test_accuracy or 0):.1f} % held out.")
    certification = client.certify(
        checkpoint=training.checkpoint_id or "", dataset=test_set, sigma=SIGMA, n0=N0, n=N, alpha=ALPHA
    )
    return watch(certification, "Certifying")


def watch(job: Job, title: str) -> Job:
    """Waits for the job's end with a progress bar."""
    with bar(title) as progress:
        job.wait(progress=lambda now: progress.show(now.progress.work_done, now.progress.work_total))
    return job


def _fetch(job: Job, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, place in files_of(job).items():
        job.download(place, out / name)


def _export_digits(folder: Path) -> tuple[Path, Path]:
    """The digits as two npz files, for training and held out; grey values 0 to 16, over 16."""
    pixels, labels = digit_pixels()
    images = (pixels / WHITE).astype(np.float32)
    files = folder / "digits-train.npz", folder / "digits-test.npz"
    for file, part in zip(files, (slice(TRAINING_IMAGES), slice(TRAINING_IMAGES, None)), strict=True):
        np.savez(file, images=images[part], labels=labels[part])
    return files


@contextmanager
def service_in(folder: Path, workers: int | None = None, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """A running ``radii up`` whose data and log lie in ``folder``; its URL. It has ended when the block has.

    ``settings`` are environment variables, ``RADII_...``; those of this process do not reach it.
    """
    log = folder / "log"
    workers = workers or min(2, os.cpu_count() or 1)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RADII_")} | dict(settings or {})
    process = subprocess.Popen(
        [
            *launch.command("radii.service.cli.main", "up", starts_python=True),
            *("--data", str(folder / "data"), "--port", "0", "--workers", str(workers)),
        ],
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        text=True,
        env=plain,
        start_new_session=True,  # a Ctrl-C ends this process, which then ends the service in order
    )
    try:
        assert process.stdout is not None
        with orderly_end(INTERRUPTED):
            line = process.stdout.readline()
            if not line.startswith(STARTED):
                raise SystemExit(f"The service did not start:\n{log.read_text()}")
            try:
                yield line.removeprefix(STARTED).strip()
            except Exception:
                print(f"What the service said:\n{log.read_text()}", file=sys.stderr)
                raise
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.kill()


if __name__ == "__main__":
    main()
