"""Commands about the jobs of a service: ``submit``, ``status``, ``watch``, ``events``, ``jobs``, ``cancel``,
``delete``.

Files and results travel in ``transfer``.
"""

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from radii.service.cli import deletion
from radii.service.cli import options as o
from radii.service.cli.connection import (
    DEFAULT_SERVER,
    ApiKey,
    AsJson,
    JobId,
    Server,
    connect,
    connect_patiently,
    follow,
    job_text,
    until_the_end,
    waits_text,
)
from radii.service.cli.job_options import Flags, Texts, known_kinds, with_fields_of
from radii.service.cli.specs import merged
from radii.service.console import note, say, table, warn

Kind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        rich_help_panel=o.JOB,
        help="KINDS. (default: what SPEC says; train with a preset)",
    ),
]
ON_THE_SERVICE: Texts = {
    "checkpoint": ("ID", "Checkpoint of the service."),
    "dataset": ("ID", "Dataset of the service."),
    "test_dataset": ("ID", "Dataset for accuracy under noise after each epoch."),
    "batch_size": (None, "Images per loader batch (train), or noise samples per forward pass, at most."),
    "start_from": (
        "ID",
        "Checkpoint of the service to fine-tune; its last layer starts anew where the classes differ in number.",
    ),
}
"""Placeholder and help of the fields that name something, or that are about something else in each kind of job."""
Evaluation = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=o.JOB,
        help="With --kind evaluate: EVALUATIONS; its fields by --set evaluation.FIELD=VALUE. (default: what SPEC says)",
    ),
]


@with_fields_of(texts=ON_THE_SERVICE)
def submit(
    flags: Flags,
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC]",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="TOML or JSON file with the fields of the job; flags go before it.",
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress until the job ends; exit code as of `watch`.")
    ] = False,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Check and estimate the job, and submit nothing.")
    ] = False,
    kind: Kind = None,
    priority: o.Priority = None,
    deadline: o.Deadline = None,
    preset: o.Preset = None,
    sets: o.Set = None,
    evaluation: Evaluation = None,
    name: Annotated[
        str | None,
        typer.Option(rich_help_panel=o.NETWORK, help="Name of the checkpoint that is made. (default: what it is)"),
    ] = None,
) -> None:
    """Submit a job and print its identifier. It is submitted once, however often the request has to be sent.

    Where the queue has no room for it, the command tries again for 5 min.
    """
    asked = {
        "priority": priority,
        "deadline_seconds": deadline,
        "preset": preset,
        "evaluation": None if evaluation is None else {"name": evaluation.replace("-", "_")},
        "name": name,
    }
    body = merged(kind, spec, {**asked, **flags}, sets)
    if "kind" not in body:
        raise typer.BadParameter(f"expected --kind {', '.join(known_kinds())}, a SPEC with a kind, or a --preset")
    with connect_patiently(server, api_key) as client:
        if validate_only:
            say(client.submit(body, validate_only=True).model_dump_json(indent=2))
            return
        job = client.submit(body)
        say(job.id)
        warn(job.info.warnings)
        if wait:
            with until_the_end(lambda: f"`radii watch {job.id}` shows it again"):
                follow(job)
            _finish(job)


def status(job: JobId, server: Server = DEFAULT_SERVER, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Print how a job stands, and whether it waits because there is no worker."""
    with connect(server, api_key) as client:
        found = client.job(job)
        say(found.info.model_dump_json(indent=2) if as_json else job_text(found.info) + waits_text(client, found))


def watch(job: JobId, server: Server = DEFAULT_SERVER, api_key: ApiKey = None) -> None:
    """Show a job's progress until it ends. Exit code 0 where it succeeded, 1 where it did not, 3 where its end is not known.

    A service that does not answer is asked again for 5 min.
    """
    with connect_patiently(server, api_key, reached=True) as client:
        with until_the_end(lambda: f"`radii watch {job}` shows it again"):
            found = client.job(job)
            follow(found)
        _finish(found)


def events(
    job: JobId,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    after: Annotated[
        int | None, typer.Option(min=0, help="Only what came after the event of this number. (default: all)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what happens to a job, as it happens, until it ends: number, time, event. Exit code 3 where its end is not known.

    A service that does not answer is asked again for 5 min.
    """
    last = after

    def go_on() -> str:
        return f"`radii events {job}{'' if last is None else f' --after {last}'}` goes on from here"

    with connect_patiently(server, api_key, reached=True) as client, until_the_end(go_on):
        for event in client.job(job).events(after):
            more = " ".join(f"{name}={value}" for name, value in event.data.items())
            line = f"{event.seq}  {event.created:%Y-%m-%d %H:%M:%S}  {event.type}  {more}".rstrip()
            say(event.model_dump_json() if as_json else line)
            sys.stdout.flush()
            last = event.seq


def cancel(job: JobId, server: Server = DEFAULT_SERVER, api_key: ApiKey = None) -> None:
    """Ask a job to stop. What it has done stays readable."""
    with connect(server, api_key) as client:
        say(job_text(client.job(job).cancel().info).splitlines()[0])


def delete(
    things: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Identifiers of jobs, data sets, checkpoints and unfinished uploads; names of uploads.",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Delete jobs with their results, datasets, checkpoints and uploads, after asking; what active work needs is refused."""
    with connect(server, api_key) as client:
        if not yes:
            deletion.confirm(client, things)
        for thing in things:
            client.delete(thing)
            say(f"{thing} is deleted.")


def jobs(
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many jobs.")] = 20,
) -> None:
    """List jobs, newest first."""
    with connect(server, api_key) as client:
        found = [job.info for job in islice(client.jobs(), limit)]
    rows = [
        [job.id, job.kind, job.state, f"{job.progress.done:,} of {job.progress.total:,} {job.progress.unit}",
         f"{job.created.astimezone():%Y-%m-%d %H:%M:%S}"]
        for job in found
    ]  # fmt: skip
    say(table(["job", "kind", "state", "progress", "submitted"], rows) if rows else "There are no jobs.")


def _finish(job: Any) -> None:
    """Says how the job ended, and ends with its exit code."""
    note(job_text(job.info))
    if job.state != "succeeded":
        raise typer.Exit(1)
