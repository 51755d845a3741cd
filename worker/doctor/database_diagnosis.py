"""What ``radii doctor`` finds inside a database: soundness, clocks, workers, the queue, files and quotas. It changes nothing."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from radii.worker.doctor.findings import Finding
from radii.worker.settings import Settings
from radii.worker.store import counters, jobs, queue_stats, schema_version, start_failures, storage_usage
from radii.worker.store.blobs import blob_files
from radii.worker.store.clock import clock
from radii.worker.store.models.tables import Blob, Job, Shard, Tenant
from radii.worker.store.scheduling import free

NEARLY = 0.9
"""Share of a storage quota from which on it is reported."""
APART = 5.0
"""Seconds that the clocks of database and machine may differ without a word."""
LOOKED_AT = 20_000
"""Blobs whose files are looked for."""


def checks(session: Session, settings: Settings) -> Iterator[Finding]:
    """All findings about a database of this version's schema."""
    yield from _soundness(session)
    yield from _clocks(session)
    yield from _start_failures(session)
    yield from _queue(session, settings)
    yield from _files(session, settings)
    yield from _quotas(session, settings)


def _quotas(session: Session, settings: Settings) -> Iterator[Finding]:
    """Tenants whose storage quota is nearly used up."""
    full = []
    for tenant_id, name in session.execute(select(Tenant.id, Tenant.name).order_by(Tenant.name)):
        used = storage_usage.usage(session, tenant_id).size
        if used > NEARLY * settings.tenant_bytes:
            full.append(f"{name} ({used / settings.tenant_bytes:.0%})")
    if full:
        hint = "`radii usage --all` shows all; let them delete something, or raise RADII_TENANT_BYTES"
        found = f"nearly used up: {', '.join(full[:10])}"
        yield Finding(what="storage quotas", state="worth knowing", found=found, help=hint)


def _start_failures(session: Session) -> Iterator[Finding]:
    """Workers that could not start lately, by machine and reason."""
    for host, why in sorted({(each.host, each.why) for each in start_failures.recent(session)}):
        yield Finding(what="worker start", state="wrong", found=f"no worker can start on {host}: {why.rstrip('.')}")


def _soundness(session: Session) -> Iterator[Finding]:
    if session.get_bind().dialect.name != "sqlite":
        return
    said = session.scalar(text("PRAGMA quick_check(1)"))
    if said != "ok":
        hint = "restore a backup (`radii restore`)"
        yield Finding(what="database file", state="wrong", found=str(said)[:200], help=hint)


def _clocks(session: Session) -> Iterator[Finding]:
    import time

    apart = (session.scalar(select(clock())) or 0.0) - time.time()
    if abs(apart) > APART:
        hint = "leases use the database's clock and are not affected; times in logs and answers differ: set up NTP"
        yield Finding(what="clocks", state="worth knowing", found=f"the database's is {apart:+.0f} s off", help=hint)


def _queue(session: Session, settings: Settings) -> Iterator[Finding]:
    seen = [row for row, _ in queue_stats.workers(session, settings.seen)]
    workers = [row for row in seen if row.info.get("schema", schema_version.head()) == schema_version.head()]
    kinds = {str(row.info.get("device_type", "unknown")) for row in workers}
    ready = select(func.count()).select_from(Shard).join(Job, Job.id == Shard.job_id)
    ready = ready.where(Shard.state == "ready", Job.state.in_((jobs.QUEUED, jobs.RUNNING)), free(Job))
    waiting = session.scalar(ready) or 0
    yield _service(session, settings, waiting)
    if workers:
        yield Finding(what="workers", state="good", found=f"{len(workers)} seen lately, on {', '.join(sorted(kinds))}")
    else:
        yield Finding(
            what="workers",
            state="wrong" if waiting else "worth knowing",
            found=f"none was seen in the last {settings.seen:.0f} s; {waiting:,} parts of jobs wait",
            help="start `radii up`, or `radii worker` next to a service that has a broker",
        )
    if len(workers) < len(seen):
        hint = "they stop at their next round of housekeeping: start workers of this version"
        found = f"{len(seen) - len(workers)} work with another schema than {schema_version.head()}"
        yield Finding(what="versions", state="wrong", found=found, help=hint)
    foreign = session.scalar(ready.where(Job.device_type.is_not(None), Job.device_type.not_in(kinds))) or 0
    if workers and foreign:
        hint = "a job stays on the type of device that it has begun on: start such a worker, or cancel the job"
        yield Finding(
            what="device types", state="wrong", found=f"{foreign:,} parts wait for a device nobody has", help=hint
        )
    late = clock() - 3 * settings.housekeeping_seconds
    overdue = session.scalar(select(func.count()).where(Shard.state == "leased", Shard.lease_until < late)) or 0
    if overdue:
        hint = "a worker takes them back within RADII_HOUSEKEEPING_SECONDS: is one running?"
        yield Finding(what="leases", state="wrong", found=f"{overdue:,} ran out and were not taken back", help=hint)
    mishaps = ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in counters.values(session).items() if count
    )
    yield Finding(what="mishaps", state="worth knowing" if mishaps else "good", found=mishaps or "none")


def _service(session: Session, settings: Settings, waiting: int) -> Finding:
    """A service that is not there is wrong where somebody waits for a job."""
    ago = queue_stats.services(session)
    lately = [seconds for seconds in ago if seconds < settings.seen]
    if lately:
        return Finding(what="service", state="good", found=f"{len(lately)} seen lately, the last {lately[0]:.0f} s ago")
    before = f"; the last one {ago[0]:,.0f} s ago" if ago else ""
    return Finding(
        what="service",
        state="wrong" if waiting else "worth knowing",
        found=f"none was seen in the last {settings.seen:.0f} s{before}",
        help="start `radii up`",
    )


def _files(session: Session, settings: Settings) -> Iterator[Finding]:
    rows = session.execute(select(Blob.sha256, Blob.size).order_by(Blob.created.desc()).limit(LOOKED_AT)).all()
    lost = [sha256 for sha256, size in rows if _size(blob_files.path_of(settings.blobs, sha256)) != size]
    if lost:
        hint = "are RADII_DATA and the database of one service? else restore them from a backup"
        named = ", ".join(lost[:3])
        yield Finding(what="files", state="wrong", found=f"{len(lost):,} are not as they were: {named}", help=hint)
    else:
        yield Finding(what="files", state="good", found=f"{len(rows):,} are there, each of its size")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
