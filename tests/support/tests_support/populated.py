"""A service with something of everything: datasets, checkpoints, uploads and jobs of every kind, made by a real worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from radii.service.client.client import Client
from radii.worker.settings import Settings
from radii.worker.store.database import Database
from tests_support.live import running
from tests_support.over_http import Service, serving

FEW = {"count": 3}


@contextmanager
def populated(folder: Path) -> Iterator[tuple[Service, dict[str, str]]]:
    """The service, in this process and without a worker, and identifiers by kind: ``train``, ``dataset``, ``upload``, ..."""
    settings = Settings(data=folder / "data", min_free=0, max_upload=2**20)
    with running(settings.data) as (url, _), Client(url) as client:
        found = populate(client, folder)
    database = Database(settings.url)
    try:
        with serving(database, settings) as service:
            yield service, found
    finally:
        database.close()


def populate(client: Client, folder: Path) -> dict[str, str]:
    """Makes one of each; returns identifiers."""
    found = _files(client, folder)
    digits = client.add_dataset("digits", builtin="digits")
    training = {"architecture": "digits_cnn", "sigma": 0.25, "epochs": 1, "batch_size": 64, "inputs": {"count": 256}}
    trained = client.train(dataset=digits, **training).wait(check=True)
    assert trained.checkpoint_id is not None
    both = {"checkpoint": trained.checkpoint_id, "dataset": digits}
    jobs = {
        "train": trained,
        "certify": client.certify(**both, n=100, n0=10, inputs=FEW),
        "predict": client.predict(**both, n=100, inputs=FEW),
        "soft_labels": client.soft_labels(**both, n=10, inputs=FEW),
        "evaluate": client.evaluate({"name": "over_confidence", "lengths": [0.0, 0.5], "m": 2}, **both, inputs=FEW),
    }
    jobs["certify"].wait(check=True)
    jobs["verify"] = client.verify(jobs["certify"])
    for job in jobs.values():
        job.wait(check=True)
    image = np.zeros((1, 1, 8, 8), np.uint8)
    predictions = client.predict_images(image, checkpoint=trained.checkpoint_id, n=100)
    spare = client.certify(**both, n=100, inputs=FEW).cancel()
    found["spare_job"] = spare.wait().id
    found["spare_dataset"] = client.add_dataset("spare", builtin="digits").id
    found["spare_checkpoint"] = client.compose("spare", "ensemble", [trained.checkpoint_id, trained.checkpoint_id]).id
    made = {"dataset": digits.id, "checkpoint": trained.checkpoint_id, "predictions": predictions.job}
    return found | made | {kind: job.id for kind, job in jobs.items()}


def _files(client: Client, folder: Path) -> dict[str, str]:
    """An upload that nothing needs, one that a dataset was made of, and one whose parts have not all come."""
    np.savez(folder / "images.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 0, 1]))
    mine = client.add_dataset("mine", [folder / "images.npz"])
    kept = client.upload(b"bytes", "kept")
    client.upload(b"spare", "spare")
    begun, spare = (
        client.http.send("POST", "/v1/uploads", json={"name": name, "size": 5}).json()["id"]
        for name in ("parts", "spare parts")
    )
    return {
        "upload": "kept",
        "sha256": kept.sha256,
        "parts": begun,
        "spare_parts": spare,
        "uploaded_dataset": mine.id,
        "convert": str(mine.job),
    }
