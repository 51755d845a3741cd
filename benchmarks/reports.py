"""How fast a job with very many certificates is shown: report, page, plots, lists and files.

Stores made-up certificates as workers do, in commits of a few thousand with the job's summary and digest, and then asks a
service for them. Afterwards the report's sums are compared with those of all rows, read once. Medians of the rounds; the
last line is one JSON object.

    .venv/bin/python benchmarks/reports.py [--rows 10000000] [--database-url URL] [--out benchmarks/results/reports.md]
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shown
from fastapi.testclient import TestClient

from radii.rs_core.certify.certificates import decide
from radii.rs_core.records import Certificate
from radii.rs_core.specs.jobs import parse_spec
from radii.service.api.app import create_app
from radii.service.kinds import registry
from radii.worker.settings import Settings
from radii.worker.store import certificate_rows, jobs, resources, schema_version, tenants
from radii.worker.store.blobs.blob_files import writing
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.tasks.environment import cpu_name

CLASSES, SIGMA, N = 10, 0.5, 100_000
COMMIT = 5_000
DATA = {
    "count": 0,
    "shape": [3, 32, 32],
    "num_classes": CLASSES,
    "class_names": [str(label) for label in range(CLASSES)],
}
MODEL = {"architecture": "cifar_resnet20", "input_shape": [3, 32, 32], "num_classes": CLASSES, "sigma": SIGMA}


def main() -> None:
    """Fills, measures and prints."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="radii-reports-") as scratch:
        settings = Settings(data=Path(scratch), database_url=options.database_url)
        database = Database(settings.url)
        schema_version.migrate(database.engine)
        try:
            job_id = _submitted(database, settings, options.rows)
            seconds = _filled(database, job_id, options.rows)
            figures = {"rows": options.rows, "stored_per_second": round(options.rows / seconds)}
            figures |= _asked(settings, database, job_id, options.rounds) | _checked(settings, database, job_id)
        finally:
            if options.database_url is not None:
                _delete(database)
            database.close()
    facts = {"machine": cpu_name(), "database": database.engine.dialect.name}
    figures = facts | figures
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _submitted(database: Database, settings: Settings, rows: int) -> str:
    with database.write() as session:
        tenant_id = tenants.tenant(session, "default").id
        made = {}
        for kind, columns in ((Dataset, DATA | {"count": rows}), (Checkpoint, MODEL)):
            with writing(settings.blobs) as writer:
                writer.write(kind.__name__.encode())
                sealed = writer.seal()
            row, conversion = resources.create(session, kind, tenant_id, kind.__name__, {"files": []})
            resources.put_blob(session, settings.blobs, sealed)
            resources.make_ready(session, row, columns | {"sha256": sealed.sha256})
            jobs.cancel(session, conversion.id)
            made[kind] = row
        spec = parse_spec({"kind": "certify", "checkpoint": made[Checkpoint].id, "dataset": made[Dataset].id, "n": N})
        new, _ = registry.plan(spec, tenant_id=tenant_id, dataset=made[Dataset], checkpoint=made[Checkpoint])
        return jobs.submit(session, new).id


def _filled(database: Database, job_id: str, rows: int) -> float:
    """Stores the certificates; the seconds that it took."""
    started = told = time.perf_counter()
    generator = np.random.default_rng(0)
    known: dict[int, Any] = {}
    for first in range(0, rows, COMMIT):
        part = list(_made(first, min(first + COMMIT, rows), generator, known))
        with database.write() as session:
            certificate_rows.store(session, job_id, part)
        if time.perf_counter() - told > 30:
            told = time.perf_counter()
            print(f"{first + COMMIT:,} of {rows:,} rows after {told - started:.0f} s", file=sys.stderr)
    return time.perf_counter() - started


def _made(first: int, stop: int, generator: np.random.Generator, known: dict[int, Any]) -> Iterator[Certificate]:
    """Certificates with votes as of a trained model: a third certain, the others anywhere, some wrong."""
    shares = generator.beta(2, 1, stop - first)
    certain = generator.random(stop - first) < 0.3
    votes = np.where(certain, N, np.rint(shares * N)).astype(int)
    wrong = generator.random(stop - first) < 0.15
    for index, top, is_wrong in zip(range(first, stop), votes.tolist(), wrong.tolist(), strict=True):
        label = index % CLASSES
        voted = (label + 1) % CLASSES if is_wrong else label
        counts0, counts = [0] * CLASSES, [0] * CLASSES
        counts0[voted], counts[voted], counts[(voted + 1) % CLASSES] = 100, top, N - top
        if top not in known:
            found = decide([1, 0], [top, N - top], sigma=SIGMA, alpha=0.001)
            known[top] = (found.prediction, found.radius, found.p_lower)
        prediction, radius, p_lower = known[top]
        yield Certificate(
            index=index,
            label=label,
            prediction=voted if prediction == 0 else -1,
            radius=radius,
            p_lower=p_lower,
            counts0=tuple(counts0),
            counts=tuple(counts),
            n0=100,
            n=N,
            sigma=SIGMA,
            alpha=0.001,
            seed=0,
            seconds=1.0,
        )


def _asked(settings: Settings, database: Database, job_id: str, rounds: int) -> dict[str, Any]:
    base = f"/v1/jobs/{job_id}"
    wanted = {
        "job": base,
        "report_json": f"{base}/report",
        "report_html": f"{base}/report.html",
        "page": f"/jobs/{job_id}",
        "curve_png": f"{base}/plots/certified-accuracy.png",
        "histogram_svg": f"{base}/plots/radius-histogram.svg",
        "first_1000_certificates": f"{base}/certificates?limit=1000",
    }
    with TestClient(create_app(settings, database), base_url="http://127.0.0.1") as client:

        def ask(path: str) -> None:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text[:500]

        ask(wanted["curve_png"])  # imports matplotlib
        return {f"{name}_seconds": _median(lambda path=path: ask(path), rounds) for name, path in wanted.items()}  # type: ignore[misc]


def _median(work: Callable[[], None], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken), 3)


def _checked(settings: Settings, database: Database, job_id: str) -> dict[str, Any]:
    """The report's numbers against those of all rows, read one after the other."""
    with TestClient(create_app(settings, database), base_url="http://127.0.0.1") as client:
        report = client.get(f"/v1/jobs/{job_id}/report").json()["results"]
    radii = [point["radius"] for point in report["certified_accuracy"]]
    counts, parts, after = np.zeros(len(radii), dtype=np.int64), [], -1
    while True:
        with database.read() as session:
            rows = list(certificate_rows.read(session, job_id, after=after, limit=50_000))
        if not rows:
            break
        certified = np.array([row.radius for row in rows if row.correct])
        counts += np.array([(certified >= radius).sum() for radius in radii])
        parts.append(math.fsum(certified))
        after = rows[-1].index
    same = counts.tolist() == [point["count"] for point in report["certified_accuracy"]]
    acr = math.fsum(parts) / report["inputs"]
    return {"counts_equal": same, "acr_differs_by": abs(acr - report["acr"])}


def _delete(database: Database) -> None:
    """What this made, where the database stays."""
    with database.write() as session:
        for job in session.query(Job).join(JobSummary):
            if job.state not in jobs.TERMINAL:
                jobs.cancel(session, job.id)
            jobs.delete(session, job.id)


def _text(figures: dict[str, Any], command: str) -> str:
    rows = [[name.replace("_", " "), f"{value:,}"] for name, value in figures.items() if _counted(value)]
    return (
        f"# Very many certificates\n\n```\n{command}\n```\n\n{figures['machine']}, {figures['database']}.\n\n{shown.table(['', ''], rows)}\n\n"
        f"The counts of the report are those of the rows: {'yes' if figures['counts_equal'] else 'NO'}.\n"
    )


def _counted(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database-url", help="an empty database (default: SQLite in a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="50,000 rows")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.rows = 50_000
    return options


if __name__ == "__main__":
    main()
