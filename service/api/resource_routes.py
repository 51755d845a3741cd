"""What data sets and checkpoints have in common: made out of uploads, listed, deleted; and pages of any list."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, defer
from starlette.concurrency import run_in_threadpool

from radii.service.api.dependencies import cut_page, decode_cursor, decode_index, encode_cursor
from radii.service.errors import RETRY_SECONDS, InUse, UnknownResource
from radii.service.jobs.idempotency import REPLAYED, forget
from radii.service.lookup import WORDS, Row, get, shown
from radii.service.schemas import responses
from radii.worker.store import resources
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Blob, Checkpoint, Dataset

Made = TypeVar("Made", Dataset, Checkpoint)
View = TypeVar("View", responses.Dataset, responses.Checkpoint)


def page(
    session: Session, kind: type[Row], tenant_id: str, cursor: str | None, limit: int, *conditions: Any
) -> tuple[list[Row], str | None]:
    """The tenant's rows, newest first, and the cursor of the next page."""
    query: Select[Row] = select(kind).where(kind.tenant_id == tenant_id, *conditions).order_by(kind.id.desc())
    if issubclass(kind, Dataset | Checkpoint):
        query = query.options(defer(kind.class_names, raiseload=True))  # megabytes that no list shows
    if (last := decode_cursor(cursor)) is not None:
        query = query.where(kind.id < last)
    rows, last_row = cut_page(list(session.scalars(query.limit(limit + 1))), limit)
    return rows, None if last_row is None else encode_cursor(last_row.id)


def names_page(names: Sequence[str], limit: int, cursor: str | None) -> responses.Page[str]:
    """Some class names, and the cursor of those that follow."""
    first = decode_index(cursor) + 1
    last = first + limit - 1
    return responses.Page(
        items=list(names[first : last + 1]), next_cursor=encode_cursor(last) if last + 1 < len(names) else None
    )


def files_of(session: Session, tenant_id: str, references: Sequence[str]) -> list[dict[str, str]]:
    """Name and SHA-256 of each upload that is named; raises :class:`UnknownResource`."""
    found = []
    for reference in references:
        upload = resources.find_upload(session, tenant_id, reference) if reference.isprintable() else None
        if upload is None:
            raise UnknownResource(expected="the name of an upload of yours", got=shown(reference), where="files")
        found.append({"name": upload.name, "sha256": upload.sha256})
    return found


def expected_output(session: Session, source: dict[str, Any], images: int = 1) -> int:
    """About how many bytes a conversion makes of its files: as many as they have or, of ``images`` corrupted ones, those of
    their pixels. A packed file gives more, which is counted when it is made."""
    digests = [file["sha256"] for kind in ("files", "parts") for file in source.get(kind) or []]
    if source.get("corrupt") is not None:
        shape = session.scalar(select(Dataset.shape).where(Dataset.sha256.in_(digests)).limit(1)) or [0]
        return images * int(prod(shape))
    return int(session.scalar(select(func.sum(Blob.size)).where(Blob.sha256.in_(digests))) or 0)


def remove(database: Database, kind: type[Made], tenant_id: str, identifier: str) -> None:
    """Deletes a data set or checkpoint; raises :class:`InUse` while a job needs it."""
    with database.write() as session:
        row = get(session, kind, tenant_id, identifier)
        users = resources.users_of(session, row)
        if users:
            named = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
            raise InUse(expected=f"a {WORDS[kind]} that no active job needs", got=f"one that {named} needs", jobs=users)
        resources.remove(session, row)
        forget(session, identifier)


async def when_made(request: Request, read: Callable[[], View], wait: float) -> View:
    """What ``read`` gives: at once, or once the job that makes it has ended, or after ``wait`` seconds."""
    found = await run_in_threadpool(read)
    if wait > 0 and found.state == resources.PENDING and found.job is not None:
        await request.app.state.watch.ended(found.job, min(wait, responses.MAX_WAIT))
        found = await run_in_threadpool(read)
    return found


def accepted(response: Response, location: str, replayed: bool) -> None:
    """The headers of a 202."""
    response.headers["Location"] = location
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    if replayed:
        response.headers.update(REPLAYED)


def json_answer(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as a response."""
    return Response(body.model_dump_json(), status_code=status, media_type="application/json", headers=headers)
