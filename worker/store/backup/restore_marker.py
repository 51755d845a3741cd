"""A restore that has not come to its end: a file in the data folder, from its start to its end, says which.

While it is there nobody takes the folder for an empty one. It holds the backup's folder, and when the restore began by the
database's clock: what is younger in the database has come of something else.
"""

import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, inspect, select, text

from radii.rs_core.errors import OperationError
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files
from radii.worker.store.clock import clock

FILE = "restore.unfinished"
TIMES = {"tenant": "created", "blob": "created", "job": "created", "worker": "seen"}


class Unfinished(OperationError):
    """The data folder is that of a restore that has not come to its end."""

    title = "The data folder is that of a restore that has not come to its end."

    def __init__(self, folder: Path, source: str) -> None:
        super().__init__(
            f"A restore from {source} into {folder} was cut off, or still runs: run `radii restore {source}` again to its end."
        )


def source_of(settings: Settings) -> str | None:
    """The backup whose restore was cut off here, or None."""
    found = _read(settings)
    return None if found is None else str(found.get("source", "FOLDER"))


def check(settings: Settings) -> None:
    """Raises :class:`Unfinished` where a restore was cut off."""
    source = source_of(settings)
    if source is not None:
        raise Unfinished(settings.data, source)


def begin(settings: Settings, engine: Engine, source: Path) -> None:
    """Writes the file, safe on the disk."""
    with engine.connect() as connection:
        began = connection.scalar(select(clock()))
    part = settings.data / f"{FILE}.part"
    part.write_text(json.dumps({"source": str(source.absolute()), "began": began}) + "\n")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(settings.data / FILE)
    blob_files.sync_folder(settings.data)


def end(settings: Settings) -> None:
    """Removes the file."""
    (settings.data / FILE).unlink()
    blob_files.sync_folder(settings.data)


def left(settings: Settings, engine: Engine) -> bool:
    """Whether all that the database holds was there, or was restored, when the restore was cut off: nothing is younger."""
    began = (_read(settings) or {}).get("began")
    if not isinstance(began, float):
        return False
    tables = TIMES.keys() & set(inspect(engine).get_table_names())
    with engine.connect() as connection:
        ages = [connection.scalar(text(f"SELECT max({TIMES[name]}) FROM {name}")) for name in tables]
    return all(age is None or age < began for age in ages)


def _read(settings: Settings) -> dict[str, Any] | None:
    try:
        found = json.loads((settings.data / FILE).read_text())
        return found if isinstance(found, dict) else {}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
