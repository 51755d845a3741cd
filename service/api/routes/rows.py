"""The results of a job input by input, as JSON pages and as files: two routes for each sort of rows in ``ROWS``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from radii.rs_core.evaluate.records import EvaluationRecord
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.results.codec import json_values
from radii.service.api.dependencies import Cursor, DatabaseDep, RowLimit, TenantId
from radii.service.api.documents import FileRoute
from radii.service.api.openapi import files, problems
from radii.service.api.row_responses import file_answer, rows_etag, rows_page
from radii.service.schemas import job_results, responses
from radii.service.views import resource_views, row_exports
from radii.worker.store import certificate_rows, evaluation_rows, prediction_rows
from radii.worker.store.database import Database

router = APIRouter(prefix="/v1/jobs", route_class=FileRoute)


@dataclass(frozen=True, kw_only=True)
class RowPart:
    """Rows of one sort.

    Attributes:
        noun: What they are called, in the path, too.
        kinds: The kinds of jobs that have them.
        tag: Under which the document shows the routes.
        record: What ``read`` gives.
        answer: The same in an answer.
        read: ``read(session, job_id, after=, limit=)``.
        formats: Of a file.
        page_text: What the page is, for the document.
        file_text: What the file is.
        show_otherwise: From a record to its answer, where that is not the JSON of the record.
    """

    noun: str
    kinds: tuple[str, ...]
    tag: str
    record: type[Any]
    answer: type[responses.Answer]
    read: Callable[..., Iterator[Any]]
    formats: tuple[str, ...]
    page_text: str
    file_text: str
    show_otherwise: Callable[[Any], responses.Answer] | None = None

    def show(self, row: Any) -> responses.Answer:
        """The answer of one row."""
        if self.show_otherwise is not None:
            return self.show_otherwise(row)
        return self.answer.model_validate(json_values(row))

    def pieces(self, database: Database, job_id: str, format: str) -> Iterator[str]:
        """All rows of a job so far as the pieces of a file."""
        return row_exports.pieces(database, job_id, format, record=self.record, read=self.read, show=self.show)


ROWS = (
    RowPart(
        noun="certificates",
        record=Certificate,
        kinds=("certify",),
        tag="certificates",
        answer=job_results.Certificate,
        read=certificate_rows.read,
        formats=("csv", "tsv", "ndjson"),
        page_text="A certify job's certificates so far, by index.",
        file_text="All certificates so far as a file; `tsv` is the field's format, radii rounded down.",
    ),
    RowPart(
        noun="predictions",
        record=Prediction,
        kinds=("predict", "soft_labels"),
        tag="certificates",
        answer=job_results.Prediction,
        read=prediction_rows.read,
        formats=("csv", "ndjson"),
        page_text="The predictions of a predict or soft_labels job so far, by index.",
        file_text="All predictions so far as a file.",
    ),
    RowPart(
        noun="evaluations",
        record=EvaluationRecord,
        kinds=("evaluate",),
        tag="evaluations",
        answer=job_results.Evaluated,
        read=evaluation_rows.read,
        show_otherwise=resource_views.evaluated,
        formats=("csv", "ndjson"),
        page_text="What an evaluate job has found so far, by index.",
        file_text="All that was found so far as a file; `csv` has one line for each input and point.",
    ),
)


def _add_routes(part: RowPart) -> None:
    form: Any = Annotated[Literal[part.formats], Path()]

    def page(
        job_id: str, tenant_id: TenantId, database: DatabaseDep, limit: RowLimit = 100, cursor: Cursor = None
    ) -> Any:
        return rows_page(database, tenant_id, job_id, part, limit=limit, cursor=cursor)

    def download(job_id: str, format: form, request: Request, tenant_id: TenantId, database: DatabaseDep) -> Response:
        etag = rows_etag(database, tenant_id, job_id, part.kinds, part.noun)
        return file_answer(request, etag, f"{job_id}-{part.noun}.{format}", part.pieces(database, job_id, format))

    router.add_api_route(
        f"/{{job_id}}/{part.noun}",
        page,
        name=f"list_{part.noun}",
        operation_id=f"list_{part.noun}",
        description=part.page_text,
        tags=[part.tag],
        response_model=responses.Page[part.answer],  # type: ignore[name-defined]
        responses=problems(404),
    )
    router.add_api_route(
        f"/{{job_id}}/{part.noun}.{{format}}",
        download,
        name=f"download_{part.noun}",
        operation_id=f"download_{part.noun}",
        description=part.file_text,
        tags=[part.tag],
        response_class=StreamingResponse,
        responses={**files(*(row_exports.MEDIA_TYPES[name] for name in part.formats)), **problems(404)},
    )


PARTS = {part.noun: part for part in ROWS}


for _part in ROWS:
    _add_routes(_part)
