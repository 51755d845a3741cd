"""A data folder that radii 0.1.0 wrote is upgraded, and its jobs finish with the results of 0.1.0.

``tests/data/radii-0.1.0`` holds the folder, the results, and the script that made both.
"""

import gzip
import hashlib
import json
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, MetaData, create_engine, insert, select
from tests_support import processes
from tests_support.over_http import Service, serving

from radii.worker.settings import Settings
from radii.worker.store import jobs, schema_version
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import SampleProgress
from radii.worker.store.models.tables import Shard

pytestmark = pytest.mark.long

FIXTURE = Path(__file__).parents[1] / "data" / "radii-0.1.0"
RELEASED = "0007"
ROWS = {
    "certify": "certificates",
    "predict": "predictions",
    "soft_labels": "predictions",
    "evaluate": "evaluations",
    "train": "epochs",
}
TEXTS = {"notes", "warnings", "title", "detail", "recompute"}
"""Fields of answers that are sentences, which later versions may write differently."""
LEFT_OUT = {"radii", "batch_size"}
"""Fields of rows that the answers of 0.1.0 left out, though they were stored."""
MOVING = {"seconds", "device_seconds", "rate", "finished", "updated", "started", "provenance"}
"""Fields of jobs that differ from run to run."""
CHANGED = {
    # Class names have a column of their own since 0010.
    "convert": {"class_names"},
    # Another version of radii drew the noise of the certificates, so that counts need not be equal. `equal` says that they are.
    "verify": {"compared_by", "false_alarm"},
}
"""Fields of jobs that differ for a reason, by kind of job."""
UNEQUAL_FILES = {"train": {"sha256"}}
"""Fields of the dataset or checkpoint that a job makes: the file of a trained one names the version of radii."""
ROUNDING = 1e-12
"""Relative difference of two floating-point sums of the same numbers."""
SHARE = 0.02
"""Difference in the share of a class's votes, and in a loss, that another processor may cause."""


@dataclass(frozen=True)
class Upgraded:
    """The service after the migration, and what 0.1.0 says of each job by its name."""

    service: Service
    expected: dict[str, dict[str, Any]]

    def get(self, path: str) -> Any:
        """The JSON that the service answers."""
        answer = self.service.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    def page(self, path: str) -> str:
        """The page that the service answers."""
        answer = self.service.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert answer.headers["content-type"].startswith("text/html")
        return str(answer.text)


@pytest.fixture
def upgraded(empty_url: str, tmp_path: Path) -> Iterator[Upgraded]:
    """The folder of 0.1.0, on SQLite and on Postgres, after the migration."""
    with tarfile.open(FIXTURE / "data.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    database = Database(empty_url)
    if database.engine.dialect.name != "sqlite":
        schema_version.migrate(database.engine, RELEASED)
        copy_rows(tmp_path / "radii.db", database)
        (tmp_path / "radii.db").unlink()
    assert schema_version.migrate(database.engine) == RELEASED
    assert schema_version.current(database.engine) == schema_version.head()
    settings = Settings(
        data=tmp_path,
        database_url=empty_url,
        device="cpu",
        threads=1,
        compile="never",
        housekeeping_seconds=0.5,
        poll=0.05,
        commit=0.2,
        min_free=0,
    )
    with serving(database, settings) as service:
        yield Upgraded(service, json.loads(gzip.decompress((FIXTURE / "expected.json.gz").read_bytes())))
    database.close()


def copy_rows(source: Path, target: Database) -> None:
    """Copies every row of an SQLite file to another database that has the same tables."""
    released, copied = MetaData(), MetaData()
    engine = create_engine(f"sqlite:///{source}")
    released.reflect(engine)
    copied.reflect(target.engine)
    with engine.connect() as reading, target.engine.begin() as writing:
        for table in copied.sorted_tables:
            rows = [dict(row) for row in reading.execute(select(released.tables[table.name])).mappings()]
            for column in table.columns:
                if isinstance(column.type, JSON):
                    column.type.none_as_null = True
            if rows and table.name != "alembic_version":
                writing.execute(insert(table).values(rows))  # in one statement: jobs refer to jobs
    engine.dispose()


def without(answer: Any, names: set[str]) -> Any:
    """An answer without the fields of these names, at any depth."""
    if isinstance(answer, dict):
        return {key: without(value, names) for key, value in answer.items() if key not in names}
    return [without(value, names) for value in answer] if isinstance(answer, list) else answer


def equal(old: Any, new: Any) -> bool:
    """Whether two values are equal. The sum of the radii of a job depends on the order in which its inputs finished."""
    both_float = isinstance(old, float) and isinstance(new, float)
    return math.isclose(old, new, rel_tol=ROUNDING) if both_float else bool(old == new)


def lost(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """What an old answer has and a new one has not, or has with another value. The new one may have more fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key not in new:
                yield f"{where}.{key}: {value!r} is gone"
            else:
                yield from lost(value, new[key], f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        yield from chain.from_iterable(
            lost(*pair, f"{where}[{place}]") for place, pair in enumerate(zip(old, new, strict=True))
        )
    elif not equal(old, new):
        yield f"{where}: {old!r} became {new!r}"


def compared(name: str, old: Any, new: Any, ignored: set[str]) -> list[str]:
    """The differences of two answers about one job."""
    return [f"{name}{one}" for one in lost(without(old, ignored), without(new, ignored))]


def roughly(name: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    """The differences of results on two processors that are larger than rounding explains."""
    found = []
    for before, after in zip(old, new, strict=True):
        for key, value in before.items():
            far = after[key] != value
            if key in ("counts", "counts0"):
                shares = [[count / max(1, sum(row[key])) for count in row[key]] for row in (before, after)]
                far = max(abs(one - other) for one, other in zip(*shares, strict=True)) > SHARE
            elif key == "loss":
                far = abs(after[key] - value) > SHARE
            elif key not in ("index", "label", "epoch", "steps", "sigma", "alpha", "seed", "error"):
                continue
            if far:
                found.append(f"{name}, {key}: {value} became {after[key]}")
        if "found" in before:
            found += roughly(name, before["found"], after["found"])
    return found


def processors(job: dict[str, Any]) -> set[str]:
    """The processors and versions of torch that a job ran on."""
    workers = (job["provenance"] or {}).get("workers", [])
    return {f"{worker['device']}, torch {worker['versions']['torch']}" for worker in workers}


def weights(upgraded: Upgraded, checkpoint: str) -> str:
    """The SHA-256 of a checkpoint's tensors, without the header of the file, which names the version of radii."""
    content = upgraded.service.client.get(
        f"/v1/blobs/{upgraded.get(f'/v1/checkpoints/{checkpoint}')['sha256']}"
    ).content
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()


def results(upgraded: Upgraded, name: str) -> list[str]:
    """The differences between a job's results and those of 0.1.0."""
    old = upgraded.expected[name]
    job = upgraded.get(f"/v1/jobs/{old['job']['id']}")
    exact = processors(job) <= processors(old["job"])
    ignored = MOVING | TEXTS
    found = [f"{name}: {key}" for key in ("state", "kind") if job[key] != old["job"][key]]
    if exact:
        found += compared(name, old["job"], job, ignored | CHANGED.get(job["kind"], set()))
    elif job["kind"] == "verify" and not job["output"]["sound"]:
        found.append(f"{name}: {job['output']}")
    if rows := ROWS.get(job["kind"]):
        new = upgraded.get(f"/v1/jobs/{job['id']}/{rows}")["items"]
        found += [f"{name}[{row['index']}].radii" for row in new if row.get("radii", []) != asked_radii(job)]
        found += compared(name, old[rows], new, ignored | LEFT_OUT) if exact else roughly(name, old[rows], new)
    if "report" in old and exact:
        report = upgraded.get(f"/v1/jobs/{job['id']}/report")
        found += compared(f"{name}, report", old["report"], report, ignored)
    for noun in ("dataset", "checkpoint"):
        if noun in old:
            made = upgraded.get(f"/v1/{noun}s/{old[noun]['id']}")
            found += compared(f"{name}, {noun}", old[noun], made, ignored | UNEQUAL_FILES.get(job["kind"], set()))
    if "weights" in old and exact and weights(upgraded, job["checkpoint"]) != old["weights"]:
        found.append(f"{name}: other weights")
    return found


def asked_radii(job: dict[str, Any]) -> list[float]:
    """The radii of the certificates of a job, or of the job that it audits."""
    return (job["spec"].get("certify") or job["spec"]).get("radii") or []


def shown(upgraded: Upgraded) -> None:
    """Every list, page and report of the jobs can be read."""
    listed = [upgraded.get("/v1/jobs?limit=100"), upgraded.get("/v1/jobs?limit=100&kind=convert")]
    ids = {one["job"]["id"] for one in upgraded.expected.values()}
    assert ids == {job["id"] for page in listed for job in page["items"]}
    upgraded.page("/")
    for old in upgraded.expected.values():
        job_id = old["job"]["id"]
        assert job_id in upgraded.page(f"/jobs/{job_id}")
        if "report" in old:
            assert upgraded.get(f"/v1/jobs/{job_id}/report")["job"]["id"] == job_id


def test_jobs_of_0_1_0_finish_with_the_results_of_0_1_0(upgraded: Upgraded) -> None:
    expected, database = upgraded.expected, upgraded.service.database
    for old in expected.values():
        assert upgraded.get(f"/v1/jobs/{old['job']['id']}")["state"] == old["before"]
    with database.read() as session:
        assert session.query(Shard).filter(Shard.state == "leased").count() == 11, "one of each running job"
        assert session.get_one(Shard, (expected["running train"]["job"]["id"], 0)).resume is not None
        assert session.query(SampleProgress).filter(SampleProgress.drawn > 0).count() >= 5
    shown(upgraded)
    ended = [name for name, old in expected.items() if old["before"] in jobs.TERMINAL]
    assert [difference for name in ended for difference in results(upgraded, name)] == []

    ids = [old["job"]["id"] for old in expected.values()]
    with processes.fleet(upgraded.service.settings, "radii.worker.embedded", 2):
        processes.until(lambda: all(processes.ended(database, job_id) for job_id in ids), 240, "the jobs end")
    shown(upgraded)
    assert [difference for name in expected for difference in results(upgraded, name)] == []
