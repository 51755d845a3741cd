"""Answers that are a job's rows by index, one for each input: pages of JSON, and files that are streamed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from radii.service.api.dependencies import cut_page, decode_index, encode_cursor, matches
from radii.service.lookup import etag_of, of_kind
from radii.service.schemas import responses
from radii.service.schemas.responses import MOST_NUMBERS
from radii.service.views import row_exports
from radii.worker.store.database import Database
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.result_rows import numbers_in


class Rows(Protocol):
    """Rows of one sort: the kinds of jobs that have them, what they are called, and how they are read and shown."""

    @property
    def kinds(self) -> Sequence[str]: ...
    @property
    def noun(self) -> str: ...
    @property
    def read(self) -> Callable[..., Iterable[Any]]: ...
    @property
    def show(self) -> Callable[[Any], Any]: ...


def rows_page(
    database: Database, tenant_id: str, job_id: str, of: Rows, *, limit: int, cursor: str | None
) -> responses.Page[Any]:
    """A job's rows behind the cursor; raises ``NotFound`` where it has none of that sort.

    A page has fewer rows than ``limit`` where rows are long: each has class counts, of up to 100,000 classes.
    """
    after = decode_index(cursor)
    with database.read() as session:
        of_kind(session, tenant_id, job_id, of.kinds, of.noun)
        limit = min(limit, _most_rows(list(of.read(session, job_id, after=after, limit=1))))
        rows, last = cut_page(list(of.read(session, job_id, after=after, limit=limit + 1)), limit)
    following = None if last is None else encode_cursor(last.index)
    return responses.Page(items=[of.show(row) for row in rows], next_cursor=following)


def _most_rows(first: Sequence[Any]) -> int:
    """Rows of one page, by the length of the first; all rows of a job have about the same."""
    return max(1, MOST_NUMBERS // max(1, sum(map(numbers_in, first))))


def rows_etag(database: Database, tenant_id: str, job_id: str, kinds: Sequence[str], part: str) -> str:
    """The tag of a job's rows so far, which may get more samples without becoming more; raises ``NotFound`` where it has none of that kind."""
    with database.read() as session:
        job = of_kind(session, tenant_id, job_id, kinds, part)
        summary = session.get_one(JobSummary, job_id)
        return etag_of(job.id, job.revision, summary.done, summary.work_done)


def file_answer(request: Request, etag: str, name: str, pieces: Iterator[str]) -> Response:
    """A file of rows, by its name."""
    headers = {"ETag": etag, "Content-Disposition": f'attachment; filename="{name}"'}
    if matches(request, etag):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(pieces, media_type=row_exports.MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)
