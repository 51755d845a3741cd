"""The command that shows what is stored, ``usage``: your own on a service, or every tenant's on the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.service.cli.connection import DEFAULT_SERVER, ApiKey, AsJson, Server, connect
from radii.service.cli.server import Data
from radii.service.console import say, table
from radii.service.local.environment import database, read_settings

if TYPE_CHECKING:
    from radii.service.schemas.storage import Usage
    from radii.worker.store.storage_usage import StoredUsage

WORDS = {
    "uploads": "uploads",
    "part_uploads": "unfinished uploads",
    "datasets": "data sets",
    "checkpoints": "checkpoints",
    "predictions": "images of requests for predictions",
    "soft_labels": "soft labels",
    "snapshots": "snapshots of trainings",
    "results": "jobs and their results (estimated)",
    "expected_outputs": "expected output of conversions",
}


def usage(
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Every tenant's, from the database of --data: on the server, without a service."),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what you have stored, by kind, and your quota. `radii delete` frees space at once."""
    if every:
        _every_tenant(data, as_json)
        return
    with connect(server, api_key) as client:
        found = client.usage()
    if as_json:
        say(found.model_dump_json(indent=2))
        return
    rows = [
        [WORDS.get(each.kind, each.kind), f"{each.count:,}", f"{each.bytes:,}", f"{each.most:,}" if each.most else "-"]
        for each in found.kinds
    ]
    say(table(["what", "number", "bytes", "at most"], rows))
    for upload in found.unfinished_uploads:
        say(f"unfinished upload {upload.id}: {upload.name}, {upload.size:,} bytes (`radii delete {upload.id}`)")
    say(_total(found))


def _total(found: "Usage") -> str:
    share = 100 * found.used / found.quota
    return f"{found.used:,} of {found.quota:,} bytes are used ({share:.1f} %); {found.free:,} are free."


def _every_tenant(data: Path | None, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from radii.worker.store import schema_version, storage_usage
    from radii.worker.store.models.tables import Tenant

    settings = read_settings(data=data)
    with database(settings) as db:
        schema_version.require(db.engine)
        with db.read() as session:
            tenants = session.query(Tenant.id, Tenant.name).order_by(Tenant.name).all()
            sizes = [(name, storage_usage.usage(session, tenant_id)) for tenant_id, name in tenants]
    if as_json:
        say(json.dumps([{"tenant": name, "used": found.size, **asdict(found)} for name, found in sizes], indent=2))
        return
    rows = [
        [name, f"{found.size:,}", f"{100 * found.size / settings.tenant_bytes:.1f} %", _largest(found.kinds)]
        for name, found in sorted(sizes, key=lambda row: -row[1].size)
    ]
    say(table(["tenant", "bytes", "of its quota", "most of it"], rows) if rows else "There are no tenants.")


def _largest(kinds: "Sequence[StoredUsage]") -> str:
    largest = max(kinds, key=lambda stored: stored.size)
    return f"{WORDS[largest.kind]}, {largest.size:,}" if largest.size else "-"
