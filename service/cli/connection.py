"""How remote commands reach the service, and how a job is shown."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.service.console import END_NOT_KNOWN, INTERRUPTED, bar, note

if TYPE_CHECKING:
    from radii.service.client.client import Client, ClientError, Job
    from radii.service.schemas import responses

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVICE = "Service"
KEEP_TRYING = 300.0
"""Seconds for which a service that is away, or has no room for another job, is asked again."""

Server = Annotated[
    str, typer.Option("--server", metavar="URL", envvar="RADII_SERVER", rich_help_panel=SERVICE, help="The service.")
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar="RADII_API_KEY",
        rich_help_panel=SERVICE,
        help="A key of the service; better given by the variable, which no process list shows. (default: none)",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's identifier.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON. (default: text)")]


def connect(server: str, api_key: str | None) -> "Client":
    """The client of a service; an address without a scheme is HTTP."""
    from radii.service.client.client import Client

    return Client(_address(server), api_key=api_key)


def connect_patiently(server: str, api_key: str | None, *, reached: bool = False) -> "Client":
    """The same for what is worth waiting for: a service that is away or has no room is asked for some minutes, and stderr
    says so. ``reached``: the address is known to be right, though nothing has come from it yet."""
    from radii.service.client.client import Client

    client = Client(_address(server), api_key=api_key, keep_trying=KEEP_TRYING, waiting=_say_that_it_waits)
    client.http.reached = reached
    return client


@contextmanager
def until_the_end(go_on: Callable[[], str]) -> Iterator[None]:
    """A block that sees a job to its end. Where the service's answers end before, ``go_on()`` says how it is seen further,
    and the exit code is that of an end that is not known."""
    from radii.service.client.errors import ApiError, Unreachable

    try:
        yield
    except (ApiError, Unreachable) as error:
        if isinstance(error, ApiError) and error.status < 500:
            raise  # there is no such job, or it is not theirs
        note(f"radii: {error}")
        note(f"How the job ends is not known: {go_on()}.")
        raise typer.Exit(END_NOT_KNOWN) from None


def _address(server: str) -> str:
    return server if "://" in server else f"http://{server}"


def _say_that_it_waits(failure: "ClientError", seconds: float) -> None:
    from radii.service.client.errors import Unreachable

    minutes = f"for up to {KEEP_TRYING / 60:.0f} min"
    if isinstance(failure, Unreachable):
        note(f"{str(failure).rstrip('.')}; trying again {minutes}.")
    else:
        note(f"{failure} Trying again in {math.ceil(seconds)} s, {minutes}.")


def follow(job: "Job") -> None:
    """Shows a job's progress until it ends; Ctrl-C leaves the job running."""
    try:
        with bar(job.kind) as progress:
            job.wait(progress=lambda seen: progress.show(seen.progress.fraction, 1.0, progress_text(seen.info)))
    except KeyboardInterrupt:
        note(f"The job goes on: `radii watch {job.id}` shows it again, `radii cancel {job.id}` ends it.")
        raise typer.Exit(INTERRUPTED) from None


def waits_text(client: "Client", job: "Job") -> str:
    """A line where the job waits because no worker is there, as far as the service tells; else nothing."""
    from radii.service.client.errors import ClientError

    if job.ended:
        return ""
    try:
        found = client.http.send("GET", "/readyz").json()
        told = "" if found["workers"] else found["checks"]["workers"]["detail"]
    except (ClientError, KeyError, ValueError):  # not every gateway lets this path through
        return ""
    return f"\n{told[:1].upper()}{told[1:]}." if told else ""


def job_text(job: "responses.Job") -> str:
    """What there is to say about a job, some lines."""
    from radii.service.client.job import describe

    lines = [describe(job), *_times(job), f"Progress: {_pace(job.progress)}.", *_summary(job)]
    if job.needs is not None:
        lines.insert(2, f"Needs {needs_text(job.needs)}.")
    made = job.checkpoint or (job.output or {}).get("checkpoint")
    if "epochs" in job.links and made:
        lines.append(f"Checkpoint: {made}.")
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in job.warnings)])


def progress_text(job: "responses.Job") -> str:
    """How far, how fast, how long still; of a job that waits for another one, for which."""
    if job.state == "queued" and job.needs is not None and job.needs.state != "succeeded":
        return f"needs {needs_text(job.needs)}"
    return _pace(job.progress)


def _pace(progress: "responses.Progress") -> str:
    parts = [f"{progress.done:,} of {progress.total:,} {progress.unit}"]
    if progress.rate:
        parts.append(f"{progress.rate:,.0f} {progress.work_unit}/s")
    if progress.eta_seconds is not None:
        parts.append(f"about {timedelta(seconds=round(progress.eta_seconds))} left")
    return ", ".join(parts)


def needs_text(needed: "responses.JobBrief") -> str:
    """The job that has to succeed first, and what that one needs in turn."""
    text = f"{needed.id} ({needed.kind}, {needed.state}, {int(100 * needed.fraction)} %)"
    return text if needed.needs is None else f"{text}, which needs {needs_text(needed.needs)}"


def _times(job: "responses.Job") -> list[str]:
    times = {"submitted": job.created, "started": job.started, "ended": job.finished}
    known = [f"{name} {when.astimezone():%Y-%m-%d %H:%M:%S}" for name, when in times.items() if when is not None]
    return [", ".join(known).capitalize() + "."]


def _summary(job: "responses.Job") -> list[str]:
    """The running sums of each kind of job: the numbers of its report, by the same names."""
    summary = job.summary
    if summary is None:
        return []
    at = "" if (sigma := job.spec.get("sigma")) is None else f" at sigma {sigma:g}"
    return SUMMARIES[summary.kind](summary, at)


def _of_certificates(summary: Any, at: str) -> list[str]:
    from radii.rs_core.reports.procedure_text import ProcedureSummary
    from radii.rs_core.results.tsv import rounded_down

    how = ProcedureSummary(sampling=summary.sampling)
    procedure = "" if how.sampling == "fixed" else f" ({how.text})"
    so_far = " so far (what is missing counts as not certified)" if summary.partial else ""
    share = 100 * summary.correct / summary.inputs_total
    return [
        f"{how.acr_label} {rounded_down(summary.acr, 4)}{at}{so_far}{procedure}, certified accuracy at 0 {share:.2f} %, "
        f"{summary.abstained:,} abstained, {summary.at_cap:,} at the cap."
    ]


def _of_predictions(summary: Any, at: str) -> list[str]:
    return [f"Accuracy {100 * summary.accuracy:.2f} %{at}{_wrong(summary)}, {summary.abstained:,} abstained."]


def _of_evaluation(summary: Any, at: str) -> list[str]:
    right = ", ".join(f"{100 * at.share:.2f} % at {at.point:g}" for at in summary.right)
    return [f"Accuracy (of all inputs){at}: {right}{_wrong(summary)}."]


def _of_training(summary: Any, at: str) -> list[str]:
    if summary.loss is None or summary.accuracy is None:
        return []
    test = "" if summary.test_accuracy is None else f", test accuracy {100 * summary.test_accuracy:.2f} %"
    return [f"Loss {summary.loss:.4f}, accuracy under noise {100 * summary.accuracy:.2f} %{test}."]


SUMMARIES: dict[str, Callable[[Any, str], list[str]]] = {
    "certify": _of_certificates,
    "predict": _of_predictions,
    "soft_labels": _of_predictions,
    "evaluate": _of_evaluation,
    "train": _of_training,
}
"""By kind of job: from its running sums and its noise level, in words, to the lines about them."""


def _wrong(summary: Any) -> str:
    return " so far (what is missing counts as wrong)" if summary.partial else ""
