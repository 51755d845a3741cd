"""What the service costs around the engine: the same certification as a call of the library, and as a job of a service with
its queue, child process, commits and leases, interleaved.

Both run in one process at a time on the same cores, with the allocator told the same. A job's time is its worker's device time, from the claim of each shard to
its last commit; what it takes to load the model is part of it, and nothing is left out but the wait for a worker. Beside
it stands the time from the submission to the end, which has the start of the child in its first round. Medians of the rounds;
the last line is one JSON object. What is around the engine is told by one job alone: its device time against the time that its
certificates took in the engine.

    .venv/bin/python benchmarks/service_overhead.py [--quick] [--out benchmarks/results/service_overhead.md]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import shown

from radii.service.client.client import Client
from radii.service.client.job import Job
from radii.service.demo import service_in
from radii.worker.child.handle import KEPT_MEMORY
from radii.worker.tasks.environment import cpu_name

LIBRARY = Path(__file__).with_name("library_run.py")


def main() -> None:
    """Trains a small network through a service, and certifies with it in both ways."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="radii-overhead-") as scratch,
        service_in(Path(scratch), workers=1) as url,
        Client(url) as client,
    ):
        dataset = client.add_dataset("digits", builtin="digits")
        training = client.train(
            dataset=dataset, architecture="digits_cnn", sigma=0.25, epochs=3, batch_size=64, learning_rate=0.05
        ).wait(check=True)
        spec = {"n": options.n, "inputs": {"count": options.inputs}, "batch_size": 100, "sigma": 0.25}
        rows = [_round(client, training, dataset, spec, Path(scratch) / "data") for _ in range(options.rounds)]
    library, device, whole = (statistics.median(row[name] for row in rows) for name in ("library", "device", "whole"))
    figures = {
        "machine": cpu_name(),
        "inputs": options.inputs,
        "n": options.n,
        "rounds": options.rounds,
        "library_seconds": round(library, 2),
        "device_seconds": round(device, 2),
        "whole_seconds": round(whole, 2),
        "engine_seconds": round(statistics.median(row["engine"] for row in rows), 2),
        "around_the_engine": round(statistics.median(row["device"] / row["engine"] - 1 for row in rows), 4),
        "overhead": round(statistics.median(row["device"] / row["library"] - 1 for row in rows), 4),
        "overhead_whole": round(statistics.median(row["whole"] / row["library"] - 1 for row in rows), 4),
        "counts_equal": all(row["equal"] for row in rows),
    }
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _round(client: Client, training: Job, dataset: Any, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The job, and then the same by the library with the job's way of running."""
    assert training.checkpoint_id is not None
    started = time.perf_counter()
    job = client.certify(checkpoint=training.checkpoint_id, dataset=dataset, **spec).wait(check=True)
    whole = time.perf_counter() - started
    execution = job.info.execution or {}
    blobs = folder / "blobs"
    sums = {
        "checkpoint": client.checkpoint(training.checkpoint_id).sha256,
        "dataset": client.dataset(dataset.id).sha256,
    }
    asked = {name: str(next(blobs.rglob(f"{sha}*"))) for name, sha in sums.items()} | {
        "threads": execution["threads"],
        "batch_size": execution["batch_size"],
        "compiled": execution["compiled"],
        "precision": execution["precision"],
        "sigma": spec["sigma"],
        "n": spec["n"],
        "inputs": spec["inputs"]["count"],
    }
    answer = subprocess.run(
        [sys.executable, str(LIBRARY), json.dumps(asked)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=KEPT_MEMORY | os.environ,
    )
    found = json.loads(answer.stdout)
    rows = list(job.certificates())
    counts = [list(row.counts) for row in rows]
    return {
        "library": found["seconds"],
        "device": job.progress.device_seconds,
        "engine": sum(row.seconds for row in rows),
        "whole": whole,
        "equal": counts == found["counts"],
    }


def _text(figures: dict[str, Any], command: str) -> str:
    equal = "equal" if figures["counts_equal"] else "NOT equal"
    rows = [
        ["the engine, as a call of the library", figures["library_seconds"], ""],
        ["a job's device time", figures["device_seconds"], f"{100 * figures['overhead']:.1f} %"],
        ["of which in the engine", figures["engine_seconds"], ""],
        ["from its submission to its end", figures["whole_seconds"], f"{100 * figures['overhead_whole']:.1f} %"],
    ]
    return f"""# What the service costs around the engine

```
{command}
```

{figures["machine"]}; {figures["inputs"]} inputs at n = {figures["n"]:,}, medians of {figures["rounds"]} rounds. Counts: {equal}.

{shown.table(["", "seconds", "over the library"], rows)}

Device time around the engine, over the engine's time in the same job: {100 * figures["around_the_engine"]:.1f} %; the target is under
5 %. The comparison with the library is of two processes, one after the other, and has the machine's swings in it.
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=60)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.inputs, options.n, options.rounds = 8, 20_000, 1
    return options


if __name__ == "__main__":
    main()
