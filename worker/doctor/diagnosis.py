"""What is wrong on a machine, in words, and what helps: ``radii doctor``. Looks, and changes nothing.

Each check is a function of the settings that gives findings; one that cannot be made says so itself.
"""

import difflib
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from radii.extras import how_to_install
from radii.worker.doctor import database_diagnosis
from radii.worker.doctor.findings import Finding
from radii.worker.isolation import availability
from radii.worker.processes import memory_limit
from radii.worker.queue import broker
from radii.worker.settings import RENAMED, SECRETS, Settings
from radii.worker.store import queue_stats, schema_version
from radii.worker.store.backup import restore_marker
from radii.worker.store.database import Database, reason, way_out
from radii.worker.store.folder import folder_identity, misplaced_database, permissions
from radii.worker.store.folder.folder_identity import DataFolderMissing, WrongFolder

OTHERS = ("RADII_SERVER", "RADII_API_KEY", "RADII_TEST_")
"""Variables of the client and of the tests."""
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p")


def look(settings: Settings) -> list[Finding]:
    """Everything that can be told about this machine and its service."""
    found: list[Finding] = []
    for check in (_python, _variables, _torch, _compiler, _folder, _permissions, _broker, _isolation, _memory):
        found += _tried(check.__name__.strip("_"), lambda check=check: check(settings))  # type: ignore[misc]
    return found + _tried("database", lambda: _database(settings))


def worker_here(settings: Settings) -> Finding:
    """Whether a worker of this machine, or container, was seen lately: for health checks."""
    host = socket.gethostname()
    try:
        database = Database(settings.url)
        try:
            with database.read() as session:
                seen = [row for row, _ in queue_stats.workers(session, settings.seen) if row.host == host]
        finally:
            database.close()
    except SQLAlchemyError as error:
        return Finding(what="worker", state="wrong", found=reason(error), help=way_out(error))
    lately = f"seen on {host} in the last {settings.seen:.0f} s"
    if any(row.info.get("role") is None for row in seen):
        return Finding(what="worker", state="good", found=lately)
    return Finding(what="worker", state="wrong", found=f"none {lately}", help="its log says why it does not start")


def _tried(what: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        return [Finding(what=what, state="wrong", found=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")]


def _python(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding(
        what="python",
        state="good" if good else "wrong",
        found=version,
        help="" if good else "radii needs 3.11 or newer",
    )


def _variables(settings: Settings) -> Iterator[Finding]:
    known = [f"RADII_{name.upper()}" for name in Settings.model_fields]
    known += [f"RADII_{name.upper()}_FILE" for name in SECRETS]
    former = {f"RADII_{old.upper()}": f"RADII_{new.upper()}" for new, old in RENAMED.items()}
    for old in sorted(former.keys() & os.environ.keys()):
        hint = f"its name is {former[old]} now, and the next release does not read the old one"
        yield Finding(what="settings", state="worth knowing", found=f"{old} is set", help=hint)
    known += former
    odd = [
        name for name in os.environ if name.startswith("RADII_") and name not in known and not name.startswith(OTHERS)
    ]
    for name in odd:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"perhaps {near[0]} is meant" if near else "no setting has this name"
        yield Finding(what="settings", state="wrong", found=f"{name} is set and means nothing", help=hint)
    if not odd:
        given = [name for name in known if name in os.environ]
        yield Finding(what="settings", state="good", found=f"{len(given)} variables set: {', '.join(given) or 'none'}")


def _torch(settings: Settings) -> Iterator[Finding]:
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        fix = f"`{how_to_install('server,torch')}` installs it; without it no worker can start"
        yield Finding(what="torch", state="wrong", found=str(error).splitlines()[0][:200], help=fix)
        return
    yield Finding(what="torch", state="good", found=f"{torch.__version__}, torchvision {torchvision.__version__}")
    from radii.rs_core.errors import RadiiError
    from radii.worker.tasks.environment import cpu_name, resolve_device

    try:
        device = resolve_device(settings.device)
    except RadiiError as error:
        yield Finding(
            what="device", state="wrong", found=str(error), help="set RADII_DEVICE to one that is there, or auto"
        )
        return
    if device.type == "cuda":
        free_bytes, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        yield Finding(
            what="device", state="good", found=f"{name}, {free_bytes / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        )
        return
    yield Finding(what="device", state="good", found=cpu_name())
    if settings.device == "auto" and shutil.which("nvidia-smi"):
        yield Finding(
            what="GPU",
            state="worth knowing",
            found="nvidia-smi is there, and torch sees no GPU",
            help=f"torch {torch.__version__} is built for CUDA {torch.version.cuda or 'none'}: is the driver as new?",
        )


def _compiler(settings: Settings) -> Iterator[Finding]:
    from radii.worker.tasks.environment import compiler

    name = compiler()
    if name is None and settings.compile == "auto":
        hint = "install g++: long certifications on a CPU are about twice as fast with it"
        yield Finding(what="compiler", state="worth knowing", found="none: networks run as they are", help=hint)
    else:
        yield Finding(what="compiler", state="good", found=name or "not wanted (RADII_COMPILE)")


def _folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data.absolute()
    there = _nearest(folder)
    if not there.is_dir():
        yield Finding(
            what="data folder",
            state="wrong",
            found=f"expected a folder, got {there}, which is a file",
            help="set RADII_DATA (or --data) to a folder",
        )
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            what="data folder", state="wrong", found=f"{there} cannot be written", help="give it to this user"
        )
        return
    room = shutil.disk_usage(there).free
    full = room < settings.min_free
    yield Finding(
        what="data folder",
        state="wrong" if full else "good",
        found=f"{folder}, {room / 2**30:.1f} GiB free" + ("" if folder.exists() else " (not made yet)"),
        help=f"uploads are refused below {settings.min_free / 2**30:.2f} GiB (RADII_MIN_FREE): make room"
        if full
        else "",
    )
    kind = _file_system(there)
    if kind in NETWORK and settings.url.startswith("sqlite"):
        hint = "SQLite loses data where locks do not work: use a local disk, or Postgres (RADII_DATABASE_URL)"
        yield Finding(what="file system", state="wrong", found=f"the SQLite database would lie on {kind}", help=hint)


def _nearest(folder: Path) -> Path:
    """The folder, or what is there of the way to it."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _file_system(path: Path) -> str:
    """The type of the file system that holds a path, where the system tells."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    inside = [(place, kind) for place, kind in mounts if path == Path(place) or Path(place) in path.parents]
    return max(inside, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def _broker(settings: Settings) -> Iterator[Finding]:
    if settings.broker_url is None:
        yield Finding(
            what="broker", state="good", found="none is configured: workers of this machine look by themselves"
        )
    elif broker.is_reachable(settings):
        yield Finding(what="broker", state="good", found="answers")
    else:
        hint = f"jobs are found {settings.broker_poll_seconds:g} s later; is Redis running at RADII_BROKER_URL?"
        yield Finding(what="broker", state="wrong", found="does not answer", help=hint)


def _isolation(settings: Settings) -> Iterator[Finding]:
    lacking = availability.missing(settings.sandbox_uid)
    for each in lacking:
        yield Finding(
            what="isolation",
            state="worth knowing",
            found=f"missing: {each.restriction} ({each.reason})",
            help=f"{each.consequence}; the README lists what each restriction needs",
        )
    if not lacking:
        yield Finding(what="isolation", state="good", found="files from outside are opened under every restriction")


def _memory(settings: Settings) -> Iterator[Finding]:
    workers, total = max(1, settings.local_workers), memory_limit.total()
    asked = workers * settings.convert_memory + settings.decode_memory + settings.results_memory
    found = (
        f"{workers} x {_gib(settings.convert_memory)} for conversions (RADII_CONVERT_MEMORY), "
        f"{_gib(settings.decode_memory)} for images of requests (RADII_DECODE_MEMORY) and "
        f"{_gib(settings.results_memory)} for results files (RADII_RESULTS_MEMORY), of {_gib(total)}"
    )
    if asked > total:
        hint = "large files can use up the machine's memory at the same time: lower the three, or the local workers"
        yield Finding(what="memory limits", state="worth knowing", found=found, help=hint)
    else:
        yield Finding(what="memory limits", state="good", found=found)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _permissions(settings: Settings) -> Iterator[Finding]:
    """Whether other users of the machine can read the data folder."""
    found = permissions.open_to_others(settings)
    if found:
        named = ", ".join(str(path) for path in found[:3])
        hint = "`radii up` closes them when it starts; RADII_GROUP_ACCESS=true leaves them open to the folder's group"
        yield Finding(what="permissions", state="wrong", found=f"{len(found):,} are open to others: {named}", help=hint)


def _database(settings: Settings) -> Iterator[Finding]:
    source = restore_marker.source_of(settings)
    if source is not None:
        hint = f"run `radii restore {source}` again to its end"
        found = f"one from {source} was cut off here, or still runs"
        yield Finding(what="restore", state="wrong", found=found, help=hint)
        return
    try:
        misplaced_database.check(settings)
    except misplaced_database.MisplacedDatabase as error:
        yield _refused("database", error)
        return
    if settings.url.startswith("sqlite") and not Path(str(make_url(settings.url).database)).exists():
        if _nearest(settings.data.absolute()).is_dir():
            yield Finding(
                what="database", state="worth knowing", found="none yet: `radii up` or `radii migrate` makes it"
            )
        return
    try:
        database = Database(settings.url)
        revision = schema_version.current(database.engine)
    except SQLAlchemyError as error:
        hint = way_out(error) or "is it running at RADII_DATABASE_URL?"
        yield Finding(what="database", state="wrong", found=reason(error)[:200], help=hint)
        return
    try:
        yield Finding(what="database", state="good", found=f"{database.engine.dialect.name} answers")
        if revision != schema_version.head():
            wrong = f"revision {revision or 'none'}, where this version works with {schema_version.head()}"
            hint = schema_version.way_out(revision)
            yield Finding(what="schema", state="wrong", found=wrong, help=hint[0].lower() + hint[1:])
            return
        yield Finding(what="schema", state="good", found=f"revision {revision}")
        yield _identity(settings, database)
        with database.read() as session:
            yield from database_diagnosis.checks(session, settings)
    finally:
        database.close()


def _identity(settings: Settings, database: Database) -> Finding:
    """Whether the data folder is that of the database."""
    try:
        found = folder_identity.check(settings, database)
    except (DataFolderMissing, WrongFolder) as error:
        return _refused("folder identity", error)
    told = (
        f"{found.id}, as in the database" if found is not None else "none yet: `radii up` or `radii migrate` makes it"
    )
    return Finding(what="folder identity", state="good" if found is not None else "worth knowing", found=told)


def _refused(what: str, error: DataFolderMissing | WrongFolder) -> Finding:
    """The finding of an error: its first sentence is what is wrong, the rest is what helps."""
    said, _, hint = str(error).partition(". ")
    return Finding(what=what, state="wrong", found=said, help=hint[:1].lower() + hint[1:].rstrip("."))
