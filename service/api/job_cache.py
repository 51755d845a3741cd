"""A job's answer, kept as long as nothing of the job has changed: very many may ask for the same one again and again.

Whether anything has changed is one small query; a whole answer takes many, and is written as JSON besides. What changes
without a trace there (how many workers hold parts of it) shows with the next commit of results.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import select

from radii.service.lookup import get
from radii.service.views import job_views
from radii.worker.store.database import Database
from radii.worker.store.jobs import TERMINAL
from radii.worker.store.models.result_tables import JobSummary
from radii.worker.store.models.tables import Job

KEPT = 500

Key = tuple[int, str, float]


@dataclass(frozen=True, kw_only=True)
class JobAnswer:
    """The body and its tag; ``active``: the job has not ended."""

    body: bytes
    etag: str
    active: bool


class JobAnswers:
    """The last answers of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[str, tuple[Key, JobAnswer]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, tenant_id: str, job_id: str) -> JobAnswer:
        """How the tenant's job stands now; raises ``NotFound``."""
        query = select(Job.revision, Job.state, JobSummary.updated, Job.needs_id)
        query = query.join(JobSummary, JobSummary.job_id == Job.id).where(Job.id == job_id, Job.tenant_id == tenant_id)
        with self._database.read() as session:
            standing = session.execute(query).first() if job_id.isprintable() else None
            key = None if standing is None else (standing.revision, standing.state, standing.updated)
            with self._lock:
                kept = self._kept.get(job_id)
            if kept is not None and kept[0] == key:
                return kept[1]
            view = job_views.view(session, get(session, Job, tenant_id, job_id))
        answer = JobAnswer(
            body=view.model_dump_json().encode(), etag=job_views.etag(view), active=view.state not in TERMINAL
        )
        # What an active job names cannot be deleted; of one that has ended the answer may change with that.
        if key is not None and standing is not None and standing.needs_id is None and answer.active:
            self._keep(job_id, key, answer)
        return answer

    def _keep(self, job_id: str, key: Key, answer: JobAnswer) -> None:
        with self._lock:
            self._kept[job_id] = key, answer
            self._kept.move_to_end(job_id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
