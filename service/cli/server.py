"""Commands of whoever runs the service: ``up``, ``worker``, ``migrate`` and ``key``.

Settings come from ``RADII_...`` variables, read in ``radii.worker.settings`` alone; a flag goes before its variable.
"""

import ipaddress
import logging
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.service.console import CommandError, note, say, table
from radii.service.local.environment import database, read_settings

if TYPE_CHECKING:
    from radii.worker.settings import Settings
    from radii.worker.store.database import Database

Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder of blobs and SQLite database. (default: RADII_DATA or radii-data)"),
]

keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than loopback needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0 takes a free one.")] = 8000,
    data: Data = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=64, help="Local worker processes. (default: RADII_LOCAL_WORKERS or 1)"),
    ] = None,
    require_key: Annotated[
        bool, typer.Option("--require-key", help="Ask for an API key on loopback too, as behind a proxy.")
    ] = False,
) -> None:
    """Run the service: the HTTP interface and, where no broker is set, local workers.

    The first line on stdout is `radii is listening on URL`. Ctrl-C or SIGTERM ends everything in order.
    """
    from radii.service.cli import serve

    settings = read_settings(data=data, local_workers=workers)
    with serve.folder_lock(settings):
        with database(settings) as db:
            _migrate(db, settings)
            _bind(db, settings)
            closed = require_key or not loopback(host)
            if closed and not _any_key(db):
                raise CommandError(_key_needed(settings, host, require_key=require_key))
        serve.serve(settings, host, port, require_key=closed)


def worker(data: Data = None) -> None:
    """Run one worker: on the broker of RADII_BROKER_URL, or on the folder's own queue where there is none."""
    from radii.service.cli import serve

    settings = read_settings(data=data)
    with database(settings) as db:
        _require(db)
    serve.work(settings)


def migrate(
    down: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Go down to this revision; `base` empties the database. (default: up)"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even under workers and services that run, whose jobs may fail of it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With `--down base`: lose what the database holds.")] = False,
    adopt_folder: Annotated[
        bool,
        typer.Option(
            "--adopt-folder", help="Make the data folder that of this database, whatever either was used with before."
        ),
    ] = False,
    data: Data = None,
) -> None:
    """Bring the database's tables to this version of radii, or down to an older one.

    Refused while workers or services are running.
    """
    from radii.service.cli import serve
    from radii.worker.store import schema_version

    settings = read_settings(data=data)
    with nullcontext() if force else serve.folder_lock(settings), database(settings) as db:
        if down is not None:
            _check_down(db, down, yes=yes)
        before = schema_version.migrate(db.engine, "head" if down is None else down, force=force, seen=settings.seen)
        after = schema_version.current(db.engine)
        if adopt_folder and not force:
            schema_version.require_nobody(db.engine, settings.seen)
        if after == schema_version.head():
            _bind(db, settings, adopt=adopt_folder)
    say(f"The schema was {before or 'empty'} and is {after or 'empty'} now.")


@keys.command("create")
def create_key(
    tenant: Annotated[str, typer.Option(help="Whose key it is; a new name makes a new tenant.")],
    name: Annotated[str, typer.Option(help="What the key is for; shown in lists.")] = "",
    data: Data = None,
) -> None:
    """Make a key. It is printed once, alone on stdout; only its hash is stored."""
    from radii.worker.store import tenants

    with database(read_settings(data=data)) as db:
        _prepared(db)
        with db.write() as session:
            row, secret = tenants.create_key(session, tenant, name)
            made = row.id
    note(f"Key {made} of tenant {tenant}; it cannot be shown again:")
    say(secret)


@keys.command("list")
def list_keys(data: Data = None) -> None:
    """List the keys, oldest first."""
    from datetime import UTC, datetime

    from radii.worker.store import tenants

    with database(read_settings(data=data)) as db:
        _prepared(db)
        with db.read() as session:
            rows = [
                [
                    key.id,
                    tenant.name,
                    key.name or "-",
                    datetime.fromtimestamp(key.created, UTC).strftime("%Y-%m-%d %H:%M UTC"),
                    "revoked" if key.revoked else "works",
                ]
                for key, tenant in tenants.keys(session)
            ]
    say(table(["key", "tenant", "name", "created", "state"], rows) if rows else "There are no keys.")


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's identifier, from `radii key list`.")],
    data: Data = None,
) -> None:
    """End a key."""
    from radii.worker.store import tenants

    with database(read_settings(data=data)) as db:
        _prepared(db)
        with db.write() as session:
            revoked = tenants.revoke_key(session, key_id)
    if not revoked:
        raise CommandError(f"There is no key {key_id} that works: see `radii key list`.")
    say(f"Key {key_id} is revoked.")


def loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(db: "Database", settings: "Settings", *, adopt: bool = False) -> None:
    """Folder and database get one identity, or are compared."""
    from radii.worker.store.folder import folder_identity

    folder_identity.bind(settings, db, adopt=adopt)


def _key_needed(settings: "Settings", host: str, *, require_key: bool) -> str:
    """What to do where an API key is needed and there is none."""
    if loopback(host):
        why, instead = "--require-key asks for an API key", "or leave --require-key out"
    elif require_key:
        why, instead = f"Listening on {host} needs an API key", "or leave --require-key out and listen on 127.0.0.1"
    else:
        why, instead = f"Listening on {host} needs an API key", "or listen on 127.0.0.1, which needs none"
    where = "" if settings.database_url else f" --data {shlex.quote(str(settings.data))}"
    return f"{why}, and there is none: create one with `radii key create --tenant NAME{where}`, {instead}."


def _check_down(db: "Database", revision: str, *, yes: bool) -> None:
    from radii.worker.store import schema_version

    schema_version.check_down(db.engine, revision)
    lost = schema_version.holdings(db.engine) if revision == "base" and not yes else {}
    if lost:
        named = ", ".join(f"{count:,} {what}" for what, count in lost.items())
        raise CommandError(
            f"Going down to base loses everything that the database holds, for ever: {named}. Make a backup "
            "(`radii backup FOLDER`), or say --yes."
        )


def _migrate(db: "Database", settings: "Settings") -> None:
    """Brings an older database to this version, which is worth a line of the log; an empty one gets its tables."""
    from radii.worker import logs
    from radii.worker.store import schema_version

    before = schema_version.migrate(db.engine, seen=settings.seen)
    if before not in (None, schema_version.head()):
        logs.configure(settings)
        logging.getLogger("radii.service").info("schema %s -> %s", before, schema_version.head())


def _require(db: "Database") -> None:
    from radii.worker.store import schema_version

    schema_version.require(db.engine)


def _prepared(db: "Database") -> None:
    """An empty database gets its tables; one that has some must have the right ones."""
    from radii.worker.store import schema_version

    if schema_version.current(db.engine) is None:
        schema_version.migrate(db.engine)
    schema_version.require(db.engine)


def _any_key(db: "Database") -> bool:
    from radii.worker.store import tenants

    with db.read() as session:
        return tenants.any_key(session)
