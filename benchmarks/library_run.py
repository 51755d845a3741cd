"""One certification as a call of the library, told by a JSON object on the command line; prints seconds and counts as JSON.
The other side of ``service_overhead.py``.
"""

import json
import sys
import time
from pathlib import Path

import torch

from radii.rs_core.certify import engine
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.records import Certificate

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    model, info = checkpoint.load(Path(asked["checkpoint"]))
    data = open_dataset(Path(asked["dataset"]))
    sampler = Sampler(
        model,
        asked["sigma"],
        info.num_classes,
        batch_size=asked["batch_size"],
        compiled=asked["compiled"],
        precision=asked["precision"],
    )
    inputs = [(index, data.image(index), int(data.labels[index])) for index in range(asked["inputs"])]
    list(engine.certify(sampler, inputs[:1], Procedure(sigma=asked["sigma"], n=1_000)))  # prepares the network
    started = time.perf_counter()
    records = engine.certify(sampler, inputs, Procedure(sigma=asked["sigma"], n=asked["n"]))
    counts = [record.counts for record in records if isinstance(record, Certificate)]
    print(json.dumps({"seconds": time.perf_counter() - started, "counts": counts}))
