"""Settings, data folder and database of a command that works on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from radii.service.console import CommandError

if TYPE_CHECKING:
    from radii.worker.settings import Settings
    from radii.worker.store.database import Database


def read_settings(**flags: Any) -> "Settings":
    """The settings, with the flags that were given."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from radii.rs_core.specs.validation_errors import shown
    from radii.worker.settings import Settings

    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except SettingsError as error:
        raise CommandError(f"The settings are not valid: {error.__cause__ or error}.") from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        if not fault["loc"]:
            raise CommandError(
                f"The settings do not fit together: {fault['msg'].removeprefix('Value error, ')}."
            ) from None
        name = "RADII_" + "_".join(str(part) for part in fault["loc"]).upper()
        raise CommandError(f"The setting {name} is not valid: {fault['msg']}, got {shown(fault['input'])}.") from None


@contextmanager
def database(settings: "Settings") -> Iterator["Database"]:
    """The database for the length of a block; what it says becomes one sentence."""
    from sqlalchemy.exc import SQLAlchemyError

    from radii.worker.store.backup import restore_marker
    from radii.worker.store.database import Database
    from radii.worker.store.folder import misplaced_database
    from radii.worker.store.schema_version import DowngradeRefused, StillRunning, WrongSchema

    if settings.url.startswith("sqlite"):
        made_folder(settings)
    db = None
    try:
        restore_marker.check(settings)
        misplaced_database.check(settings)
        db = Database(settings.url)
        yield db
    except (
        WrongSchema,
        StillRunning,
        DowngradeRefused,
        restore_marker.Unfinished,
        misplaced_database.MisplacedDatabase,
    ) as error:
        raise CommandError(str(error)) from None
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise unusable(error) from None
    finally:
        if db is not None:
            db.close()


def made_folder(settings: "Settings") -> None:
    """Makes the data folder where there is none, and private; raises :class:`CommandError` where that cannot be."""
    from radii.worker.store.folder.permissions import make_private

    try:
        make_private(settings)
    except (FileExistsError, NotADirectoryError):
        raise CommandError(
            f"Expected a folder at {settings.data}, got a file there: set RADII_DATA (or --data) to a folder."
        ) from None


def unusable(error: Exception) -> CommandError:
    """What a database has said, as the sentence that ends a command."""
    from radii.worker.store.database import reason, way_out

    hint = way_out(error)
    return CommandError(f"The database cannot be used: {reason(error)}{f'; {hint}' if hint else ''}.")
