"""A job of a service as the Python client holds it: how it stands, waiting for its end, and what came of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import httpx
from httpx_sse import EventSource

from radii.rs_core.results import ndjson
from radii.service.client.errors import JobNotSucceeded, JobTimeout
from radii.service.client.http import HttpConnection
from radii.service.schemas import job_results, responses

if TYPE_CHECKING:
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Certificate, Prediction

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
PAGE = 1000
LONG_POLL = 30.0
"""Seconds of one long poll; the service answers at once when the job ends."""
SECONDS_BETWEEN_PROGRESS = 1.0


class Job:
    """A job of a service. ``info`` is what the service said of it last; :meth:`refresh` and :meth:`wait` ask again."""

    def __init__(self, http: HttpConnection, info: responses.Job, etag: str | None = None) -> None:
        self.info = info
        self._http, self._etag = http, etag
        self._path = f"/v1/jobs/{url_part(info.id)}"

    @classmethod
    def read(cls, http: HttpConnection, answer: httpx.Response) -> "Job":
        """The job in an answer."""
        return cls(http, responses.Job.model_validate_json(answer.content), answer.headers.get("ETag"))

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.kind}, {self.state})"

    @property
    def id(self) -> str:
        """The job's identifier."""
        return self.info.id

    @property
    def kind(self) -> responses.JobKind:
        """train, certify, predict, soft_labels, verify, evaluate or convert."""
        return self.info.kind

    @property
    def state(self) -> responses.JobState:
        """queued, running, cancelling, succeeded, failed, cancelled or expired."""
        return self.info.state

    @property
    def progress(self) -> responses.Progress:
        """How far it is."""
        return self.info.progress

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in TERMINAL

    @property
    def checkpoint_id(self) -> str | None:
        """The checkpoint that it reads or, of a training job, makes."""
        return self.info.checkpoint or (self.info.output or {}).get("checkpoint")

    def refresh(self, wait: float = 0.0) -> "Job":
        """Asks how the job stands; with ``wait``, the service answers when it ends or after so many seconds."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        params = {"wait": f"{wait:g}"} if wait > 0 else None
        answer = self._http.send("GET", self._path, params=params, headers=headers, patience=wait)
        if answer.status_code != 304:
            self.info = responses.Job.model_validate_json(answer.content)
            self._etag = answer.headers.get("ETag")
        return self

    def wait(
        self,
        timeout: float | None = None,
        progress: Callable[["Job"], object] | None = None,
        *,
        check: bool = False,
    ) -> "Job":
        """Waits until the job ends and returns it; ``progress`` is called about once a second until then.

        Raises :class:`JobTimeout` after ``timeout`` seconds and, with ``check``, :class:`JobNotSucceeded` where it ends
        in another state than ``succeeded``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.ended:
            step = SECONDS_BETWEEN_PROGRESS if progress else LONG_POLL
            left = step if deadline is None else min(step, deadline - time.monotonic())
            if left <= 0:
                raise JobTimeout(f"Job {self.id} is {self.state} after {timeout:g} s.")
            asked = time.monotonic()
            self.refresh(wait=max(left, 0.1))
            if progress:
                progress(self)
            if not self.ended and time.monotonic() - asked < left / 2:
                # A service that does not wait is not asked again at once.
                time.sleep(left / 2)
        if check and self.state != "succeeded":
            raise JobNotSucceeded(describe(self.info))
        return self

    def events(self, after: int | None = None) -> Iterator[responses.JobEvent]:
        """What happens to the job, from its first event or the one after ``seq`` = ``after`` on, until it has ended; none
        is missing and none comes twice, however often the connection is lost on the way."""
        last, whole = after, False
        while not whole:
            over = self.refresh().ended  # what a stream gives that is opened now is all there will be
            headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": str(last)})
            with self._http.stream("GET", f"{self._path}/events", headers=headers) as response:
                try:
                    for sent in EventSource(response).iter_sse():
                        # What keeps the connection alive arrives as an event without data.
                        if sent.data and sent.event != "progress":
                            event = responses.JobEvent.model_validate_json(sent.data)
                            last = event.seq
                            yield event
                    whole = over
                except httpx.TransportError:
                    continue

    def cancel(self) -> "Job":
        """Asks the job to stop; what is done stays readable."""
        answer = self._http.send("POST", f"{self._path}/cancel")
        self.info = responses.Job.model_validate_json(answer.content)
        self._etag = answer.headers.get("ETag")
        return self

    def delete(self) -> None:
        """Deletes the job and its results."""
        self._http.send("DELETE", self._path)

    def report(self) -> job_results.Report:
        """A certification's or evaluation's report, with all that is needed to compute it again."""
        return job_results.Report.model_validate_json(self._http.send("GET", f"{self._path}/report").content)

    def report_html(self) -> str:
        """The same as one HTML page."""
        return self._http.send("GET", f"{self._path}/report.html", headers={"Accept": "text/html"}).text

    def plot(self, format: Literal["png", "svg"] = "png", name: str = "certified-accuracy") -> bytes:
        """A figure of the report: ``certified-accuracy`` or ``radius-histogram``; on corrupted images ``corruptions``, of a mix ``weights``, too; of an
        evaluation ``evaluation``."""
        path = f"{self._path}/plots/{name}.{format}"
        return self._http.send("GET", path, headers={"Accept": "image/*"}).content

    def certificates(self) -> "Iterator[Certificate]":
        """The certificates so far, in the order of their inputs, with all votes."""
        return (ndjson.certificate(item) for item in self._items("certificates"))

    def predictions(self) -> "Iterator[Prediction]":
        """The predictions so far, in the order of their inputs; of a soft_labels job, the votes."""
        return (ndjson.prediction(item) for item in self._items("predictions"))

    def evaluations(self) -> "Iterator[EvaluationRecord]":
        """What an evaluation has found so far, in the order of its inputs."""
        return (ndjson.evaluated(item) for item in self._items("evaluations"))

    def epochs(self) -> list[job_results.Epoch]:
        """A training job's epochs so far."""
        return job_results.Epochs.model_validate_json(self._http.send("GET", f"{self._path}/epochs").content).items

    def download(self, ending: str, target: Path) -> None:
        """Writes ``report.html``, ``certificates.tsv``, ... of the job to a file."""
        self._http.download(f"{self._path}/{ending}", target)

    def _items(self, noun: str) -> Iterator[dict[str, Any]]:
        return self._http.items(f"{self._path}/{noun}", limit=PAGE)


def describe(job: responses.Job) -> str:
    """How a job stands, in one sentence."""
    verb = "was" if job.state == "cancelled" else "has" if job.state in TERMINAL else "is"
    reason = f": {job.problem.detail}" if job.problem is not None and job.problem.detail else "."
    return f"Job {job.id} ({job.kind}) {verb} {job.state}{reason}"


def url_part(id: str) -> str:
    """An identifier as a part of a path; an empty one would name the list."""
    return quote(id, safe="") or "-"
