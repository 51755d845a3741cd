"""What routes are given: settings, database, and small helpers for lists, lookups and conditional requests.

A route opens ``database.read()`` or ``database.write()`` itself, so that its changes are committed before it returns.
"""

import base64
import binascii
import logging
import re
from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from radii.service.api.auth import TenantId as TenantId
from radii.service.api.uploads_in_progress import ActiveUploads
from radii.service.errors import FilesUnavailable, InvalidRequest
from radii.service.lookup import IDENTIFIER, shown
from radii.service.schemas.responses import MAX_WAIT
from radii.worker.settings import Settings
from radii.worker.store.database import Database
from radii.worker.store.folder.folder_identity import DataFolderMissing, WrongFolder

log = logging.getLogger("radii.service")

Item = TypeVar("Item")

INDEX = re.compile(r"[0-9]{1,18}")


def _settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


def _settings_with_files(request: Request) -> Settings:
    """The settings, for a route that reads or writes files; raises :class:`FilesUnavailable` where the data folder is not that
    of the database."""
    try:
        request.app.state.heartbeat.compare_folder()
    except (DataFolderMissing, WrongFolder) as error:
        log.error("files are refused: %s", error)
        expected = "the data folder of the service's database"
        got = "none" if isinstance(error, DataFolderMissing) else "another one"
        raise FilesUnavailable(
            expected=expected, got=f"{got}; try again later, /readyz tells the operator more"
        ) from None
    return _settings(request)


def _active_uploads(request: Request) -> ActiveUploads:
    found: ActiveUploads = request.app.state.active_uploads
    return found


ActiveUploadsDep = Annotated[ActiveUploads, Depends(_active_uploads)]
SettingsDep = Annotated[Settings, Depends(_settings)]
FileSettingsDep = Annotated[Settings, Depends(_settings_with_files)]
DatabaseDep = Annotated[Database, Depends(_database)]
Limit = Annotated[int, Query(ge=1, le=200, description="items of one page")]
RowLimit = Annotated[int, Query(ge=1, le=1000, description="rows of one page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
Wait = Annotated[
    float,
    Query(ge=0, allow_inf_nan=False, description=f"wait so many seconds (at most {MAX_WAIT:g}) for its end"),
]


def encode_cursor(place: str | int) -> str:
    """An opaque word for a place in a list."""
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, shape: re.Pattern[str] = IDENTIFIER) -> str | None:
    """The place in a cursor of :func:`encode_cursor`; raises :class:`InvalidRequest` unless it has that shape."""
    if cursor is None:
        return None
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        place = ""
    if not shape.fullmatch(place):
        raise InvalidRequest(expected="the next_cursor of a page before", got=shown(cursor), where="cursor")
    return place


def decode_index(cursor: str | None) -> int:
    """The index in a cursor over rows; -1 before the first."""
    place = decode_cursor(cursor, INDEX)
    return -1 if place is None else int(place)


def cut_page(rows: Sequence[Item], limit: int) -> tuple[list[Item], Item | None]:
    """Out of ``limit + 1`` rows the page, and its last row if more follow."""
    page = list(rows[:limit])
    return page, page[-1] if len(rows) > limit else None


def matches(request: Request, etag: str) -> bool:
    """Whether the client has this state already (``If-None-Match``)."""
    header = request.headers.get("if-none-match", "")
    known = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return header.strip() == "*" or etag.removeprefix("W/") in known
