"""Ready-made things to test with: a tenant, a stored data set and a stored checkpoint of a small, briefly trained model."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.data import dataset_file
from radii.rs_core.data.builtin import digits
from radii.rs_core.data.dataset import Dataset as Data
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.jobs import TrainSpec, parse_spec
from radii.rs_core.training.loop import TrainingResult, train
from radii.service.kinds.registry import plan
from radii.service.schemas import requests
from radii.worker.store import jobs, resources, schema_version, tenants
from radii.worker.store.blobs import blob_files
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset
from radii.worker.store.specifications import JobSpec, load_spec

INFO = CheckpointInfo(
    architecture="digits_cnn", num_classes=10, input_shape=(1, 8, 8), sigma=0.25, method="gaussian", epoch=2
)


@lru_cache(maxsize=1)
def model() -> BaseClassifier:
    """A digits classifier after two epochs: right often, unsure often."""
    spec = TrainSpec(
        dataset="digits", architecture="digits_cnn", sigma=0.25, epochs=2, batch_size=64, learning_rate=0.05, seed=1
    )
    return next(record.model for record in train(spec, digits()) if isinstance(record, TrainingResult))


def tenant(database: Database, name: str = "default") -> str:
    """The tenant's identifier."""
    with database.write() as session:
        return tenants.tenant(session, name).id


def dataset(database: Database, root: Path, tenant_id: str) -> str:
    """The digits as a ready data set; its identifier."""
    path = blob_files.new_path(root)
    dataset_file.save(digits(), path)
    columns = {"content_hash": dataset_file.content_hash(digits()), "count": 1797, "shape": [1, 8, 8]}
    columns |= {"num_classes": 10, "class_names": [str(digit) for digit in range(10)]}
    return _ready(database, Dataset, root, tenant_id, path, columns)


def checkpoint_of(database: Database, root: Path, tenant_id: str) -> str:
    """The model as a ready checkpoint; its identifier."""
    path = blob_files.new_path(root)
    checkpoint.save(model(), INFO, path)
    columns = {"architecture": "digits_cnn", "num_classes": 10, "input_shape": [1, 8, 8], "sigma": 0.25}
    return _ready(database, Checkpoint, root, tenant_id, path, columns)


def stored(database: Database, root: Path, data: Data, model: BaseClassifier, info: CheckpointInfo) -> tuple[str, str]:
    """A ready data set and a ready checkpoint of one's own; their identifiers."""
    tenant_id, path, weights = tenant(database), blob_files.new_path(root), blob_files.new_path(root)
    dataset_file.save(data, path)
    columns = {"content_hash": dataset_file.content_hash(data), "count": len(data), "shape": list(data.shape)}
    columns |= {"num_classes": data.num_classes, "class_names": list(data.class_names)}
    checkpoint.save(model, info, weights)
    known = {"architecture": info.architecture, "num_classes": info.num_classes, "sigma": info.sigma}
    known |= {"input_shape": list(info.input_shape)}
    dataset_id = _ready(database, Dataset, root, tenant_id, path, columns)
    return dataset_id, _ready(database, Checkpoint, root, tenant_id, weights, known)


def submit(database: Database, tenant_id: str, body: dict[str, object]) -> str:
    """A job by its specification; its identifier."""
    spec = parse_spec(dict(body))
    with database.write() as session:
        data = session.get_one(Dataset, spec.dataset)
        model_row = None if isinstance(spec, TrainSpec) else session.get_one(Checkpoint, spec.checkpoint)
        new, _ = plan(spec, tenant_id=tenant_id, dataset=data, checkpoint=model_row)
        job = jobs.submit(session, new)
        if isinstance(spec, TrainSpec):
            resources.create_trained(session, tenant_id, "trained", job.id)
        return job.id


def request(spec: TrainSpec) -> requests.TrainJob:
    """The request that asks for nothing beside a training."""
    return requests.TrainJob(**{name: getattr(spec, name) for name in TrainSpec.__dataclass_fields__})


def _ready(
    database: Database, kind: type[Dataset] | type[Checkpoint], root: Path, tenant_id: str, path: Path, columns: dict
) -> str:
    with database.write() as session:
        row, job = resources.create(session, kind, tenant_id, "digits", {"files": []})
        sealed = blob_files.seal_file(path)
        resources.put_blob(session, root, sealed)
        resources.make_ready(session, row, columns | {"sha256": sealed.sha256})
        jobs.cancel(session, job.id)
        return row.id


def tenant_in(session: Session, name: str = "default") -> str:
    """The tenant's identifier, inside a transaction."""
    return tenants.tenant(session, name).id


def migrated(url: str) -> Database:
    """A database with the schema."""
    database = Database(url)
    schema_version.migrate(database.engine)
    return database


def spec(kind: str, **fields: Any) -> JobSpec:
    """A specification with the defaults of its kind."""
    needed: dict[str, Any] = {
        "convert": {"source": {"files": []}},
        "verify": {"job": "job_0"},
        "train": {"dataset": "ds_0", "architecture": "digits_cnn", "sigma": 0.25},
        "evaluate": {"dataset": "ds_0", "checkpoint": "ckpt_0", "evaluation": {"name": "attack"}},
    }
    named = needed.get(kind, {"dataset": "ds_0", "checkpoint": "ckpt_0", "sigma": 0.25})
    return load_spec({"kind": kind, **named, **fields})


def summary_of(database: Database, job_id: str) -> JobSummary:
    """The running sums of a job."""
    with database.read() as session:
        return session.get_one(JobSummary, job_id)
