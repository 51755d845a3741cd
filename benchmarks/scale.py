"""One job done by 1, 2 and 4 workers: how long it takes, and that its counts are the same.

Each worker has one thread, so that what a machine of two cores can show is the step from one worker to two; four on two cores
show what crowding costs. Every round runs the job once with each number of workers, on a service of its own; times are from
the job's first claim to its end, after another job has started every worker's child. Medians of the rounds; the last line is one
JSON object.

    .venv/bin/python benchmarks/scale.py [--quick] [--out benchmarks/results/scale.md]
"""

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import shown

from radii.service.client.client import Client
from radii.service.client.job import Job
from radii.service.demo import service_in
from radii.worker.tasks.environment import cpu_name

WORKERS = (1, 2, 4)
ONE_THREAD = {"RADII_THREADS": "1", "RADII_COMPILE": "never", "RADII_KEEP_WARM": "3600", "RADII_SHARD_SECONDS": "10"}


def main() -> None:
    """Runs the job in all ways and prints."""
    options = _options()
    with ExitStack() as stack:
        services = {workers: _service(stack, workers) for workers in WORKERS}
        rounds = [{workers: _run(*services[workers], options) for workers in WORKERS} for _ in range(options.rounds)]
    seconds = {workers: statistics.median(row[workers]["seconds"] for row in rounds) for workers in WORKERS}
    samples = options.inputs * (options.n + 100)
    first = rounds[0][1]["counts"]
    figures: dict[str, Any] = {
        "machine": cpu_name(),
        "cores": os.cpu_count(),
        "inputs": options.inputs,
        "n": options.n,
        "rounds": options.rounds,
        "rate": {str(workers): round(samples / taken) for workers, taken in seconds.items()},
        "speed_up": {
            str(workers): round(statistics.median(row[1]["seconds"] / row[workers]["seconds"] for row in rounds), 2)
            for workers in WORKERS
        },
        "counts_equal": all(found["counts"] == first for row in rounds for found in row.values()),
    }
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _service(stack: ExitStack, workers: int) -> tuple[Client, str, str]:
    """A service with so many workers, a data set and a model on it, and all children started."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="radii-scale-")))
    client = stack.enter_context(Client(stack.enter_context(service_in(folder, workers, ONE_THREAD))))
    dataset = client.add_dataset("digits", builtin="digits")
    training = client.train(
        dataset=dataset, architecture="digits_cnn", sigma=0.25, epochs=3, batch_size=64, learning_rate=0.05, seed=1
    ).wait(check=True)
    assert training.checkpoint_id is not None
    found = client, training.checkpoint_id, dataset.id
    _certify(*found, {"n": 20_000, "inputs": {"count": 64}})
    return found


def _run(client: Client, checkpoint: str, dataset: str, options: argparse.Namespace) -> dict[str, Any]:
    job = _certify(client, checkpoint, dataset, {"n": options.n, "inputs": {"count": options.inputs}, "seed": 3})
    assert job.info.started is not None and job.info.finished is not None
    return {
        "seconds": (job.info.finished - job.info.started).total_seconds(),
        "counts": [(row.index, row.counts0, row.counts) for row in job.certificates()],
    }


def _certify(client: Client, checkpoint: str, dataset: str, fields: dict[str, Any]) -> Job:
    return client.certify(checkpoint=checkpoint, dataset=dataset, batch_size=100, **fields).wait(check=True)


def _text(figures: dict[str, Any], command: str) -> str:
    rows = [[workers, f"{rate:,}", figures["speed_up"][workers]] for workers, rate in figures["rate"].items()]
    equal = "equal" if figures["counts_equal"] else "NOT equal"
    return f"""# One job, several workers

```
{command}
```

{figures["machine"]}, {figures["cores"]} cores, one thread a worker; {figures["inputs"]} inputs at n = {figures["n"]:,}, medians of
{figures["rounds"]} rounds. Counts of all runs: {equal}.

{shown.table(["workers", "noise samples a second", "over one worker"], rows)}
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.inputs, options.n, options.rounds = 16, 10_000, 1
    return options


if __name__ == "__main__":
    main()
