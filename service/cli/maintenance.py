"""Commands that look after what a service holds: ``doctor``, ``backup`` and ``restore``."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.service.cli.server import Data
from radii.service.console import CommandError, note, say, table
from radii.service.local.environment import read_settings, unusable

if TYPE_CHECKING:
    from radii.worker.store.backup.create import BackupContents

SHOWN = 5


def doctor(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON. (default: text)")] = False,
    worker: Annotated[
        bool, typer.Option("--worker", help="Only check that a worker of this machine was seen lately.")
    ] = False,
) -> None:
    """Look at this machine and its service, and say what is wrong and what helps.

    Reads only. Exit code 1 where something is wrong; what is merely worth knowing does not count.
    """
    from radii.worker.doctor import diagnosis as doctor

    settings = read_settings(data=data)
    found = [doctor.worker_here(settings)] if worker else doctor.look(settings)
    if as_json:
        say(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        words = {"good": "good", "worth knowing": "note", "wrong": "WRONG"}
        say(table(["", "what", "found"], [[words[each.state], each.what, each.found] for each in found]))
        for each in found:
            if each.help:
                say(f"{each.what}: {each.help}")
    if any(each.state == "wrong" for each in found):
        raise typer.Exit(1)


def backup(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder for the copy.")],
    data: Data = None,
) -> None:
    """Copy the database and all files that it names; the service may run meanwhile.

    A Postgres database takes pg_dump, of its client programs, on this machine. Your own architectures (the file of
    RADII_ARCHITECTURES and its code) are no part of a backup: keep them beside it.
    """
    from radii.worker.store.backup import create as backups

    settings = read_settings(data=data)
    _told(_tried(lambda: backups.back_up(settings, folder)), f"The backup is in {folder}")


def restore(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="A folder that `radii backup` has made.")
    ],
    data: Data = None,
) -> None:
    """Bring a backup into an empty data folder (or an empty Postgres database). Jobs in work go on where it has them.

    It is compared with its hashes; one that was cut off can be run again. Your own architectures (the file of
    RADII_ARCHITECTURES and its code) are no part of a backup: put them back, too.
    """
    from radii.worker.store import schema_version
    from radii.worker.store.backup import restore as restoring

    settings = read_settings(data=data)
    copied = _tried(lambda: restoring.restore(settings, folder))
    _told(copied, "The backup is restored")
    if copied.schema != schema_version.head():
        note(f"Its schema is {copied.schema}: `radii migrate` (or `radii up`) brings it to {schema_version.head()}.")


def _tried(act: "Callable[[], BackupContents]") -> "BackupContents":
    from sqlalchemy.exc import SQLAlchemyError

    from radii.worker.store.backup.create import CannotCopy
    from radii.worker.store.backup.restore_marker import Unfinished

    try:
        return act()
    except Unfinished as error:
        raise CommandError(str(error)) from None
    except CannotCopy as error:
        raise CommandError(f"That cannot be done: {error}.") from None
    except SQLAlchemyError as error:
        raise unusable(error) from None
    except OSError as error:
        raise CommandError(f"The files cannot be copied: {error}.") from None


def _told(copied: "BackupContents", what: str) -> None:
    say(f"{what}: schema {copied.schema}, {copied.blobs:,} files, {copied.size:,} bytes copied.")
    for word, names in (
        ("damaged (their bytes are not those of their name)", copied.damaged),
        ("missing", copied.missing),
    ):
        if names:
            more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            shown = [f"{name} ({copied.owners[name]})" if name in copied.owners else name for name in names[:SHOWN]]
            note(f"{len(names):,} files are {word}: {', '.join(shown)}{more}.")
    if copied.damaged or copied.missing:
        raise typer.Exit(1)
